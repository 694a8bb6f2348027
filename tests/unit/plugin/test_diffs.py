"""What an assertion says when verdicts, reports or flows differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hopscope.checks.verdict import Evidence, failed, passed
from hopscope.plugin.diffs import SHOWN, explain
from hopscope.traffic.report import Connection, TrafficReport
from hopscope.wire.trace import Trace

CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures"


def connection(index: int, outcome: str = "ok") -> Connection:
    return Connection(index, 40000 + index, 8080, 0, 0, 1, 2, 3, outcome, 1000, None)


def report(*connections: Connection) -> TrafficReport:
    return TrafficReport(connections, 100.0, 99.0, "cubic", {})


def test_verdicts_differ_by_field_metric_and_evidence() -> None:
    seen = Evidence("10.1.0.10:40000>10.1.2.10:8080", "client-eth0.pcap", (7,), "good", "bad")
    one = passed("checksums", "all good", judged=10, metrics={"packets": 10})
    other = failed("checksums", "1 is bad", judged=10, failed=1, evidence=[seen], metrics={"packets": 10})
    lines = explain("==", one, other)
    assert lines is not None
    assert lines[0] == "Verdict differs in 5 fields:"
    assert any(line.split() == ["outcome", "PASS", "!=", "FAIL"] for line in lines)
    assert any("evidence 1" in line and "client-eth0.pcap frame 7: expected good, seen bad" in line for line in lines)
    assert not any("metric packets" in line for line in lines)


def test_reports_differ_by_connection_and_no_more_is_shown_than_helps() -> None:
    lines = explain("==", report(connection(0), connection(1)), report(connection(0), connection(1, "reset")))
    assert lines is not None
    assert any(line.split()[:2] == ["connection", "1"] and "reset" in line for line in lines)
    assert not any("connection 0" in line for line in lines)
    many = explain("==", report(), report(*(connection(number) for number in range(50))))
    assert many is not None
    assert len(many) == SHOWN + 2


def test_flows_differ_by_what_is_known_of_them() -> None:
    trace = Trace.load(CAPTURES / "stamp")
    lines = explain("==", trace.flows[0], trace.flows[1])
    assert lines is not None
    fields = {line.split()[0] for line in lines[1:]}
    assert {"label", "client_isn", "delta"} <= fields
    assert "placement" not in fields


def test_what_is_none_of_ours_is_pytests() -> None:
    one = report(connection(0))
    assert explain("==", 1, 2) is None
    assert explain("!=", one, one) is None
    assert explain("==", one, replace(one, cc="reno").summary()) is None
