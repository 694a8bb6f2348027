"""Passage: copies that a box has made; what ends and links repeat is no box's doing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopscope.checks.passage import passage
from hopscope.checks.verdict import Outcome
from support.golden import TAPS, Recipe
from support.grids import sparse

MADE = [("request", TAPS[2:], "clientnic"), ("request", TAPS[4:], "servernic"), ("fin-client", TAPS[4:], "servernic"),
        ("response", TAPS[:4], "servernic"), ("response", TAPS[:2], "clientnic")]  # fmt: skip


def again(chain, taps, label, flow=2):
    for tap in taps:
        frame = chain.find(tap, label, flow)[0]
        chain.taps[tap].append(replace(frame, time_ns=frame.time_ns + 3_000))


@pytest.mark.parametrize(("placement", "made"), sparse(["hold", "stamp", "early"], MADE, every=2))
def test_rejects_a_copy_that_a_box_has_made(placement, made, rejects):
    label, taps, box = made
    verdict = rejects(passage(), Recipe(placement), lambda c: again(c, taps, label), f"made inside {box}")
    assert verdict.failed == 1


@pytest.mark.parametrize("taps", [TAPS, TAPS[1:], TAPS[3:], TAPS[5:]])
def test_what_ends_and_links_repeat_passes(taps, load):
    assert passage()(load(Recipe("stamp"), lambda c: again(c, taps, "request"))).outcome is Outcome.PASS


def test_without_counters_a_copy_is_no_proof(load):
    trace = load(Recipe("stamp"), lambda c: again(c, TAPS[4:], "request"), sidecar=False)
    assert passage()(trace).outcome is Outcome.INCONCLUSIVE


def test_plain_tcp_is_not_concerned(load):
    assert passage()(load(Recipe("plain"))).outcome is Outcome.NOT_APPLICABLE
