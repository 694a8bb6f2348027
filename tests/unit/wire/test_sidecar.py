"""Side-cars that are broken: nonsense is a fault with its key, a capture left in doubt is no evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopscope.checks.judge import judge_folder
from hopscope.checks.verdict import Outcome
from hopscope.errors import HarnessFault
from hopscope.wire import folder
from support import golden
from support.golden import Recipe

CLIENT = "client-eth0.pcap"


@pytest.fixture
def broken(tmp_path: Path) -> Callable[..., Path]:
    """A golden folder whose side-car was changed; ``entry`` is what becomes of the client's."""

    def made(entry: Any = None, **keys: Any) -> Path:
        written = golden.write(golden.build(Recipe("stamp", flows=1)), tmp_path / "captures")
        content = json.loads((written / "taps.json").read_text())
        if isinstance(entry, dict):
            content["taps"][CLIENT] |= entry
        elif entry is not None:
            content["taps"][CLIENT] = entry
        (written / "taps.json").write_text(json.dumps(content | keys))
        return written

    return made


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ([1], "taps.client-eth0.pcap"),
        (5, "taps.client-eth0.pcap"),
        ({"interface": 5}, "taps.client-eth0.pcap.interface"),
        ({"host": [1]}, "taps.client-eth0.pcap.host"),
        ({"role": {"a": 1}}, "taps.client-eth0.pcap.role"),
        ({"live_ns": float("nan")}, "taps.client-eth0.pcap.live_ns"),
        ({"live_ns": float("inf")}, "taps.client-eth0.pcap.live_ns"),
        ({"end_ns": 10**30}, "taps.client-eth0.pcap.end_ns"),
    ],
)
def test_an_entry_that_makes_no_sense_is_a_fault(entry, key, broken):
    with pytest.raises(HarnessFault, match=rf"taps\.json: {key}: "):
        folder.read(broken(entry))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("links", 5),
        ("links", [[1, [2]]]),
        ("links", [["clientnic-eth0"]]),
        ("links", [["clientnic-eth0", "a", "b"]]),
        ("rtt_ns", float("nan")),
        ("rtt_ns", -5),
        ("rtt_ns", "20 ms"),
        ("same_clock", "no"),
        ("sut", "x"),
    ],
)
def test_a_side_car_that_makes_no_sense_is_a_fault(key, value, broken):
    with pytest.raises(HarnessFault, match=rf"taps\.json: {key}: "):
        folder.read(broken(**{key: value}))


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"problem": "ended by itself with -9"}, "ended by itself with -9"),
        ({"received": None, "dropped": 500}, "received null, dropped 500"),
        ({"captured": "12"}, 'captured "12"'),
        ({"captured": -1, "received": -1}, "captured -1"),
        ({"captured": True}, "captured true"),
        ({"live_ns": None}, "since when it was live"),
        ({"live_ns": "soon"}, "since when it was live"),
    ],
)
def test_a_capture_left_in_doubt_is_no_evidence(entry, told, broken):
    judgement = judge_folder(broken(entry))
    health = judgement.verdicts[0]
    assert health.outcome is Outcome.INCONCLUSIVE
    assert told in health.summary
    assert {item.tap for item in health.evidence} == {CLIENT}
    assert not any(verdict.outcome is Outcome.PASS for verdict in judgement.verdicts)


def test_an_entry_that_tells_only_whose_it_is_leaves_the_capture_as_it_is(broken):
    folder_of = broken()
    content = json.loads((folder_of / "taps.json").read_text())
    content["taps"] = {file: {"host": entry["host"]} for file, entry in content["taps"].items()}
    (folder_of / "taps.json").write_text(json.dumps(content))
    assert judge_folder(folder_of).verdicts[0].outcome is Outcome.NOT_APPLICABLE


def test_a_capture_that_is_named_and_not_there(broken):
    written = broken()
    (written / "servernic-eth1.pcap").unlink()
    judgement = judge_folder(written)
    assert judgement.verdicts[0].outcome is Outcome.INCONCLUSIVE
    assert "servernic-eth1.pcap" in judgement.verdicts[0].summary
    assert not any(verdict.outcome is Outcome.PASS for verdict in judgement.verdicts)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"time_ns": "abc"}, False),
        ({"time_ns": None}, False),
        ({"time_ns": float("nan")}, False),
        ({"flows": None}, False),
        ({"flows": "x"}, False),
        ({"flows": ["tcp:8080"]}, False),
        ({"sent_client": None}, False),
        ({"event": "ready", "flows": ["tcp:8080"]}, True),
        ({"event": "died", "time_ns": None}, True),
        ({"time_ns": 2.0}, True),
    ],
)
def test_events_that_cannot_be_read_are_left_out_and_said(fields, kept, broken):
    event = {"event": "counters", "host": "clientnic", "time_ns": 1, "flows": 0} | fields
    written = broken(sut=[event, {"event": "other"}])
    content = folder.read(written)
    assert len(content.sut_events) == 1 + kept
    assert any("left out" in note for note in content.notes) is not kept
    judge_folder(written)


def test_events_by_host_that_are_none(broken):
    content = folder.read(broken(sut={"clientnic": [{"event": "ready"}, 5], "servernic": None}))
    assert content.sut_events == ({"host": "clientnic", "event": "ready"},)
    assert any("2 events of the system under test left out" in note for note in content.notes)
