"""The fixture ``tunnel`` without a tunnel: its topology, what it refuses, and what it says of a window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hopscope import data
from hopscope.checks.verdict import Outcome, failed, passed
from hopscope.errors import EnvironmentFault, HarnessFault, ProductFault, UsageError
from hopscope.lab.tunnel import Device
from hopscope.model.laid import lay
from hopscope.plugin.measuring import Measuring
from hopscope.plugin.tunnels import Tunnel
from hopscope.run import story, tape
from hopscope.run.tape import Tape

pytest_plugins = ["pytester"]

ASKS = """
    import pytest

    @pytest.fixture(scope="session")
    def chain(request):
        return request.param

    @pytest.fixture(scope="session")
    def tunnel(chain):
        return chain

    def test_of_a_tunnel(tunnel):
        print("of a tunnel:", tunnel[0])

    def test_of_a_chain(chain):
        print("of a chain:", chain[0])

    @pytest.mark.lab_topology("tunnel-routed.yaml")
    def test_of_its_own(tunnel):
        print("of its own:", tunnel[0])
    """


@pytest.mark.parametrize(
    ("given", "mine", "others"), [([], "tunnel", "chain"), (["--lab-topology", "mine.yaml"], "mine", "mine")]
)
def test_tests_of_a_tunnel_have_a_topology_of_their_own(pytester, run, given, mine, others) -> None:
    pytester.makepyfile(ASKS)
    result = run("-s", *given)
    result.assert_outcomes(passed=3)
    lines = [f"*of a tunnel: {mine}.yaml*", f"*of a chain: {others}.yaml*", "*of its own: tunnel-routed.yaml*"]
    result.stdout.fnmatch_lines_random(lines)


class Running:
    """A tunnel that is up, as far as anybody asks."""

    def __init__(self, topology: str = "tunnel", mtus: tuple[int, int] = (1500, 1400)) -> None:
        laid = data.topology(topology)
        mechanism = {link.name: "tap-line" if link.impairment.active else "veth" for link in laid.links}
        self.lab = SimpleNamespace(topology=laid, hosts={}, mechanism=mechanism)
        for host in self.lab.topology.hosts:
            self.lab.hosts[host.name] = SimpleNamespace(name=host.name, here=True)
        self.sut = data.sut("openvpn")
        self.tunnel = self.sut.tunnel
        self.laid = lay(self.lab.topology, self.sut)
        self.mtus = dict(zip(("left", "right"), mtus, strict=True))
        self.is_stopped: list[str] = []

    def device(self, host: str) -> Device | None:
        mtu = self.mtus[host]
        return Device(3, mtu, (), {}) if mtu else None

    def refuse_dead(self) -> None:
        pass

    def dead(self) -> list[str]:
        return []

    def carries(self) -> bool:
        return True

    def stopped(self) -> list[str]:
        return self.is_stopped

    def logs(self) -> str:
        return "left: its log"


class Window:
    """Where the calls of a tunnel write."""

    def __init__(self, directory: Any) -> None:
        self.said: dict[str, Any] = {}
        self.before_end: list[Any] = []
        self.directory = self.capture_directory = directory
        self.is_open = True
        self.taps: list[str] = []
        self.tape = Tape(directory)
        self.chain = SimpleNamespace(run=SimpleNamespace(enter=lambda phase: None))

    def tap(self, *ports: Any) -> None:
        self.taps += [port.tap for port in ports]

    def untap(self, *ports: Any) -> None:
        self.taps = [tap for tap in self.taps if tap not in [port.tap for port in ports]]


def tunnel_of(**how: Any) -> Tunnel:
    running: Any = Running(**how)
    return Tunnel(Measuring(running))


def test_outside_of_a_test_nothing_can_be_asked() -> None:
    with pytest.raises(UsageError, match="in no test's window: mark the test integration"):
        tunnel_of().window  # noqa: B018


@pytest.mark.parametrize(("size", "lans", "bytes"), [("small", False, 84), ("mtu", False, 1400), (1000, False, 1000)])
def test_sizes_of_a_ping(size, lans, bytes) -> None:
    tunnel = tunnel_of()
    assert tunnel.measuring._size(size, next(iter(tunnel.measuring._ways(True, lans)))) == bytes


def test_a_size_that_means_nothing_is_wrong_usage() -> None:
    tunnel = tunnel_of()
    with pytest.raises(UsageError, match="no size 'large' for a ping: small, mtu, or a number of bytes"):
        tunnel.measuring._size("large", next(iter(tunnel.measuring._ways(True, False))))


@pytest.mark.parametrize(
    ("lans", "ways"),
    [
        (False, [("left", "10.9.0.2"), ("right", "10.9.0.1")]),
        (True, [("left-lan", "10.20.2.10"), ("right-lan", "10.20.1.10")]),
    ],
)
def test_ways_through_the_tunnel(lans, ways) -> None:
    found = list(tunnel_of(topology="tunnel-routed").measuring._ways(True, lans))
    assert [(way.source.name, way.address) for way in found] == ways
    assert [way.end.host for way in found] == ["left", "right"]


def test_hosts_behind_the_ends_have_to_be_there() -> None:
    with pytest.raises(UsageError, match="topology tunnel has no hosts behind both ends"):
        list(tunnel_of().measuring._ways(True, True))


def test_a_link_that_cannot_lose_packets_cannot_be_cut(tmp_path) -> None:
    tunnel = tunnel_of()
    tunnel.begin(Window(tmp_path))
    bare = tuple(link.model_copy(update={"impairment": type(link.impairment)()}) for link in tunnel.running.laid.links)
    tunnel.running.laid = type(tunnel.running.laid)(
        tunnel.running.laid.ends, bare, tunnel.running.laid.transport, tunnel.running.laid.server
    )
    with pytest.raises(EnvironmentFault, match="declare one of left:eth0--right:eth0 with an rtt_ms"):
        tunnel.cut()


@pytest.mark.parametrize(
    ("lines", "answers"),
    [({"left": ["a"], "right": []}, ["established", "state"]), ({"left": [], "right": []}, ["established", "state"])],
)
def test_a_call_is_noted_with_what_it_rests_on(tmp_path, monkeypatch, lines, answers) -> None:
    tunnel, window = tunnel_of(), Window(tmp_path)
    monkeypatch.setattr(Running, "established", lambda self: lines, raising=False)
    tunnel.ready(window)
    tunnel.begin(window)
    with pytest.raises(ProductFault, match="no established connection on tcp port 1194"):
        tunnel.established()
    ready, call = tape.read(tmp_path / tape.CALLS)
    assert ready == {"call": "tunnel", "sut": "openvpn", "reconnects": True, "carrier": "tcp port 1194"}
    assert (call["call"], call["arguments"], call["fault"]["kind"]) == ("tunnel.established", {}, "product")
    assert [step["asked"] for step in call["steps"]] == answers
    assert call["steps"][0]["answer"] == lines


def test_a_fault_of_measuring_is_noted_as_the_answer(tmp_path) -> None:
    tunnel, window = tunnel_of(), Window(tmp_path)
    tunnel.begin(window)
    with pytest.raises(UsageError, match="no size 'large'"):
        tunnel.ping(sizes=("large",))
    (call,) = tape.read(tmp_path / tape.CALLS)
    (step,) = call["steps"]
    assert (step["asked"], step["fault"]) == ("pings", call["fault"])
    assert call["arguments"]["sizes"] == ["large"]


def test_a_tunnel_that_cannot_be_revived_is_noted(tmp_path, monkeypatch) -> None:
    window, fault = Window(tmp_path), ProductFault("it does not come up")

    def fail(self) -> None:
        raise fault

    monkeypatch.setattr(Measuring, "revive", fail)
    with pytest.raises(ProductFault):
        tunnel_of().ready(window)
    (call,) = tape.read(tmp_path / tape.CALLS)
    assert call["fault"]["message"] == fault.message


def test_a_window_says_what_the_tunnel_is_as_long_as_it_is_its_own(tmp_path) -> None:
    tunnel, window = tunnel_of(topology="tunnel-routed"), Window(tmp_path)
    tunnel.begin(window)
    said = window.said["tunnel"]
    assert window.taps == ["left-tun0", "right-tun0"]
    assert said["outside"] == ["left:eth0", "router:eth0", "router:eth1", "right:eth0"]
    assert said["ends"]["left"] == {
        "device": "tun0", "underlay": "eth0", "outer": "10.8.1.1", "inner": ["10.9.0.1"], "networks": ["10.20.1.0/24"],
    }  # fmt: skip
    assert said["transport"] == {"server": "right", "port": 1194, "protocol": "tcp"}
    tunnel.finish()
    assert (window.said, window.before_end, window.taps) == ({}, [], [])


def test_what_fails_is_told_with_the_daemons_state_and_logs(tmp_path) -> None:
    tunnel = tunnel_of()
    tunnel.begin(Window(tmp_path))
    tunnel.running.is_stopped = ["right"]
    with pytest.raises(ProductFault) as fault:
        tunnel._conclude([passed("a", "well", judged=1), failed("b", "bad", judged=1, failed=1, evidence=())])
    assert fault.value.message == "openvpn: the daemon on right is stopped; b FAIL: bad"
    assert "left: its log" in str(fault.value)
    assert [verdict.outcome for verdict in tunnel.verdicts] == [Outcome.PASS, Outcome.FAIL]
    assert (tmp_path / "verdicts.json").exists()


def test_what_a_tunnel_does_not_claim_is_not_tested(tmp_path) -> None:
    tunnel = tunnel_of()
    tunnel.running.tunnel = tunnel.running.tunnel.model_copy(update={"reconnects": False})
    tunnel.begin(Window(tmp_path))
    with pytest.raises(HarnessFault, match=r"openvpn does not claim to reconnect \(reconnects: false\)"):
        tunnel.reconnect()


def test_what_a_test_asks_is_a_step_of_its_story_and_what_that_asks_is_not(tmp_path, monkeypatch) -> None:
    tunnel = tunnel_of()
    tunnel.begin(Window(tmp_path))
    monkeypatch.setattr(Tunnel, "_judge", lambda self, checks, **last: None)
    monkeypatch.setattr(Measuring, "_ways", lambda self, both, lans: [])
    monkeypatch.setattr(Measuring, "_say", lambda self, key, said: None)
    monkeypatch.setattr("hopscope.plugin.measuring._pass", lambda seconds: None)
    tunnel.idle(3)
    tunnel.ping(both_directions=False)
    assert [(one.title, one.outcome) for one in story.read(tmp_path)] == [
        ("Nothing sent: 3", "passed"),
        ("Tunnel pinged: both_directions False", "passed"),
    ]
