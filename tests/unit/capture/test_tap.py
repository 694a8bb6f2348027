from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hopscope.capture import tap as tap_module
from hopscope.capture.programs import Options
from hopscope.capture.tap import CaptureTap, Statistics, statistics
from hopscope.errors import HarnessFault
from hopscope.model.topology import Port
from hopscope.wire.writer import write_pcap
from support.fakehost import FakeHost, FakeProcess

PORT = Port(host="client", name="eth0")  # type: ignore[call-arg]
Behave = Callable[[FakeProcess, int], None]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's clock is what ``date`` answers."""
    monkeypatch.setattr(tap_module, "now_ns", lambda executor: int(executor.run(["date", "+%s%N"]).text))


def counts(captured: int, received: int, dropped: int) -> str:
    return f"{captured} packets captured, {received} packets received by filter, {dropped} packets dropped by kernel"


def frames(file: Path, count: int) -> None:
    write_pcap(file, [(index, bytes(60)) for index in range(count)])


def program(file: Path, answers: list[tuple[int, int, int]], *, written: int, code: int = 0) -> Behave:
    """Answers USR1 with one set of counters after the other, and INT by ending with the last of them."""
    left = list(answers)

    def behave(process: FakeProcess, sig: int) -> None:
        if sig == 0:
            frames(file, written)
        elif sig == signal.SIGUSR1:
            process.say(counts(*left[0]))
            if len(left) > 1:
                left.pop(0)
        else:
            process.say(
                "{} packets captured\n{} packets received by filter\n{} packets dropped by kernel".format(*left[0])
            )
            process.code = code

    return behave


def started(tmp_path: Path, behave: Behave) -> tuple[CaptureTap, FakeHost]:
    host = FakeHost("client", tmp_path / "host", behave, {"date": b"1700000000000000123\n"})
    tap = CaptureTap(host, PORT, tmp_path / "client-eth0.pcap", Options(), program="tcpdump")
    tap.start()
    return tap, host


def test_counters_in_both_forms_and_only_whole_lines() -> None:
    log = counts(1, 2, 0) + "\n" + "3 packets captured\n4 packets received by filter\n1 packet dropped by kernel\n"
    assert statistics(log) == [Statistics(1, 2, 0), Statistics(3, 4, 1)]
    assert statistics(log + counts(5, 5, 0)) == statistics(log)
    assert statistics("tcpdump: 1 packet captured, 1 packet received by filter, 0 packets dropped by kernel\n")
    assert Statistics(3, 4, 1).drained
    assert not Statistics(3, 4, 0).drained


def test_a_tap_asks_until_the_ring_is_empty_and_then_interrupts(tmp_path: Path) -> None:
    file = tmp_path / "client-eth0.pcap"
    tap, host = started(tmp_path, program(file, [(0, 7, 0), (4, 7, 0), (7, 7, 0)], written=7))
    report = tap.stop()
    assert host.processes[0].signals == [signal.SIGUSR1] * 3 + [signal.SIGINT]
    assert report.healthy
    assert (report.captured, report.received, report.dropped, report.problem) == (7, 7, 0, "")
    assert report.live_ns == 1700000000000000123


def test_what_comes_after_a_tap_was_drained_is_not_claimed(tmp_path: Path) -> None:
    """A daemon that keeps itself alive never stops sending: two more have come when the tap is told to end."""
    file = tmp_path / "client-eth0.pcap"
    tap, _ = started(tmp_path, program(file, [(7, 7, 0), (7, 9, 0)], written=7))
    report = tap.stop()
    assert report.healthy
    assert (report.captured, report.received, report.end_ns) == (7, 7, 1700000000000000123)


def test_packets_that_the_kernel_dropped_are_told(tmp_path: Path) -> None:
    file = tmp_path / "client-eth0.pcap"
    tap, _ = started(tmp_path, program(file, [(7, 9, 2)], written=7))
    report = tap.stop()
    assert not report.healthy
    assert (report.captured, report.received, report.dropped, report.problem) == (7, 9, 2, "")


def test_a_tap_that_died_is_never_whole(tmp_path: Path) -> None:
    file = tmp_path / "client-eth0.pcap"
    tap, host = started(tmp_path, program(file, [(3, 3, 0)], written=3))
    host.processes[0].say("tcpdump: pcap_loop: The interface disappeared")
    host.processes[0].code = 1
    report = tap.stop()
    assert not report.healthy
    assert report.problem == "ended by itself with 1: tcpdump: pcap_loop: The interface disappeared"
    assert (report.captured, report.received) == (3, 4)
    assert "disappeared" in report.evidence


def test_a_tap_that_ended_early_is_not_whole_even_if_it_says_that_all_is_well(tmp_path: Path) -> None:
    file = tmp_path / "client-eth0.pcap"
    tap, host = started(tmp_path, program(file, [(3, 3, 0)], written=3))
    host.processes[0].code = 0
    report = tap.stop()
    assert not report.healthy
    assert report.problem.startswith("ended by itself with 0")


def test_the_size_bound_is_said(tmp_path: Path) -> None:
    file = tmp_path / "client-eth0.pcap"
    tap, host = started(tmp_path, program(file, [(3, 3, 0)], written=3))
    host.processes[0].code = -signal.SIGXFSZ
    assert "reached its bound of 2000000000 bytes" in tap.stop().problem


def test_a_file_with_fewer_packets_than_were_counted_is_no_capture(tmp_path: Path) -> None:
    file = tmp_path / "client-eth0.pcap"
    tap, _ = started(tmp_path, program(file, [(7, 7, 0)], written=5))
    report = tap.stop()
    assert "holds 5 of the 7 packets" in report.problem
    assert "MiB are free" in report.problem
    assert not report.healthy


def test_a_cut_file_is_no_capture(tmp_path: Path) -> None:
    file = tmp_path / "client-eth0.pcap"
    tap, _ = started(tmp_path, program(file, [(7, 7, 0)], written=7))
    file.write_bytes(file.read_bytes()[:-3])
    assert "ends in the middle of one" in tap.stop().problem


def test_a_ring_that_never_empties_is_a_problem_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_module, "DRAIN_SECONDS", 0.1)
    file = tmp_path / "client-eth0.pcap"
    tap, host = started(tmp_path, program(file, [(3, 7, 0)], written=3))
    report = tap.stop()
    assert "not drained: waited 0.1 s for tap client-eth0" in report.problem
    assert host.processes[0].code == 0
    assert not report.healthy


def test_a_tap_has_to_be_started(tmp_path: Path) -> None:
    tap = CaptureTap(FakeHost("client", tmp_path), PORT, tmp_path / "x.pcap")
    tap.kill()
    with pytest.raises(HarnessFault, match="was not started"):
        tap.stop()
