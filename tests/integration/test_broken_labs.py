"""Labs that are not what they claim: each ends as *environment* or as *could not see*, by its name, never as a pass.

A real lab is sabotaged, before or while a window is open, and judged by the same classes that the fixtures use.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from hopscope.capture import session as capture_session
from hopscope.capture.programs import Options
from hopscope.capture.session import CaptureSession
from hopscope.capture.tap import CaptureTap
from hopscope.checks.judge import judge_folder
from hopscope.checks.verdict import Fault, Outcome
from hopscope.errors import CaptureUnhealthy, EnvironmentFault, HarnessFault, SettingRefused
from hopscope.lab import plan
from hopscope.lab.settings.congestion import CongestionControl
from hopscope.lab.settings.offload import Offload
from hopscope.lab.settings.route import Route
from hopscope.plugin import chains
from hopscope.plugin import window as plugin_window
from hopscope.plugin.judged import Judged
from hopscope.plugin.window import Window
from hopscope.traffic.traffic import Traffic

pytestmark = [
    pytest.mark.integration,
    pytest.mark.zero_rtt,
    pytest.mark.lab_topology("chain-lan.yaml"),
    pytest.mark.lab_uncaptured,  # each test opens windows of its own, and they fail
]

SERVER_NET = "10.1.2.0/24"

SPOILT = """
import pytest

pytestmark = pytest.mark.integration

@pytest.mark.lab_uncaptured
def test_forgets_its_route(client):
    client.run(["ip", "route", "del", "10.1.2.0/24"])

def test_runs_on_it(traffic, trace):
    traffic.connections(count=1)
"""


@pytest.fixture
def sut() -> str:
    return "kernel"


@pytest.fixture
def window(chain, test_directory) -> Iterator[Window]:
    window = Window(chain, test_directory)
    yield window
    if window.is_open:
        window.abandon()


@pytest.fixture
def load(chain, test_directory) -> Iterator[Callable[..., int]]:
    """Connections over the lab; how many completed."""
    with Traffic(chain.lab, test_directory) as traffic:
        yield lambda **more: traffic.connections(**{"count": 5, "rate": 50, "check_rate": False, **more}).completed


@contextmanager
def route(chain, host: str, *words: str) -> Iterator[None]:
    """Another next hop than the lab was proven with, by hand, as somebody does who forgets it."""
    hands = chain.host(host)
    before = hands.run(["ip", "route", "show", "exact", SERVER_NET]).text.split()
    hands.run(["ip", "route", "replace", SERVER_NET, *words])
    try:
        yield
    finally:
        hands.run(["ip", "route", "del", SERVER_NET], check=False)
        hands.run(["ip", "route", "replace", *before])


@contextmanager
def offloads(chain, host: str, port: str, state: str) -> Iterator[None]:
    hands = chain.host(host)
    hands.run(["ethtool", "-K", port, "tx", state])
    try:
        yield
    finally:
        hands.run(["ethtool", "-K", port, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])


@contextmanager
def sysctl(chain, host: str, key: str, value: str) -> Iterator[None]:
    hands, path = chain.host(host), f"/proc/sys/net/ipv4/{key}"
    before = hands.run(["cat", path]).text
    hands.run(["tee", path], stdin=value.encode())
    try:
        yield
    finally:
        hands.run(["tee", path], stdin=before.encode())


def congestion_control(chain, host: str):
    """One of those that the host may have and has not."""
    path = "/proc/sys/net/ipv4/tcp_"
    now = chain.host(host).run(["cat", f"{path}congestion_control"]).text
    allowed = chain.host(host).run(["cat", f"{path}allowed_congestion_control"]).text.split()
    return sysctl(chain, host, "tcp_congestion_control", next(name for name in allowed if name != now))


def no_forwarding(chain, host: str):
    return sysctl(chain, host, "ip_forward", "0")


# -- before anything is tested


@pytest.mark.parametrize("sabotage", ["delay", "route"])
def test_a_lab_that_is_not_as_declared_is_not_handed_out(hopscope_session, monkeypatch, sabotage):
    """The delay is set and does nothing (as for months in the predecessor); a route leads to where nobody is."""
    if hopscope_session.options.provider != "netns":
        pytest.skip("it spoils how a lab is built; hosts that are found are not (test_inventory.py has their like)")
    topology, source = chains.topology_of(hopscope_session.options, "chain.yaml", None)
    if sabotage == "delay":
        monkeypatch.setattr(
            plan, "line_options", lambda each: {"delay_ms": 0, "loss": 0, "reorder": 0, "reorder_ms": 0}
        )
        monkeypatch.setattr(plan, "netem_options", lambda each: {"delay": 0, "limit": plan.NETEM_LIMIT})
        words = ["the round trip to server is not as declared", "declared:  20.000 ms", "clientnic:eth1"]
    else:
        build = plan.build_plan

        def stale(*arguments):
            made = build(*arguments)
            for each in made["routes"]:
                if (each["host"], each["destination"]) == ("clientnic", SERVER_NET):
                    each["via"] = "10.1.1.99"
            return made

        monkeypatch.setattr(plan, "build_plan", stale)
        words = ["0 of 20 echoes to server came back", "clientnic: 10.1.2.10 via 10.1.1.99 dev eth1"]
    with (
        pytest.raises(EnvironmentFault) as caught,
        chains.acquire(hopscope_session.options, hopscope_session.run, topology, source),
    ):
        raise AssertionError("the lab was handed out")
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_congestion_control_that_does_not_take_is_refused(chain):
    with pytest.raises(SettingRefused, match="congestion control did not take") as caught:
        chain.lab.apply(CongestionControl("server", "vegas-of-nowhere"))
    assert "available here" in str(caught.value)
    with Traffic(chain.lab, chain.lab.directory / "refused") as traffic, pytest.raises(EnvironmentFault) as caught:
        traffic.connections(count=1, cc="vegas-of-nowhere")
    assert "vegas-of-nowhere" in str(caught.value)


# -- between two tests


SABOTAGE = {
    "stale-route": (lambda chain: route(chain, "clientnic", "via", "10.1.1.99"), f"route {SERVER_NET} on clientnic"),
    "no-forwarding": (lambda chain: no_forwarding(chain, "servernic"), "sysctl net.ipv4.ip_forward on servernic"),
    "offload-on": (lambda chain: offloads(chain, "client", "eth0", "on"), "offload eth0 on client"),
    "congestion-control": (lambda chain: congestion_control(chain, "server"), "congestion control on server"),
}


@pytest.mark.parametrize("name", SABOTAGE)
def test_a_lab_that_has_changed_since_it_was_proven_is_not_tested_on(chain, window, name):
    sabotage, words = SABOTAGE[name]
    with sabotage(chain), pytest.raises(EnvironmentFault, match="not as it was proven") as caught:
        window.open("kernel")
    assert words in caught.value.message
    assert ": was " in caught.value.evidence
    assert not window.is_open
    window.open("kernel")
    window.abandon()


@pytest.mark.parametrize("name", ["stale-route", "congestion-control"])
def test_a_lab_that_changes_under_a_test_fails_that_test_as_environment(chain, window, load, name):
    sabotage, words = SABOTAGE[name]
    window.open("kernel")
    with sabotage(chain):
        load(timeout=0.5, grace=0.0)
        with pytest.raises(EnvironmentFault) as caught:
            window.close()
    assert words in caught.value.message


def test_what_a_test_sets_on_purpose_is_no_drift(chain, window, load):
    settings = [Route("client", "10.99.0.0/24", via="10.1.0.1"), Offload("server", "eth0", {"gro": True})]
    with chain.lab.applied(*settings):
        window.open("kernel")
        assert load() == 5
        Judged(window.close(), window.capture_directory).expect(placement="plain")


# -- while a test runs


def test_offloads_that_are_on_although_the_lab_says_off_show_in_the_checksums(chain, window, load):
    """The setting is told to be off and is not: what the packets show is the environment's fault, not the product's."""
    window.open("kernel")
    with offloads(chain, "client", "eth0", "on"):
        assert load() == 5
        with pytest.raises(EnvironmentFault, match="offload eth0 on client"):
            window.close()
    judgement = judge_folder(window.capture_directory)
    verdict = next(each for each in judgement.verdicts if each.check == "checksums")
    assert (verdict.outcome, verdict.fault) == (Outcome.FAIL, Fault.ENVIRONMENT), verdict.summary
    assert "left to hardware (CHECKSUM_PARTIAL), yet offloads are recorded as off" in verdict.summary
    assert judgement.exit_code == 2


@pytest.fixture
def sessions(monkeypatch) -> list[CaptureSession]:
    """The capture sessions that windows open, for a hand on their taps."""
    opened: list[CaptureSession] = []

    def opening(*arguments, **more) -> CaptureSession:
        opened.append(CaptureSession(*arguments, **more))
        return opened[-1]

    monkeypatch.setattr(plugin_window, "CaptureSession", opening)
    return opened


@contextmanager
def stopped(tap: CaptureTap) -> Iterator[None]:
    """A recorder that is not scheduled."""
    tap.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        tap.signal(signal.SIGCONT)


def test_a_tap_that_dropped_concludes_nothing(window, load, sessions, monkeypatch):
    """A small ring and a recorder that is not scheduled for a while."""
    monkeypatch.setattr(capture_session, "Options", partial(Options, buffer_kib=512))
    window.open("kernel")
    tap = next(tap for tap in sessions[0].taps if tap.port.tap == "servernic-eth0")
    with stopped(tap):
        assert load(response=200_000) == 5
    judged = Judged(window.close(), window.capture_directory)
    with pytest.raises(HarnessFault, match="capture_health INCONCLUSIVE") as caught:
        judged.expect(placement="plain")
    assert "dropped" in caught.value.message
    assert "servernic-eth0.pcap" in caught.value.message
    assert Outcome.PASS not in {verdict.outcome for verdict in judged.verdicts}
    assert Outcome.FAIL not in {verdict.outcome for verdict in judged.verdicts}


def test_a_tap_that_ended_is_named(window, load, sessions):
    window.open("kernel")
    tap = next(tap for tap in sessions[0].taps if tap.port.tap == "clientnic-eth1")
    tap.signal(signal.SIGKILL)
    assert load() == 5
    with pytest.raises(CaptureUnhealthy, match="tap clientnic-eth1 ended by itself with -9"):
        window.close()


def test_captures_that_hold_nothing_conclude_nothing(window, load, sessions, monkeypatch):
    """A filter that lets nothing through: counters are sound, and there is nothing to see."""
    monkeypatch.setattr(capture_session, "Options", lambda **told: Options(**{**told, "filter": "tcp port 9"}))
    window.open("kernel")
    assert load() == 5
    judged = Judged(window.close(), window.capture_directory)
    with pytest.raises(HarnessFault, match="an empty capture"):
        judged.expect(placement="plain")
    told = {verdict.outcome for verdict in judged.verdicts}
    assert told - {Outcome.NOT_APPLICABLE} == {Outcome.INCONCLUSIVE}


def test_no_traffic_is_no_pass(window):
    window.open("kernel")
    judged = Judged(window.close(), window.capture_directory)
    with pytest.raises(HarnessFault, match="no flow lies wholly within the captures"):
        judged.expect()


def test_a_test_of_a_user_meets_it_as_an_error_that_names_it(tmp_path: Path) -> None:
    """The whole way, in a session of its own: the second of two tests runs on a lab that the first has spoilt."""
    (tmp_path / "test_spoilt.py").write_text(SPOILT)
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-q"]
    argv += ["--rootdir", str(tmp_path), "--lab-topology", "chain-lan.yaml", str(tmp_path)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert "the lab is not as it was proven: route 10.1.2.0/24 on client" in done.stdout
