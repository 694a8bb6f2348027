from __future__ import annotations

import json
import math
from typing import Any

import pytest

from hopscope.errors import EnvironmentFault, HarnessFault
from hopscope.traffic.report import RateMissed, TrafficReport, parse


def line(index: int, outcome: str = "ok", **facts: Any) -> dict[str, Any]:
    start = 1_000_000_000 + index * 10_000_000
    ok = outcome == "ok"
    return {
        "i": index,
        "id": index,
        "local_port": 40000 + index,
        "port": 8080,
        "late_ns": 50_000,
        "start_ns": start,
        "connect_ns": start + 20_000_000 if ok else None,
        "first_byte_ns": start + 40_000_000 + index if ok else None,
        "end_ns": start + 40_000_000 if ok else None,
        "outcome": outcome,
        "bytes": 1024 if ok else 0,
        "error": None if ok else "Connection refused",
    } | facts


def output(lines: list[dict[str, Any]], rate: float | None, achieved: float | None) -> str:
    summary = {"asked": len(lines), "requested_rate": rate, "established_rate": achieved, "cc": "reno"}
    return "\n".join(json.dumps(each) for each in [*lines, {"summary": summary}]) + "\n"


def report(ok: int, refused: int = 0, rate: float | None = 100, achieved: float | None = 100) -> TrafficReport:
    lines = [line(index) for index in range(ok)] + [line(ok + index, "refused") for index in range(refused)]
    return parse(output(lines, rate, achieved), {"accepted": ok})


def test_outcomes_and_quantiles() -> None:
    seen = report(99, 1)
    assert (seen.asked, seen.established, seen.completed) == (100, 99, 99)
    assert seen.outcomes == {"ok": 99, "refused": 1}
    assert [each.error for each in seen.failed()] == ["Connection refused"]
    assert seen.ttfb_ns(0.5) == 40_000_049
    assert seen.ttfb_ns(1.0) == 40_000_098
    assert math.isnan(report(0, 2).ttfb_ns(0.5))
    assert seen.late_max_ns == 50_000
    assert seen.summary()["server"] == {"accepted": 99}
    assert json.loads(json.dumps(report(0, 2).summary()))["ttfb_p50_ns"] is None


def test_a_rate_within_five_percent_passes_and_beyond_is_the_environments_fault() -> None:
    report(1000, achieved=95.0).check_rate()
    report(1000, achieved=105.0).check_rate()
    for achieved in (94.9, 106.0, 0.0):
        with pytest.raises(RateMissed, match=r"connections per second were established of 100 asked for") as caught:
            report(1000, achieved=achieved).check_rate()
        assert isinstance(caught.value, EnvironmentFault)
        assert caught.value.report.completed == 1000
        assert "1000 of 1000 established" in str(caught.value)


def test_stalls_in_a_short_burst_are_forgiven() -> None:
    report(50, achieved=100 * 50 / 99).check_rate()
    with pytest.raises(RateMissed):
        report(50, achieved=100 * 50 / 101).check_rate()


def test_connections_that_failed_are_not_blamed_on_the_environment() -> None:
    seen = report(60, 60, achieved=50.0)
    assert seen.started_rate == pytest.approx(100, rel=0.01)
    seen.check_rate()


def test_connections_that_were_started_late_are_the_environments_fault_whatever_became_of_them() -> None:
    slow = [line(index, start_ns=1_000_000_000 + index * 20_000_000) for index in range(100)]
    slow += [line(100 + index, "refused", start_ns=3_000_000_000 + index * 20_000_000) for index in range(20)]
    with pytest.raises(RateMissed, match=r"^5\d\.\d connections per second were started of 100 asked for") as caught:
        parse(output(slow, 100, 50.0)).check_rate()
    assert "broken: 20 of 120 did not come" in str(caught.value)
    assert "20 x refused: Connection refused" in str(caught.value)


def test_slow_is_told_apart_from_broken() -> None:
    missed = "1 s were not enough for the response"
    end = 1_000_000_000 + 1_500_000_000
    lines = [
        line(0),
        line(1, "late", missed=missed, end_ns=end, error=f"{missed}: all of it after 1.490 s"),
        line(2, "timeout", missed=missed, error=f"{missed}: connected after 0.020 s, and no more in 2 s of grace"),
        line(3, "timeout", missed=missed, error=f"{missed}: nothing came, and no more in 2 s of grace"),
    ]
    seen = parse(output(lines, None, None))
    assert (len(seen.late()), len(seen.broken()), len(seen.failed()), seen.completed) == (1, 2, 3, 1)
    assert seen.explain().splitlines() == [
        f"slow: 1 of 4 came late, the last of them: {missed}: all of it after 1.490 s",
        "broken: 2 of 4 did not come",
        f"    2 x timeout: {missed}",
        f"    the first of them: {missed}: connected after 0.020 s, and no more in 2 s of grace",
    ]
    assert report(10).explain() == ""


def test_few_connections_and_bursts_are_not_judged() -> None:
    report(49, achieved=10.0).check_rate()
    report(100, rate=None, achieved=None).check_rate()


@pytest.mark.parametrize("text", ["", "nonsense", '{"i": 0}\n', json.dumps(line(0)), "3\n"])
def test_damaged_output_is_the_harness_fault(text: str) -> None:
    with pytest.raises(HarnessFault, match="the generator's output is"):
        parse(text)


def test_output_that_was_cut_is_not_whole() -> None:
    lines = output([line(0), line(1)], 1, 1).splitlines()
    with pytest.raises(HarnessFault, match="not whole"):
        parse("\n".join(lines[1:]))
