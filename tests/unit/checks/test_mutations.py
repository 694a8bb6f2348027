"""Every mutation of a golden trace is rejected by the check that is named for it; what is harmless is minded by none.

A sample here, all of them in the nightly run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hopscope.checks.expectation import Expectation, standard
from hopscope.checks.verdict import Outcome
from hopscope.wire.trace import Trace
from support import golden, mutations

CHECKS = {check.name: check for check in standard()}
WRONG, HARMLESS = list(mutations.wrong()), list(mutations.harmless())
PROMISED = ("identities", "round_trips")
OF_ALL = tuple(check for check in standard() if check.name not in PROMISED)
built: dict[golden.Recipe, golden.Chain] = {}


def loaded(variant: mutations.Variant, folder: Path) -> Trace:
    if variant.recipe not in built:
        if len(built) > 20:
            built.clear()
        built[variant.recipe] = golden.build(variant.recipe)
    chain = golden.copied(built[variant.recipe])
    variant.change(chain)
    return Trace.load(golden.write(chain, folder / "captures"))


def rejected(variant: mutations.Variant, folder: Path) -> None:
    verdict = CHECKS[variant.check](loaded(variant, folder))
    assert verdict.outcome is Outcome.FAIL, f"{variant.check}: {verdict.summary}"
    assert verdict.evidence


def minded_by_none(variant: mutations.Variant, folder: Path) -> None:
    verdicts = Expectation(OF_ALL).judge(loaded(variant, folder))
    assert [f"{v.check}: {v.summary}" for v in verdicts if v.outcome is not Outcome.PASS] == []


def test_there_are_enough_of_both() -> None:
    assert len({each.name for each in WRONG}) == len(WRONG) >= 500
    assert len({each.name for each in HARMLESS}) == len(HARMLESS) >= 500
    assert {each.check for each in WRONG} >= set(CHECKS) - {"capture_health", "clocks", *PROMISED}


@pytest.mark.parametrize("variant", WRONG[7::97], ids=lambda variant: variant.name)
def test_some_mutations_are_rejected(variant: mutations.Variant, tmp_path: Path) -> None:
    rejected(variant, tmp_path)


@pytest.mark.parametrize("variant", HARMLESS[3::40], ids=lambda variant: variant.name)
def test_some_harmless_variants_are_minded_by_none(variant: mutations.Variant, tmp_path: Path) -> None:
    minded_by_none(variant, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("check", sorted({each.check for each in WRONG}))
def test_every_mutation_is_rejected(check: str, tmp_path: Path) -> None:
    for number, variant in enumerate(each for each in WRONG if each.check == check):
        try:
            rejected(variant, tmp_path / str(number))
        except AssertionError as wrong:
            raise AssertionError(variant.name) from wrong


@pytest.mark.nightly
@pytest.mark.parametrize("start", range(8))
def test_no_harmless_variant_is_minded(start: int, tmp_path: Path) -> None:
    for number, variant in enumerate(HARMLESS[start::8]):
        try:
            minded_by_none(variant, tmp_path / str(number))
        except AssertionError as wrong:
            raise AssertionError(variant.name) from wrong
