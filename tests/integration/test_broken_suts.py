"""The predecessor's bugs, and others, as systems under test: each must be caught by its own name.

A row says which checks have to fail, with which words in their summary or evidence, and which have to pass: a fault is
told apart from its neighbours. What is not named may say what it likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hopscope.checks.verdict import Outcome, Verdict
from hopscope.errors import EnvironmentFault, ProductFault
from hopscope.hosts.program import python_program
from hopscope.hosts.ready import LogLine
from hopscope.model.topology import Impairment
from hopscope.plugin.window import Window
from support import broken
from support.broken import noise

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

FAIL, PASS = Outcome.FAIL, Outcome.PASS


@dataclass(frozen=True)
class Row:
    """A broken SUT, its load, and what has to be said of it: words by check, which then FAILs, and checks that pass."""

    name: str
    placement: str
    fails: dict[str, str]
    passes: tuple[str, ...] = ()
    load: dict[str, Any] = field(default_factory=lambda: {"count": 10, "rate": 50})
    completed: bool = True


NAIVE_FAILS = {
    "ordering": "answered too late",
    "carried_by": "the server's real SYN-ACK",
    "claims": "flow said to be answered that was not",
}

UNDER_A_MILLISECOND = [
    Row("naive", "hold", NAIVE_FAILS, load={"count": 5, "rate": 5}),
    Row(
        "stale-macs",
        "stamp",
        {"next_hop": "the addresses of the frame that the box received, on clientnic-eth1--servernic-eth0",
         "delivery": "lost on the hop clientnic-eth1--servernic-eth0"},
        passes=("ordering", "checksums", "capture_health"),
        load={"count": 3, "rate": 20, "timeout": 2.0, "grace": 0.0},
        completed=False,
    ),
    Row(
        "rare-ack",
        "stamp",
        {"translation": "acknowledgement without its twin's number"},
        passes=("ordering", "checksums", "next_hop", "delivery", "claims"),
        load={"count": 20, "rate": 40, "rounds": 600},
    ),
    Row(
        "leaks-stamp",
        "stamp",
        {"translation": "stamp leaked to the server"},
        passes=("ordering", "checksums", "delivery", "next_hop", "claims"),
    ),
    Row(
        "answers-twice",
        "stamp",
        {"translation": "SYN answered more than once"},
        passes=("ordering", "checksums", "delivery", "next_hop", "claims"),
    ),
    Row(
        "two-numbers",
        "stamp",
        {"translation": "SYN-ACK of a third ISN"},
        passes=("ordering", "checksums", "next_hop"),
    ),
    Row(
        "boasts",
        "stamp",
        {"claims": "frames counted as sent that never left"},
        passes=("ordering", "carried_by", "translation", "checksums", "delivery", "next_hop"),
    ),
    Row(
        "bad-checksum",
        "stamp",
        {"checksums": "TCP checksum 0x"},
        passes=("ordering", "carried_by", "translation", "delivery", "next_hop", "claims"),
    ),
    Row(
        "keeps-flows",
        "stamp",
        {"teardown": "10 flows"},
        passes=("ordering", "carried_by", "translation", "checksums", "delivery", "next_hop", "claims"),
    ),
    Row(
        "narrow-window",
        "stamp",
        {"windows": "right edge shrunk"},
        passes=("ordering", "carried_by", "translation", "clocks", "passage", "checksums", "delivery", "next_hop"),
    ),
    Row(
        "other-clock",
        "stamp",
        {"clocks": "TSecr that echoes nothing"},
        passes=("ordering", "carried_by", "windows", "passage", "checksums", "delivery", "next_hop"),
    ),
    Row(
        "sends-twice",
        "stamp",
        {"passage": "made inside servernic"},
        passes=("ordering", "carried_by", "windows", "checksums", "delivery", "next_hop"),
    ),
    Row(
        "raises-mss",
        "stamp",
        {"options": "MSS 8960"},
        passes=("ordering", "carried_by", "translation", "checksums", "delivery", "next_hop"),
    ),
    Row(
        "acks-twice",
        "stamp",
        {"identities": "packets at servernic-eth1"},
        passes=("ordering", "carried_by", "options", "passage", "checksums", "delivery", "next_hop"),
    ),
]  # fmt: skip


def row_id(row: Row) -> str:
    return row.name


@pytest.fixture
def sut(request, chain, monkeypatch) -> str:
    """The row's SUT by name: broken ones are no files that a user could name, so the chain is told of them."""
    known = chain.sut
    monkeypatch.setattr(chain, "sut", lambda name, folders=(): broken.SUTS.get(name) or known(name, folders))
    row = request.getfixturevalue("row") if "row" in request.fixturenames else None
    return row.name if row else getattr(request, "param", "kernel")


def told(verdict: Verdict) -> str:
    return "\n".join([verdict.summary, *(f"{each.expected} | {each.seen}" for each in verdict.evidence)])


def caught(judged, row: Row) -> dict[str, Verdict]:
    """Judge as a user's test would, and compare with the row."""
    with pytest.raises(ProductFault):
        judged.expect(placement=row.placement)
    verdicts = {verdict.check: verdict for verdict in judged.verdicts}
    for check, words in row.fails.items():
        assert verdicts[check].outcome is FAIL, f"{check}: {told(verdicts[check])}"
        assert words in told(verdicts[check]), told(verdicts[check])
        assert verdicts[check].evidence
    for check in row.passes:
        assert verdicts[check].outcome is PASS, f"{check}: {told(verdicts[check])}"
    return verdicts


@pytest.mark.lab_topology("chain-lan.yaml")
@pytest.mark.parametrize("row", UNDER_A_MILLISECOND, ids=row_id)
def test_caught_at_a_round_trip_under_a_millisecond(chain, capture, traffic, trace, row):
    assert chain.rtt_ns < 1_000_000
    report = traffic.connections(**row.load, check_rate=False)
    assert (report.completed == report.asked) is row.completed, "the user's own test sees nothing else"
    if "teardown" in row.fails:
        capture.settle()
        capture.wait_tables(lingering=True)
    caught(trace(), row)


@pytest.mark.parametrize("row", [Row("naive", "hold", NAIVE_FAILS, load={"count": 5, "rate": 5})], ids=["naive-20ms"])
def test_caught_at_twenty_milliseconds(traffic, trace, row):
    report = traffic.connections(**row.load, check_rate=False)
    assert report.completed == report.asked
    caught(trace(), row)


@pytest.mark.lab_topology("chain-100ms.yaml")
@pytest.mark.parametrize(
    "row",
    [Row("naive", "hold", {"carried_by": "the server's real SYN-ACK"}, load={"count": 3, "rate": 3, "timeout": 4.0})],
    ids=["naive-100ms"],
)
def test_a_kernel_that_comes_second_has_still_carried_it(traffic, trace, row):
    """With time enough the spoofed answer is the first one, and what follows is a mess of two connections."""
    traffic.connections(**row.load, check_rate=False)
    caught(trace(), row)


@pytest.mark.parametrize(
    "row",
    [
        Row(
            "forgotten-sack",
            "stamp",
            {"translation": "SACK edge without its twin's number"},
            passes=("carried_by", "checksums", "delivery", "next_hop"),
            load={"count": 6, "rate": 6, "response": 300_000},
        )
    ],
    ids=row_id,
)
def test_one_forgotten_sack_edge_is_caught_where_packets_are_lost(chain, traffic, trace, row):
    wan = chain.topology.wan
    with chain.lab.applied(chain.lab.impairment(wan.name, Impairment(rtt_ms=20, loss=0.02))):
        report = traffic.connections(**row.load, check_rate=False)
    assert report.completed == report.asked
    verdicts = caught(trace(), row)
    assert verdicts["translation"].metrics["SACK edge without its twin's number"] == 1


@contextmanager
def metadata_noise(chain, directory: Path) -> Iterator[None]:
    """A host bearing 169.254.169.254, as the first router of a cloud does, and agents on the client that ask for it."""
    gateway, client = chain.host("clientnic"), chain.host("client")
    address, route = [f"{noise.TARGET}/32", "dev", "lo"], [f"{noise.TARGET}/32", "via", "10.1.0.1"]
    gateway.run(["ip", "address", "add", *address])
    client.run(["ip", "route", "add", *route])
    try:
        argv = [*python_program(client, Path(noise.__file__)), "10.1.0.10"]
        with client.spawn(argv, name="noise", ready=LogLine("started", stream="stdout"), directory=directory):
            yield
    finally:
        client.run(["ip", "route", "del", *route])
        gateway.run(["ip", "address", "del", *address])


@pytest.mark.parametrize(
    "row",
    [
        Row("catch-all", "hold", {"ordering": "first payload less than"}, passes=("checksums", "next_hop")),
        Row("hold", "hold", {}, passes=("ordering", "carried_by", "translation", "delivery", "claims")),
    ],
    ids=["filter-tcp", "filter-narrow"],
)
def test_metadata_traffic_queues_in_front_of_a_syn_that_is_filtered_widely(chain, traffic, trace, test_directory, row):
    with metadata_noise(chain, test_directory):
        report = traffic.connections(count=30, rate=37, check_rate=False)
    assert report.completed == report.asked
    judged = trace()
    if row.fails:
        caught(judged, row)
    else:
        judged.expect(placement=row.placement)


@pytest.mark.lab_topology("chain-lan.yaml")
@pytest.mark.parametrize("sut", ["dies-halfway"], indirect=True)
def test_a_box_that_dies_halfway_is_named_with_its_code(traffic, trace, sut):
    report = traffic.connections(count=20, rate=50, timeout=2.0, grace=0.0, check_rate=False)
    assert report.completed >= 9
    with pytest.raises(ProductFault, match=r"a box ended by itself: clientnic .* with 7"):
        trace()


@pytest.mark.lab_topology("chain-lan.yaml")
@pytest.mark.lab_uncaptured
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("never-ready", ["clientnic", "ready", "1.5 s"]),
        ("wrong-interface", ["clientnic", "--client-port eth2: no such interface", "eth0 (10.1.0.1/24)", "eth1"]),
    ],
)
def test_a_box_that_does_not_start_says_why(chain, sut, test_directory, name, words):
    """Through the window that the fixtures open: what a user's test meets in its set-up."""
    window = Window(chain, test_directory)
    try:
        with pytest.raises(EnvironmentFault) as caught_fault:
            window.open(name)
    finally:
        window.abandon()
    for word in words:
        assert word in str(caught_fault.value), str(caught_fault.value)
