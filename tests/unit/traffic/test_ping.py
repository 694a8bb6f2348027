"""What ping(8) says, counted: nothing that is no answer counts as one."""

from __future__ import annotations

import pytest

from hopscope.errors import EnvironmentFault
from hopscope.traffic.path_mtu import path_mtu
from hopscope.traffic.ping import parse, ping
from support.fakehost import FakeHost

ANSWERED = """\
PATTERN: 0x00
PING 10.9.0.2 (10.9.0.2) 56(84) bytes of data.
64 bytes from 10.9.0.2: icmp_seq=1 ttl=64 time=4.63 ms
64 bytes from 10.9.0.2: icmp_seq=2 ttl=64 time=5.63 ms

--- 10.9.0.2 ping statistics ---
2 packets transmitted, 2 received, 0% packet loss, time 20ms
rtt min/avg/max/mdev = 4.630/5.130/5.630/0.500 ms, pipe 2
"""
UNREACHABLE = """\
PING 10.9.0.2 (10.9.0.2) 56(84) bytes of data.
From 10.8.0.1 icmp_seq=1 Destination Host Unreachable
From 10.8.0.1 icmp_seq=2 Destination Host Unreachable

--- 10.9.0.2 ping statistics ---
2 packets transmitted, 0 received, +2 errors, 100% packet loss, time 1005ms
"""
TOO_LARGE = """\
PING 10.9.0.2 (10.9.0.2) 1473(1501) bytes of data.
ping: local error: message too long, mtu=1500

--- 10.9.0.2 ping statistics ---
1 packets transmitted, 0 received, +1 errors, 100% packet loss, time 0ms
"""
TWICE = ANSWERED.replace("icmp_seq=2 ttl=64 time=5.63 ms", "icmp_seq=1 ttl=64 time=5.63 ms (DUP!)").replace(
    "2 packets transmitted, 2 received, 0%", "2 packets transmitted, 1 received, +1 duplicates, 50%"
)
SILENT = "PING 10.9.0.2\n\n--- 10.9.0.2 ping statistics ---\n3 packets transmitted, 0 received, 100% packet loss\n"


def host(tmp_path, text: str, code: int = 0, err: str = "") -> FakeHost:
    return FakeHost("left", tmp_path / "left", answers={"ping": (code, text.encode(), err.encode())})


@pytest.mark.parametrize(
    ("text", "err", "counted", "words", "ok"),
    [
        (ANSWERED, "", (2, 2, 0, 0), (), True),
        (UNREACHABLE, "", (2, 0, 2, 0), ("10.8.0.1 Destination Host Unreachable",), False),
        (TOO_LARGE, "", (1, 0, 1, 0), ("local error: message too long, mtu=1500",), False),
        (TWICE, "", (2, 1, 0, 1), (), False),
        (SILENT, "", (3, 0, 0, 0), (), False),
        ("", "ping: connect: Network is unreachable", (0, 0, 1, 0), ("connect: Network is unreachable",), False),
    ],
    ids=["answered", "unreachable", "too large", "twice", "silent", "no network"],
)
def test_every_echo_is_accounted_for(tmp_path, text, err, counted, words, ok) -> None:
    report = ping(host(tmp_path, text, err=err), "10.9.0.2")
    assert (report.sent, report.received, report.errors, report.duplicates) == counted
    assert (report.words, report.ok) == (words, ok)
    assert report.loss == (1.0 if not report.received else 1 - report.received / report.sent)


def test_round_trips_are_those_of_first_answers(tmp_path) -> None:
    assert ping(host(tmp_path, ANSWERED), "10.9.0.2").rtts_ms == (4.63, 5.63)
    assert ping(host(tmp_path, TWICE), "10.9.0.2").rtts_ms == (4.63,)
    assert ping(host(tmp_path, SILENT), "10.9.0.2").rtt_ms is None


@pytest.mark.parametrize("text", ["ping: invalid option -- 'M'", "", "Usage: ping"])
def test_what_is_no_account_of_a_ping_is_refused(tmp_path, text) -> None:
    assert parse(text) is None
    with pytest.raises(EnvironmentFault, match="told nothing that can be counted"):
        ping(host(tmp_path, "", 2, text), "10.9.0.2")


@pytest.mark.parametrize(("target", "payload"), [("10.9.0.2", "1472"), ("fd00::2", "1452")])
def test_the_size_is_that_of_the_ip_packet_and_it_is_never_fragmented(tmp_path, target, payload) -> None:
    left = host(tmp_path, ANSWERED)
    report = ping(left, target, size=1500, count=2, wait_s=0.4)
    (argv,) = left.commands
    assert argv[argv.index("-s") + 1] == payload
    assert argv[argv.index("-M") + 1] == "do"
    assert (argv[argv.index("-p") + 1], len(report.tag)) == (report.tag, 32)
    assert [argv[argv.index(option) + 1] for option in ("-c", "-l", "-i", "-W")] == ["2", "2", "0.400", "0.400"]


def test_a_ping_without_room_for_its_tag_is_refused(tmp_path) -> None:
    with pytest.raises(EnvironmentFault, match="no room for the tag"):
        ping(host(tmp_path, ANSWERED), "10.9.0.2", size=40)


def passing_up_to(tmp_path, largest: int) -> FakeHost:
    def answer(argv: list[str]) -> bytes:
        fits = int(argv[argv.index("-s") + 1]) + 28 <= largest
        return (ANSWERED if fits else SILENT).encode()

    return FakeHost("left", tmp_path / "left", answers={"ping": answer})


@pytest.mark.parametrize(
    ("largest", "measured", "most"),
    [(1500, 1500, 1), (1499, 1499, 13), (1000, 1000, 13), (576, 576, 13), (500, None, 2)],
)
def test_the_mtu_is_found_by_halving(tmp_path, largest, measured, most) -> None:
    found = path_mtu(passing_up_to(tmp_path, largest), "10.9.0.2", wanted=1500)
    assert (found.bytes, found.ok) == (measured, measured == 1500)
    assert found.tried <= most
    assert f"{measured or 'nothing'}" in str(found)


def test_an_mtu_below_what_every_host_takes_is_refused(tmp_path) -> None:
    with pytest.raises(EnvironmentFault, match="less than every host has to take"):
        path_mtu(passing_up_to(tmp_path, 500), "10.9.0.2", wanted=500)
