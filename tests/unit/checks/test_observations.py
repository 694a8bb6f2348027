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


AHEAD = (0, 5_000_000, -3_000_000, 250_000)  # client, ClientNIC, ServerNIC, server


@pytest.mark.parametrize(
    ("error_ns", "words"),
    [
        (None, None),
        (4_000_000, "; chrony vouches for 8.000 ms"),
        (100_000, "; chrony vouches for 0.200 ms, which that contradicts"),
    ],
)
def test_clocks_that_are_not_one_are_bounded_beside_what_chrony_says(error_ns, words, load):
    trace = load(Recipe("stamp", lose=False, offsets_ns=AHEAD))
    taps = {position: replace(tap, clock_error_ns=error_ns) for position, tap in trace.taps.items()}
    found = told(replace(trace, taps=taps))
    for host, true in (("clientnic", 5_000_000), ("servernic", -8_000_000), ("server", 3_250_000)):
        seen = found[f"clock_{host}"]
        assert seen.metrics["low_ns"] <= true <= seen.metrics["high_ns"]
        assert f"{host} is " in seen.told
        assert "by packets of both" in seen.told
    if words:
        assert found["clock_clientnic"].told.endswith(words)
    assert not [name for name in told(load(Recipe("stamp"))) if name.startswith("clock")]
