"""What is told beside verdicts: round-trip samples that are not the path's, early repeats, losses, counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopscope.checks.observations import observe
from support import golden
from support.golden import TAPS, Recipe


def told(trace):
    return {each.name: each for each in observe(trace)}


@pytest.mark.parametrize(
    ("placement", "ends"), [("plain", set()), ("hold", {"client"}), ("stamp", {"client", "server"})]
)
def test_who_is_answered_early_has_a_wrong_sample(placement, ends, load):
    found = told(load(Recipe(placement, lose=False)))
    assert {name.removeprefix("rtt_sample_") for name in found if name.startswith("rtt_sample")} == ends
    for end in ends:
        metrics = found[f"rtt_sample_{end}"].metrics
        assert (metrics["flows"], metrics["judged"]) == (3, 3)
        assert metrics["handshake_ns"] < 1_000_000 < 19_000_000 < metrics["path_ns"]


@pytest.mark.parametrize(("late", "early"), [(300_000, 1), (200_000_000, 0)])
def test_a_repeat_is_early_when_no_answer_could_have_come(late, early, load):
    def again(chain):
        for tap in TAPS:
            first = chain.find(tap, "request")[0]
            chain.taps[tap].append(replace(first, time_ns=first.time_ns + late))

    found = told(load(Recipe("stamp", lose=False), again))
    assert found["repeats_client"].metrics == {"repeated": 1, "early": early}
    assert "repeats_server" not in found


def test_losses_are_told_with_their_place(load):
    found = told(load(Recipe("stamp")))
    assert found["losses"].told.startswith("between servernic-eth0 and clientnic-eth1, to the client: 1 lost")
    assert "losses" not in told(load(Recipe("stamp", lose=False)))


def test_counts_add_up_or_are_told(load):
    assert told(load(Recipe("stamp")))["counts"].told.endswith("add up at every tap")
    one_less = load(Recipe("stamp"), lambda chain: golden.drop_from(chain, "ack-last", TAPS[4:]))
    assert told(one_less)["counts"].metrics == {"servernic-eth1": -1, "server-eth0": -1}


def test_nothing_is_told_of_nothing(load):
    assert observe(load(Recipe("plain"), lambda chain: setattr(chain, "taps", golden.empty(chain).taps))) == ()
