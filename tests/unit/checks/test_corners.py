"""Traces that have little, much or strange in them: checks answer, and never crash."""

from __future__ import annotations

import random

import pytest

from hopscope.checks.expectation import Expectation, standard
from hopscope.checks.judge import judge_trace
from hopscope.checks.text import render
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import TAPS, Recipe
from support.grids import sparse


def only_background(chain):
    for frames in chain.taps.values():
        frames[:] = [frame for frame in frames if frame.flow is None]


def syns_alone(chain):
    for frames in chain.taps.values():
        frames[:] = [frame for frame in frames if frame.label in ("syn",)]


def the_middle_of_flows(chain):
    for frames in chain.taps.values():
        frames[:] = [frame for frame in frames if frame.label in ("response", "ack-response", "fin-client")]


@pytest.mark.parametrize(
    ("placement", "change", "claim"),
    sparse(
        ["plain", "stamp"],
        [only_background, syns_alone, the_middle_of_flows],
        [None, "stamp", "hold", "plain"],
        every=2,
    ),
)
def test_little_to_see_is_never_a_pass_of_the_flows(placement, change, claim, load):
    judgement = judge_trace(load(Recipe(placement), change), claim)
    flows = [v for v in judgement.verdicts if v.check not in ("capture_health", "checksums", "next_hop")]
    assert all(v.outcome is not Outcome.PASS for v in flows), [(v.check, v.summary) for v in flows]
    assert judgement.exit_code != 0
    assert render(judgement)


def refused(chain):
    """The server has no such port: its RST comes back, and the box resets the client it had answered."""
    for frames in chain.taps.values():
        frames[:] = [f for f in frames if f.flow != 0 or f.label in ("syn", "spoof", "ack", "request")]
    for tap in TAPS[4:]:
        golden.drop_from(chain, "ack", (tap,))
        golden.drop_from(chain, "request", (tap,))
        syn = chain.find(tap, "syn")[0]
        chain.taps[tap].append(_reset(syn, 0, (syn.seq + 1) % 2**32, 40_000 if tap == TAPS[5] else 60_000))
    spoof = chain.find("client-eth0", "spoof")[0]
    for late, tap in enumerate(reversed(TAPS[:4])):
        syn = chain.find(tap, "syn")[0]
        chain.taps[tap].append(
            _reset(syn, (spoof.seq + 1) % 2**32, (syn.seq + 1) % 2**32, 20_000_000 + late * 9_000_000)
        )
    golden.recount(chain)


def _reset(syn, seq, ack, late):
    return golden.replace(
        syn, src=syn.dst, dst=syn.src, sport=syn.dport, dport=syn.sport, src_mac=syn.dst_mac, dst_mac=syn.src_mac,
        seq=seq, ack=ack, flags=20, options=golden.Options(), time_ns=syn.time_ns + late, label="refusal", window=0,
    )  # fmt: skip


@pytest.mark.parametrize("placement", ["hold", "stamp"])
def test_a_server_that_refuses_everything_leaves_ordering_to_judge(placement, load):
    judgement = judge_trace(load(Recipe(placement, flows=1), refused))
    outcomes = {v.check: v.outcome for v in judgement.verdicts}
    assert outcomes["ordering"] is Outcome.PASS
    assert outcomes["carried_by"] is Outcome.NOT_APPLICABLE
    assert outcomes["translation"] is Outcome.NOT_APPLICABLE
    assert outcomes["teardown"] is Outcome.PASS


def test_a_synack_that_no_capture_saw_is_no_refusal(load):
    def unseen(chain):
        golden.drop_from(chain, "synack", TAPS)

    judgement = judge_trace(load(Recipe("stamp", flows=1), unseen))
    outcomes = {v.check: v.outcome for v in judgement.verdicts}
    assert outcomes["carried_by"] is Outcome.INCONCLUSIVE
    assert outcomes["translation"] is Outcome.INCONCLUSIVE


def test_a_refused_connection_is_no_failure(load):
    judgement = judge_trace(load(Recipe("stamp"), refused), "stamp")
    assert [(v.check, v.summary, v.evidence) for v in judgement.verdicts if v.outcome is Outcome.FAIL] == []


CHANGES = ("seq", "ack", "flags", "window", "payload", "time", "mac", "ports", "drop", "twice")


@pytest.mark.parametrize(("placement", "seed"), sparse(["plain", "hold", "stamp"], range(2), every=2))
def test_damaged_traces_do_not_crash_a_check(placement, seed, load):
    """Many random changes at once: whatever is said, it is said by verdicts that can be rendered and stored."""
    rng = random.Random(f"{placement}{seed}")

    def damage(chain):
        for frames in chain.taps.values():
            for frame in rng.sample(frames, 12):
                change = rng.choice(
                    ("seq", "ack", "flags", "window", "payload", "time", "mac", "ports", "drop", "twice")
                )
                if change in ("seq", "ack"):
                    setattr(frame, change, rng.getrandbits(32))
                elif change == "flags":
                    frame.flags = rng.getrandbits(8)
                elif change == "window":
                    frame.window = 0
                elif change == "payload":
                    frame.payload = rng.randbytes(rng.choice((0, 1, 5000)))
                elif change == "time":
                    frame.time_ns += rng.randint(-50_000_000, 50_000_000)
                elif change == "mac":
                    frame.dst_mac = "ff:ff:ff:ff:ff:ff"
                elif change == "ports":
                    frame.sport, frame.dport = frame.dport, frame.sport
                elif change == "drop":
                    frames.remove(frame)
                else:
                    frames.append(golden.replace(frame))

    trace = load(Recipe(placement), damage)
    for claim in (None, "stamp", "hold", "plain"):
        judgement = judge_trace(trace, claim)
        assert judgement.exit_code in (1, 3)
        assert render(judgement)
        assert judgement.to_json()


CHOICES = [(tap,) for tap in TAPS] + [TAPS[:2], TAPS[2:4], TAPS[4:], TAPS[1:5], (TAPS[0], TAPS[5])]


@pytest.mark.parametrize(("placement", "only"), sparse(["plain", "hold", "stamp", "early"], CHOICES, every=3))
def test_any_choice_of_taps_never_fails_what_is_right(placement, only, load):
    for sidecar in (True, False):
        trace = load(Recipe(placement), only=only, sidecar=sidecar)
        verdicts = Expectation(standard()).judge(trace)
        assert [(v.check, v.summary) for v in verdicts if v.outcome is Outcome.FAIL] == []
