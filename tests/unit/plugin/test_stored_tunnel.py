"""``--lab-replay`` of tests of a tunnel, on stored runs of golden captures. No tunnel and no lab is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hopscope.errors import ProductFault
from hopscope.plugin.tunnels import Tunnel
from support import golden_tunnel, stored_runs
from support.golden_tunnel import PINGS, SEGMENT, SEGMENTS, SIZE
from support.stored_runs import digest, reached

pytest_plugins = ["pytester"]

TESTS = f"""
    import pytest
    pytestmark = [pytest.mark.integration, pytest.mark.lab_topology("tunnel.yaml")]

    def pinged(tunnel, count={PINGS}):
        reports = tunnel.ping(sizes=({SIZE},), count=count)
        assert [(each.host, each.received, each.rtts_ms) for each in reports] == [
            ("left", {PINGS}, (5.5, 5.5, 5.5)), ("right", {PINGS}, (5.5, 5.5, 5.5))
        ]

    def test_everything(tunnel):
        assert (tunnel.name, tunnel.reconnects) == ("golden", True)
        pinged(tunnel)
        assert tunnel.counters(count={PINGS})["left"]["tx"] == {2 * PINGS}
        assert [way.received for way in tunnel.transfer(bytes={SEGMENTS * SEGMENT}).ways] == [{SEGMENTS * SEGMENT}] * 2
        tunnel.idle(2.0)
        assert tunnel.established() == {{"left": ["one"], "right": ["one"]}}
        assert [each.bytes for each in tunnel.mtu()] == [1500, 1500]
        assert (tunnel.cut(0.5).again_s, tunnel.reconnect().again_s, tunnel.restart("left").again_s) == (0.1, 0.2, 0.3)
        assert [verdict.check for verdict in tunnel.verdicts].count("pings") == 7
    def test_capture_changed(tunnel): pinged(tunnel)
    def test_changed_later(tunnel):
        pinged(tunnel)
        tunnel.transfer(bytes={SEGMENTS * SEGMENT})
    def test_ended_later(tunnel): tunnel.established()
    def test_better_today(tunnel): pinged(tunnel)
    def test_other_arguments(tunnel): pinged(tunnel, count=4)
    def test_other_call(tunnel): tunnel.transfer()
    def test_daemon_died(tunnel): pinged(tunnel)
    def test_dead_before(tunnel): pass
    def test_goes_further(tunnel):
        pinged(tunnel)
        pinged(tunnel)
    def test_was_stopped_by_a_check(tunnel): tunnel.established()
    def test_never_again(tunnel): tunnel.cut(0.5)
    def test_readable_outside(tunnel): pinged(tunnel)
    def test_not_as_recorded(tunnel): pinged(tunnel)
    def test_looks(tunnel, capture): assert (capture.look() / "left-tun0.pcap").is_symlink()
    def test_command(tunnel): tunnel.host("left").run(["ip", "route"])
    def test_looks_inside(tunnel): tunnel.running.device("left")
    def test_recorded_before(tunnel): pinged(tunnel)
    """

BOTH = {"left": ["one"], "right": ["one"]}
"""Connections by host."""
DIED = ProductFault("the daemon on left has ended with 7")

#: Outcome of each test in a replay, and words of its reason.
EXPECTED = {
    "test_everything": ("passed", ""),
    "test_capture_changed": ("failure", "golden: pings FAIL: left to 10.9.0.2, 128 bytes: 1 of 3 lost between tun0 of"),
    "test_changed_later": ("failure", "golden: transfer FAIL: left to right: 3,500 of 4,200 bytes"),
    "test_ended_later": ("error", "transport FAIL"),  # not the call, which had seen it alive
    "test_better_today": ("passed", ""),
    "test_other_arguments": ("failure", "it called tunnel.ping(count=3), and now calls tunnel.ping(count=4)"),
    "test_other_call": ("skipped", "INCONCLUSIVE: the stored test did not come to tunnel.transfer()"),
    "test_daemon_died": ("failure", DIED.message),
    "test_dead_before": ("error", DIED.message),
    "test_goes_further": ("skipped", "INCONCLUSIVE: the stored test did not come to tunnel.ping(sizes=[128], count=3)"),
    "test_was_stopped_by_a_check": (
        "skipped",
        "INCONCLUSIVE: the stored test did not come to pings in tunnel.established()",
    ),
    "test_never_again": ("failure", "golden: the daemon on right is stopped; recovery FAIL: link cut for 0.50 s: does"),
    "test_readable_outside": ("error", "secrecy FAIL"),
    "test_not_as_recorded": ("skipped", "capture-1/left-eth0.pcap has been changed since it was recorded"),
    "test_looks": ("passed", ""),
    "test_command": ("skipped", "needs a live lab: left.run(['ip', 'route'])"),
    "test_looks_inside": ("skipped", "needs a live lab: tunnel.running.device('left')"),
    "test_recorded_before": ("skipped", "needs a live lab: tunnel: the run was recorded before"),
}


class Story:
    """A golden tunnel grows as a test asks it, and each call goes on the test's tape."""

    def __init__(self, test: stored_runs.TestRecord, **how: Any) -> None:
        self.test, self.tunnel = test, golden_tunnel.Tunnel(**how)
        test.tunnel()
        self.tunnel.handshake()

    def pings(self) -> tuple[str, Any]:
        self.tunnel.ping("left")
        self.tunnel.ping("right")
        return "pings", [
            {name: each[name] for name in each if name != "end"} | {"rtts_ms": [5.5] * PINGS}
            for each in self.tunnel.said["pings"][-2:]
        ]

    def look(self) -> tuple[str, Any]:
        return "look", self.tunnel.look()

    def ping(self, *more: tuple[str, Any]) -> None:
        self.test.asked(Tunnel.ping, self.pings(), self.look(), *more, sizes=[SIZE], count=PINGS)

    def transfer(self) -> None:
        self.tunnel.transfer()
        said = self.tunnel.said["transfers"][-2:]
        ways = [
            {"host": each["end"], "to": golden_tunnel.OTHER[each["end"]], "sent": each["asked"]}
            | {name: each[name] for name in ("asked", "received", "same", "error")}
            for each in said
        ]
        report = {"ways": ways, "seconds": 0.1, "start_ns": said[0]["start_ns"], "end_ns": said[0]["end_ns"]}
        self.test.asked(Tunnel.transfer, ("transfer", report), self.look(), bytes=SEGMENTS * SEGMENT)

    def established(self) -> None:
        self.test.asked(Tunnel.established, ("established", BOTH), self.pings(), self.look(), self.look())

    def everything(self) -> None:
        start = self.tunnel.now
        self.ping()
        self.tunnel.counters(start)
        moved = {each["host"]: each["moved"] for each in self.tunnel.said["counters"]}
        self.test.asked(Tunnel.counters, ("counters", moved), self.look(), count=PINGS)
        self.transfer()
        self.tunnel.idle()
        self.test.asked(Tunnel.idle, ("idle", None), self.pings(), self.look(), self.look(), seconds=2.0)
        self.established()
        mtus = [{"host": host, "target": "there", "bytes": 1500, "wanted": 1500, "tried": 1} for host in BOTH]
        self.test.asked(Tunnel.mtu, ("mtus", mtus), self.pings(), self.look())
        for method, again_s, asked in ((Tunnel.cut, 0.1, {"seconds": 0.5}), (Tunnel.reconnect, 0.2, {})):
            away = {"what": "it", "away_s": 0.5, "again_s": again_s}
            self.test.asked(method, (method.__name__, away), self.pings(), self.look(), **asked)
        self.test.asked(Tunnel.restart, ("restart", 0.3), self.pings(), self.look(), host="left")

    def end(self) -> None:
        self.test.captured(self.tunnel)
        self.test.close()


def flipped(packet: bytes) -> bytes:
    """The packet with another tag, or of other ports."""
    return packet[:20] + bytes(byte ^ 1 for byte in packet[20:])


def stored(root: Path) -> Path:
    """A run of the tests above, and what has happened to it since."""
    run = stored_runs.StoredRunBuilder(root, topology="tunnel")
    stories: dict[str, Story] = {}
    for name in EXPECTED:
        if name not in ("test_dead_before", "test_recorded_before"):
            stories[name] = Story(run.test(f"test_mine.py::{name}"), clear=name == "test_readable_outside")
    for name in ("capture_changed", "changed_later", "other_arguments", "other_call", "goes_further",
                 "readable_outside", "not_as_recorded"):  # fmt: skip
        stories[f"test_{name}"].ping()
    stories["test_everything"].everything()
    stories["test_capture_changed"].tunnel.change("right-tun0", "request 2 of left", flipped)
    stories["test_changed_later"].transfer()
    stories["test_changed_later"].tunnel.change("right-tun0", "bytes 5 of left", flipped)
    stories["test_ended_later"].established()
    stories["test_ended_later"].tunnel.segment("left", "R")
    stories["test_better_today"].ping(("state", [["left"], "its log"]))
    stories["test_daemon_died"].test.asked(Tunnel.ping, ("pings", DIED), sizes=[SIZE], count=PINGS)
    halted = ("state", [["right"], "its log"])
    stories["test_was_stopped_by_a_check"].test.asked(Tunnel.established, ("established", BOTH), halted)
    away = {"what": "link cut", "away_s": 0.5, "again_s": None}
    stories["test_never_again"].test.asked(Tunnel.cut, ("cut", away), halted, seconds=0.5)
    for name, story in stories.items():
        story.end()
        run.add(story.test, "FAIL" if name == "test_better_today" else "PASS")
    spoilt = stories["test_not_as_recorded"].test.directory / "capture-1" / "left-eth0.pcap"
    spoilt.write_bytes(flipped(spoilt.read_bytes()))

    dead = run.test("test_mine.py::test_dead_before")
    dead.tunnel(DIED)
    run.add(dead, "FAIL")
    old = run.test("test_mine.py::test_recorded_before")
    old.tape.note("open", sut=None, folder="capture-1")
    run.add(old)
    return run.finish()


def test_each_test_of_a_tunnel_is_judged_again_or_says_why_not(pytester, run, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    pytester.makepyfile(test_mine=TESTS)
    stored_run = stored(pytester.path / ".hopscope" / "runs")
    before = digest(stored_run)
    result = run(f"--lab-replay={stored_run.name}", "--junitxml=junit.xml")

    seen = reached(pytester.path / "junit.xml")
    assert {name: outcome for name, (outcome, _) in seen.items()} == {
        name: outcome for name, (outcome, _) in EXPECTED.items()
    }, str(result.stdout)
    for name, (_, words) in EXPECTED.items():
        assert words in seen[name][1], seen[name][1]
    result.stdout.fnmatch_lines(["  test_mine.py::test_better_today: was FAIL, is PASS"])
    result.stdout.no_fnmatch_line("*test_everything: was*")
    result.stdout.fnmatch_lines(["*its log*"])
    assert digest(stored_run) == before, "a stored run is only read"
