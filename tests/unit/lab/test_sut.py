from __future__ import annotations

import json
import signal as signals
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.errors import CommandFailed, EnvironmentFault, WaitTimeout
from hopscope.hosts.ready import AllOf, ListeningPort, LogLine
from hopscope.lab.sut import RunningSut
from hopscope.model.sut import Box, Ready, Sut


class FakeProcess:
    def __init__(self, name: str, log: list[str], output: list[str]) -> None:
        self.name, self.log, self.output = name, log, output
        self.code: int | None = None
        self.signals: list[int] = []
        self.answers: list[str] = []

    def poll(self) -> int | None:
        return self.code

    def signal(self, sig: int) -> None:
        self.signals.append(sig)
        self.output += self.answers

    def stop(self, timeout: float = 5.0, sig: int = signals.SIGTERM) -> int:
        self.log.append(f"stop {self.name} {signals.Signals(sig).name}")
        self.code = 0 if self.code is None else self.code
        return self.code

    def lines(self) -> list[str]:
        return self.output


class FakeHost:
    def __init__(self, name: str, directory: Path, log: list[str], output: list[str], broken: bool = False) -> None:
        self.name, self.directory, self.log, self.output, self.broken = name, directory, log, output, broken
        self.spawned: dict[str, Any] = {}
        self.process = FakeProcess(name, log, output)

    def spawn(self, argv: Any, **options: Any) -> FakeProcess:
        if self.broken:
            raise EnvironmentFault("not ready", host=self.name)
        self.log.append(f"start {self.name}")
        self.spawned = {"argv": argv, **options}
        return self.process

    def run(self, argv: Any, *, timeout: float) -> Any:
        if self.broken:
            raise CommandFailed("no", host=self.name)
        return SimpleNamespace(text="box 1.2.3")

    def put(self, local: Path, remote: str) -> None:
        self.log.append(f"put {local} {remote}")


BOX = Box(argv=("{python}", "-m", "box"), ready=Ready(line="ready"), events="stdout", stop="INT", version=("box", "-V"))
SUT = Sut(name="pair", boxes={"clientnic": BOX, "servernic": BOX})
COUNTERS = [json.dumps({"event": "counters", "flows": n}) for n in (5, 2)]


@pytest.fixture
def log() -> list[str]:
    return []


def running(tmp_path: Path, log: list[str], sut: Sut = SUT, **broken: bool) -> tuple[RunningSut, dict[str, FakeHost]]:
    hosts = {
        name: FakeHost(name, tmp_path / name, log, ["not json", "[1]", *COUNTERS], broken.get(name, False))
        for name in ("clientnic", "servernic")
    }
    topology = SimpleNamespace(boxes=lambda sut: dict(sut.boxes), host=lambda name: SimpleNamespace(role=name))
    lab: Any = SimpleNamespace(topology=topology, hosts=hosts)
    return RunningSut(lab, sut, tmp_path), hosts


def test_boxes_start_nearest_to_the_server_first_and_stop_in_reverse(tmp_path: Path, log: list[str]) -> None:
    sut, _ = running(tmp_path, log)
    with sut:
        assert log == ["start servernic", "start clientnic"]
    assert log[2:] == ["stop clientnic SIGINT", "stop servernic SIGINT"]


def test_the_command_has_its_placeholders_replaced_and_its_ready_line(tmp_path: Path, log: list[str]) -> None:
    sut, hosts = running(tmp_path, log)
    with sut:
        spawned = hosts["clientnic"].spawned
    assert spawned["argv"][1:] == ("-m", "box")
    assert Path(spawned["argv"][0]).exists()
    assert spawned["ready"] == LogLine("ready")
    assert spawned["name"] == "clientnic-pair"


def test_a_box_that_does_not_start_ends_those_that_did(tmp_path: Path, log: list[str]) -> None:
    sut, _ = running(tmp_path, log, clientnic=True)
    with pytest.raises(EnvironmentFault, match="not ready"):
        sut.__enter__()
    assert log == ["start servernic", "stop servernic SIGINT"]


def test_what_ran_is_identified_by_path_hash_and_version(tmp_path: Path, log: list[str]) -> None:
    sut, _ = running(tmp_path, log)
    with sut:
        identity = sut.identity["clientnic"]
    assert identity["version"] == "box 1.2.3"
    assert len(identity["sha256"]) == 64


def test_a_version_that_cannot_be_told_is_a_fault_of_the_environment(tmp_path: Path, log: list[str]) -> None:
    sut, hosts = running(tmp_path, log)

    def no_version(argv: Any, *, timeout: float) -> Any:
        raise CommandFailed("no", host="servernic")

    hosts["servernic"].run = no_version  # type: ignore[method-assign]
    with pytest.raises(EnvironmentFault, match="cannot tell its version by box -V"):
        sut.__enter__()
    assert log[-1] == "stop servernic SIGINT"


def test_events_are_json_objects_and_the_newest_counters_count(tmp_path: Path, log: list[str]) -> None:
    sut, hosts = running(tmp_path, log)
    for host, flows in (("clientnic", 3), ("servernic", 1)):
        hosts[host].process.answers = [json.dumps({"event": "counters", "flows": flows})]
    with sut:
        assert [event["flows"] for event in sut.events()["clientnic"]] == [5, 2]
        assert sut.open_flows() == 4, "what was said before it was asked does not count"
    assert hosts["clientnic"].process.signals == [signals.SIGUSR1]


def test_a_box_that_falls_silent_is_a_fault(tmp_path: Path, log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopscope.lab.sut._ANSWER_S", 0.05)
    sut, _ = running(tmp_path, log)
    with sut, pytest.raises(WaitTimeout, match="counters"):
        sut.open_flows()


def test_a_box_that_tells_nothing_has_no_flow_count(tmp_path: Path, log: list[str]) -> None:
    mute = BOX.model_copy(update={"events": None})
    sut, _ = running(tmp_path, log, Sut(name="mute", boxes={"clientnic": mute}))
    with sut:
        assert sut.open_flows() is None
        assert sut.events() == {}


def test_a_box_that_died_is_told_even_after_the_stop(tmp_path: Path, log: list[str]) -> None:
    sut, hosts = running(tmp_path, log)
    with sut:
        hosts["servernic"].process.code = -11
        assert sut.died() == {"servernic": -11}
    assert sut.died() == {"servernic": -11}


def test_a_box_that_was_stopped_did_not_die(tmp_path: Path, log: list[str]) -> None:
    sut, _ = running(tmp_path, log)
    with sut:
        assert sut.died() == {}
    assert sut.died() == {}


def test_a_box_that_names_a_line_and_a_port_is_ready_when_both_hold(tmp_path: Path, log: list[str]) -> None:
    both = BOX.model_copy(update={"ready": Ready(line="ready", port=8080)})
    sut, hosts = running(tmp_path, log, Sut(name="both", boxes={"clientnic": both}))
    with sut:
        assert hosts["clientnic"].spawned["ready"] == AllOf((LogLine("ready"), ListeningPort(8080)))
