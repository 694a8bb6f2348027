"""What is seen to be alike on both ends of a link is not judged segment by segment, and judged the same."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest

from hopscope.checks import correlation, translation, windows
from hopscope.checks.alike import alike
from hopscope.checks.judge import judge_folder
from hopscope.checks.stretch import between
from support import golden, mutations
from support.golden import Recipe

WHOLE = Recipe("stamp", lose=False)
VARIANTS = [
    *random.Random(9).sample(list(mutations.wrong()), 6),
    *random.Random(9).sample(list(mutations.harmless()), 3),
]


def links(trace):
    return [(number, up) for number, way in enumerate(between(trace)) for up in (True, False) if alike(trace, way, up)]


def test_a_link_that_lost_nothing_is_alike_and_a_box_never_is(load):
    assert links(load(WHOLE)) == [(0, True), (0, False), (2, True), (2, False), (4, True), (4, False)]
    assert (2, False) not in links(load(Recipe("stamp"))), "the WAN link loses a segment of the server's"


@pytest.mark.parametrize(
    "changed",
    [
        {"payload": lambda was: was[:-1] + bytes([was[-1] ^ 1])},
        {"window": lambda was: was + 1},
        {"ip_id": lambda was: was ^ 1},
        {"payload": lambda was: was + b"x"},
        {"time_ns": lambda was: was - 1_000_000},
    ],
    ids=["byte", "window", "identification", "length", "earlier"],
)
def test_any_difference_shows(changed, load):
    trace = load(WHOLE, lambda chain: golden.change(chain, "clientnic-eth0", "request", flow=2, **changed))
    assert links(trace) == [(0, False), (2, True), (2, False), (4, True), (4, False)]


def test_a_loss_and_another_order_show(load):
    lost = load(WHOLE, lambda chain: golden.drop(chain, "client-eth0", "fin-server"))
    assert (0, False) not in links(lost)

    def overtaken(chain):
        first, second = chain.find("server-eth0", "ack", 1)[0], chain.find("server-eth0", "request", 1)[0]
        first.time_ns = second.time_ns + 1_000

    assert (4, True) not in links(load(WHOLE, overtaken))


@pytest.mark.parametrize(
    "variant",
    [
        *(pytest.param(each, marks=() if at % 2 else pytest.mark.nightly) for at, each in enumerate(VARIANTS)),
        *(Recipe(each) for each in ("plain", "hold", "stamp")),
    ],
    ids=lambda each: getattr(each, "name", None) or each.placement,
)
def test_verdicts_are_those_of_judging_every_segment(variant: mutations.Variant | Recipe, tmp_path: Path) -> None:
    recipe = variant if isinstance(variant, Recipe) else variant.recipe
    chain = golden.copied(golden.build(recipe))
    if not isinstance(variant, Recipe):
        variant.change(chain)
    folder = golden.write(chain, tmp_path / "captures")
    quick = judge_folder(folder).to_json()
    with ExitStack() as patched:
        for module in (correlation, translation, windows):
            patched.enter_context(mock.patch.object(module, "alike", return_value=False))
        assert judge_folder(folder).to_json() == quick
