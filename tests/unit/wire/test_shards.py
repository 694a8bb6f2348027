"""However captures are cut by connection, their parts give the verdicts of the whole."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hopscope.checks.judge import Judgement, judge_folder
from hopscope.checks.merge import Part, merged
from hopscope.wire import shards
from support import golden, mutations
from support.golden import Recipe

VARIANTS = [*random.Random(4).sample(list(mutations.wrong()), 2), *list(mutations.harmless(2))]


def in_shards(folder: Path, count: int, spill: Path, expect: str | None = None) -> Judgement:
    spill.mkdir(exist_ok=True)
    plan = shards.cut(folder, count, spill)
    return merged([Part.of(plan.load(number), expect, source=str(folder)) for number in range(count)])


def told(judgement: Judgement) -> dict[str, object]:
    return {
        "verdicts": [(v.check, v.outcome, v.fault, v.judged, v.failed, dict(v.metrics)) for v in judgement.verdicts],
        "taps": judgement.taps,
        "flows": (judgement.flows, judgement.whole, dict(judgement.placements)),
        "latencies": judgement.latencies,
        "observations": judgement.observations,
    }


@pytest.mark.parametrize(("placement", "count"), [("plain", 2), ("hold", 3), ("stamp", 2), ("stamp", 7)])
def test_a_chain_in_shards_is_judged_as_a_whole(placement: str, count: int, tmp_path: Path) -> None:
    folder = golden.write(golden.build(Recipe(placement, flows=9)), tmp_path / "captures")
    assert told(in_shards(folder, count, tmp_path / "spill", placement)) == told(judge_folder(folder, placement))


def test_counters_are_judged_where_their_shard_has_no_flow(tmp_path: Path) -> None:
    """Of two flows in seven shards, none is in the first."""
    folder = golden.write(golden.build(Recipe("hold", flows=2)), tmp_path / "captures")
    (tmp_path / "spill").mkdir()
    assert not len(shards.cut(folder, 7, tmp_path / "spill").load(0))
    assert told(in_shards(folder, 7, tmp_path / "spill")) == told(judge_folder(folder))


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_what_is_wrong_in_one_shard_is_wrong(variant: mutations.Variant, tmp_path: Path) -> None:
    chain = golden.copied(golden.build(variant.recipe))
    variant.change(chain)
    folder = golden.write(chain, tmp_path / "captures")
    assert told(in_shards(folder, 2, tmp_path / "spill")) == told(judge_folder(folder))


@pytest.mark.nightly
@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("start", range(40))
def test_many_variants_in_shards(start: int, count: int, tmp_path: Path) -> None:
    for number, variant in enumerate([*list(mutations.wrong())[start::120], *list(mutations.harmless())[start::120]]):
        chain = golden.copied(golden.build(variant.recipe))
        variant.change(chain)
        folder = golden.write(chain, tmp_path / str(number))
        assert told(in_shards(folder, count, tmp_path / f"s{number}")) == told(judge_folder(folder)), variant.name


def test_every_packet_is_in_one_shard_and_keeps_its_number(tmp_path: Path) -> None:
    folder = golden.write(golden.build(Recipe("stamp", flows=6)), tmp_path / "captures")
    (tmp_path / "spill").mkdir()
    plan = shards.cut(folder, 4, tmp_path / "spill")
    numbers = [frame for n in range(4) for frame in next(iter(plan.load(n).taps.values())).packets.frame.tolist()]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
