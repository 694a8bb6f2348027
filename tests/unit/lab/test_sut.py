from __future__ import annotations

import json
import signal as signals
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.errors import CommandFailed, EnvironmentFault, HarnessFault, WaitTimeout
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
        self.python, self.here = sys.executable, True
        self.spawned: dict[str, Any] = {}
        self.tables = ["table inet theirs"]
        self.failing: set[str] = set()
        self.process = FakeProcess(name, log, output)

    def spawn(self, argv: Any, **options: Any) -> FakeProcess:
        if self.broken:
            raise EnvironmentFault("not ready", host=self.name)
        self.log.append(f"start {self.name}")
        self.spawned = {"argv": argv, **options}
        return self.process

    def run(self, argv: Any, **_: Any) -> Any:
        match list(argv):
            case ["box", "-V"]:
                return SimpleNamespace(text="box 1.2.3", returncode=0)
            case ["up" | "down" as command, *words]:
                self.log.append(" ".join([command, *words]))
                if command in self.failing:
                    raise CommandFailed(f"`{command}` ended with 1", host=self.name)
            case ["test", "-e", path]:
                return SimpleNamespace(text="", returncode=int(not Path(path).exists()))
            case ["nft", "list", "tables"]:
                return SimpleNamespace(text="\n".join(self.tables), returncode=0)
            case ["nft", "delete", "table", *name]:
                self.tables.remove(" ".join(["table", *name]))
        return SimpleNamespace(text="", returncode=0)

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


def test_modules_that_a_box_imports_are_copied_once_to_a_host_that_has_not_our_files(
    tmp_path: Path, log: list[str]
) -> None:
    box = BOX.model_copy(update={"argv": ("{python}", "{host_dir}/mine.py"), "modules": ("hopscope_nic",)})
    sut, hosts = running(tmp_path, log, Sut(name="mine", boxes={"clientnic": box}))
    host = hosts["clientnic"]
    for host.here, copies in ((True, 0), (False, 1), (False, 1)):
        with sut:
            path = host.spawned["env"].get("PYTHONPATH", "")
        assert (path == "") is host.here
        assert len([line for line in log if line.startswith("put ")]) == copies
    assert path.startswith(f"{host.directory}/hopscope_nic-")
    assert sut.identity["clientnic"]["modules"]["hopscope_nic"]["sha256"]


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

    run = hosts["servernic"].run

    def no_version(argv: Any, **options: Any) -> Any:
        if argv == ("box", "-V"):
            raise CommandFailed("no", host="servernic")
        return run(argv, **options)

    hosts["servernic"].run = no_version  # type: ignore[method-assign]
    with pytest.raises(EnvironmentFault, match="cannot tell its version by box -V"):
        sut.__enter__()
    assert log[-1] == "stop servernic SIGINT"


def test_events_are_json_objects_and_the_newest_counters_count(tmp_path: Path, log: list[str]) -> None:
    sut, hosts = running(tmp_path, log)
    for host, flows in (("clientnic", 3), ("servernic", 1)):
        hosts[host].process.answers = [json.dumps({"event": "counters", "flows": flows, "lingering": 7})] * 2
    with sut:
        assert [event["flows"] for event in sut.events()["clientnic"]] == [5, 2]
        assert sut.open_flows() == 4, "what was said before it was asked does not count"
        assert sut.open_flows(lingering=True) == 18
    assert hosts["clientnic"].process.signals == [signals.SIGUSR1] * 2


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


def commands(tmp_path: Path, log: list[str], **box: Any) -> tuple[RunningSut, FakeHost]:
    made = Box(setup=(("up", "{host_dir}"),), teardown=(("down",),), **box)
    sut, hosts = running(tmp_path, log, Sut(name="rules", boxes={"clientnic": made}, fetch="get it from example.org"))
    return sut, hosts["clientnic"]


def test_a_box_without_a_process_is_set_up_and_torn_down(tmp_path: Path, log: list[str]) -> None:
    sut, host = commands(tmp_path, log)
    with sut:
        assert log == [f"up {tmp_path / 'clientnic'}"]
        assert sut.died() == {}
        assert sut.identity["clientnic"]["setup"] == [["up", str(host.directory)]]
    assert log[1:] == ["down"]


def test_setup_comes_before_the_process_and_teardown_behind_it(tmp_path: Path, log: list[str]) -> None:
    sut, _ = commands(tmp_path, log, argv=("box",))
    with sut:
        assert [line.split()[0] for line in log] == ["up", "start"]
    assert [line.split()[0] for line in log[2:]] == ["stop", "down"]


def test_what_a_box_leaves_is_named_and_taken_away(tmp_path: Path, log: list[str]) -> None:
    sut, host = commands(tmp_path, log)
    with pytest.raises(EnvironmentFault, match="SUT rules left behind: clientnic: table ip mine"), sut:
        host.tables.append("table ip mine")
    assert host.tables == ["table inet theirs"]
    sut.stop()


def test_a_teardown_that_fails_is_named(tmp_path: Path, log: list[str]) -> None:
    sut, host = commands(tmp_path, log)
    host.failing = {"down"}
    with pytest.raises(EnvironmentFault, match="what `down` should have ended"), sut:
        pass


def test_a_setup_that_fails_is_torn_down(tmp_path: Path, log: list[str]) -> None:
    sut, host = commands(tmp_path, log)
    host.failing = {"up", "down"}
    with pytest.raises(CommandFailed, match="`up` ended with 1"):
        sut.__enter__()
    assert log[-1] == "down"


def test_what_is_the_users_to_fetch_is_asked_for(tmp_path: Path, log: list[str]) -> None:
    sut, _ = commands(tmp_path, log, needs=(str(tmp_path / "theirs"),))
    with pytest.raises(EnvironmentFault, match=r"needs .*/theirs, which is not there; get it from example\.org"):
        sut.__enter__()
    assert log == []
    sut, _ = commands(tmp_path, log, files={"a": str(tmp_path / "a")})
    with pytest.raises(EnvironmentFault, match="needs the file"):
        sut.__enter__()


def test_files_are_put_and_told_with_their_hash(tmp_path: Path, log: list[str]) -> None:
    (tmp_path / "rules.nft").write_text("table ip x {}")
    sut, host = commands(tmp_path, log, files={"rules.nft": str(tmp_path / "rules.nft")})
    with sut:
        assert log[0] == f"put {tmp_path / 'rules.nft'} {host.directory / 'rules.nft'}"
        assert len(sut.identity["clientnic"]["files"]["rules.nft"]["sha256"]) == 64


def test_sudo_only_where_the_harness_is_not_root(tmp_path: Path, log: list[str]) -> None:
    box = Box(argv=("box",), sudo=True, env={"A": "1"})
    sut, hosts = running(tmp_path, log, Sut(name="s", boxes={"clientnic": box}))
    run = hosts["clientnic"].run
    hosts["clientnic"].run = lambda argv, **options: (  # type: ignore[method-assign]
        SimpleNamespace(text="1000", returncode=0) if argv[0] == "id" else run(argv, **options)
    )
    with sut:
        argv = hosts["clientnic"].spawned["argv"]
    assert argv[:5] == ("sudo", "-n", "--", "env", "A=1")
    assert argv[5].startswith("HOPSCOPE_BOX=")
    assert argv[6] == "box"


def test_one_box_is_restarted_alone_and_its_second_log_has_a_name_of_its_own(tmp_path: Path, log: list[str]) -> None:
    sut, hosts = running(tmp_path, log)
    with sut:
        del log[:]
        sut.stop_box("clientnic")
        assert sut.process("clientnic") is None
        sut.start_box("clientnic")
        assert log == ["stop clientnic SIGINT", "start clientnic"]
        assert hosts["clientnic"].spawned["name"] == "clientnic-pair-2"
        assert sut.process("servernic") is hosts["servernic"].process
        with pytest.raises(HarnessFault, match="on clientnic has been started already"):
            sut.start_box("clientnic")
    assert log[2:] == ["stop clientnic SIGINT", "stop servernic SIGINT"]


def test_boxes_end_in_the_reverse_order_whichever_was_restarted(tmp_path: Path, log: list[str]) -> None:
    sut, _ = running(tmp_path, log)
    with sut:
        sut.stop_box("servernic")
        sut.start_box("servernic")
    assert log[-2:] == ["stop clientnic SIGINT", "stop servernic SIGINT"]
