"""Take any check away, and there is a capture that nobody rejects any more.

For each of ``standard()`` one golden trace that it alone catches: the others pass it or do not concern themselves, and
none of them says the words by which it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hopscope.checks.expectation import Expectation, standard
from hopscope.checks.verdict import Outcome, Verdict
from support import golden
from support.golden import Chain, Recipe

BAD = (Outcome.FAIL, Outcome.INCONCLUSIVE)


@dataclass(frozen=True)
class Case:
    """A change of a golden trace, what is claimed of it, and the words that name what is wrong."""

    recipe: Recipe
    change: Callable[[Chain], object]
    words: str


def dropped(chain: Chain) -> None:
    chain.tap_facts["servernic-eth0"]["dropped"] = 3


def late(chain: Chain) -> None:
    golden.change(chain, "clientnic-eth0", "spoof", time_ns=lambda time_ns: time_ns + 30_000_000)


def kernel_carried(chain: Chain) -> None:
    """The server's own SYN-ACK comes through the box as well, behind the box's; the client has no use for it."""
    real = chain.find("clientnic-eth1", "synack")[0]
    for late, tap in enumerate(("clientnic-eth0", "client-eth0"), start=1):
        spoof = chain.find(tap, "spoof")[0]
        chain.taps[tap].append(golden.replace(spoof, seq=real.seq, time_ns=real.time_ns + late * 20_000))


def forgotten_edge(chain: Chain) -> None:
    wrong = [(left + 1, right) for left, right in chain.find("servernic-eth1", "ack-response", 1)[1].options.sack]
    golden.change(chain, "servernic-eth1", "ack-response", flow=1, nth=1, opt_sack=wrong)


def larger_segments_asked_for(chain: Chain) -> None:
    """Nobody sends any, so far."""
    for tap in golden.TAPS[4:]:
        golden.change(chain, tap, "syn", opt_mss=8960)


def closing_window(chain: Chain) -> None:
    golden.change(chain, "clientnic-eth0", "response", window=lambda window: window - 2)
    golden.change(chain, "client-eth0", "response", window=lambda window: window - 2)


def echo_of_nothing(chain: Chain) -> None:
    """Of one flow the box moves every echo, and not the clock: all by one constant, which nobody else minds."""
    for tap in golden.TAPS[4:]:
        for label in ("ack", "request", "ack-response", "fin-client", "ack-last"):
            for nth in range(len(chain.find(tap, label))):
                golden.change(chain, tap, label, nth=nth, opt_tsecr=lambda value: value + 1_000_000)
    for tap in golden.TAPS[:4]:
        for label in ("synack", "response", "fin-server"):
            for nth in range(len(chain.find(tap, label))):
                golden.change(chain, tap, label, nth=nth, opt_tsval=lambda value: value - 1_000_000)


def copied(chain: Chain) -> None:
    """A copy that the box made: whatever lies behind it sees it, too."""
    for tap in golden.TAPS[4:]:
        request = chain.find(tap, "request")[0]
        chain.taps[tap].append(golden.replace(request, time_ns=request.time_ns + 3_000))


def changed_byte(chain: Chain) -> None:
    for tap in golden.TAPS[3:]:
        golden.change(chain, tap, "request", payload=lambda payload: b"\x00" + payload[1:])


def bad_sum(chain: Chain) -> None:
    golden.change(chain, "client-eth0", "response", spoil="l4")


def stale_mac(chain: Chain) -> None:
    for tap in golden.TAPS[2:4]:
        golden.change(chain, tap, "request", dst_mac="02:00:00:00:00:99")


def full_table(chain: Chain) -> None:
    for event in chain.sidecar["sut"]:
        if event["event"] == "counters":
            event |= {"flows": 2, "time_ns": event["time_ns"] + 6_000_000_000}


def one_acknowledgement_too_few(chain: Chain) -> None:
    """Acknowledgements of one's own are a box's right; this one has promised to leave them as they are."""
    golden.drop(chain, "servernic-eth1", "ack-response")
    golden.drop(chain, "server-eth0", "ack-response")
    started = {"event": "sut_started", "sut": "mine", "placement": "stamp", "time_ns": golden.START_NS - 1}
    chain.sidecar["sut"].append(started | {"promises": ["identities"]})


def answered_early(chain: Chain) -> None:
    """As every early answer is; this system has promised to spare its ends what follows from it."""
    started = {"event": "sut_started", "sut": "mine", "placement": "stamp", "time_ns": golden.START_NS - 1}
    chain.sidecar["sut"].append(started | {"promises": ["round_trips"]})


def boast(chain: Chain) -> None:
    chain.sidecar["sut"][0]["isn"] += 1


STAMP = Recipe("stamp")
CASES = {
    "capture_health": Case(STAMP, dropped, "dropped 3"),
    "ordering": Case(STAMP, late, "answered too late"),
    "carried_by": Case(Recipe("hold"), kernel_carried, "carried by the kernel"),
    "translation": Case(STAMP, forgotten_edge, "SACK edge without its twin's number"),
    "options": Case(STAMP, larger_segments_asked_for, "MSS raised"),
    "windows": Case(STAMP, closing_window, "right edge shrunk"),
    "clocks": Case(STAMP, echo_of_nothing, "TSecr that echoes nothing"),
    "passage": Case(STAMP, copied, "once more, made inside servernic"),
    "identities": Case(STAMP, one_acknowledgement_too_few, "packets at servernic-eth1"),
    "round_trips": Case(STAMP, answered_early, "with a sample that is not the path's"),
    "delivery": Case(STAMP, changed_byte, "changed between clientnic-eth1 and servernic-eth0"),
    "checksums": Case(STAMP, bad_sum, "bad checksum"),
    "next_hop": Case(STAMP, stale_mac, "from a wrong address"),
    "teardown": Case(STAMP, full_table, "2 flows"),
    "claims": Case(STAMP, boast, "flow said to be answered that was not"),
}


def told(verdict: Verdict) -> str:
    return "\n".join([verdict.summary, *(f"{each.expected} | {each.seen}" for each in verdict.evidence)])


def test_every_standard_check_has_a_case():
    assert sorted(CASES) == sorted(check.name for check in standard())


@pytest.mark.parametrize("name", CASES)
def test_without_this_check_nobody_rejects(name, load):
    case = CASES[name]
    trace = load(case.recipe, case.change)
    whole = {verdict.check: verdict for verdict in Expectation(standard()).judge(trace)}
    assert whole[name].outcome in BAD, told(whole[name])
    assert case.words in told(whole[name])

    rest = Expectation(tuple(check for check in standard() if check.name != name)).judge(trace)
    assert not [told(verdict) for verdict in rest if case.words in told(verdict)]
    if name == "capture_health":  # what others saw in a lossy capture is no proof either: they do not pass
        assert Outcome.FAIL not in {verdict.outcome for verdict in rest}
    else:
        assert not [f"{verdict.check}: {told(verdict)}" for verdict in rest if verdict.outcome in BAD]
