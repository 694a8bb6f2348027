from __future__ import annotations

from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import UsageError
from hopscope.model.sut import Box, Placement, Sut
from hopscope.plugin import suts

CHAIN = data.topology("chain")
MINE = Sut(name="mine", placement=Placement.STAMP, boxes={"servernic": Box(argv=("mine",))})
TOPOLOGY = CHAIN.model_copy(update={"suts": {"mine": MINE}})


def test_a_name_alone_is_that_sut() -> None:
    assert suts.find("stamp", TOPOLOGY) == data.sut("stamp")
    assert suts.find("mine", TOPOLOGY) == MINE


def test_a_mix_takes_one_box_from_another() -> None:
    mix = suts.find("stamp, servernic=mine", TOPOLOGY)
    assert mix.boxes == {"clientnic": data.sut("stamp").boxes["clientnic"], "servernic": MINE.boxes["servernic"]}
    assert mix.placement is Placement.STAMP
    assert mix.name == "stamp, servernic=mine"


def test_a_box_can_be_taken_away() -> None:
    assert list(suts.find("stamp,servernic=kernel", TOPOLOGY).boxes) == ["clientnic"]


def test_the_base_says_the_placement_unless_it_translates_nothing() -> None:
    assert suts.find("stamp,clientnic=hold", TOPOLOGY).placement is Placement.STAMP
    assert suts.find("kernel,clientnic=hold", TOPOLOGY).placement is Placement.HOLD
    assert suts.find("kernel,clientnic=kernel", TOPOLOGY).placement is Placement.NONE
    with pytest.raises(UsageError, match="hold says hold, mine says stamp; name the one that counts first"):
        suts.find("kernel,clientnic=hold,servernic=mine", TOPOLOGY)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("stmp", "did you mean 'stamp'"),
        ("mime", "did you mean 'mine'"),
        ("stamp,servernic=stmp", "did you mean 'stamp'"),
        ("stamp,servernick=mine", "no host 'servernick' in topology chain, did you mean 'servernic'"),
        ("stamp,host=mine", "no host 'host'"),
        ("stamp,mine", "'mine' is no HOST=NAME"),
        ("stamp,servernic=", "is no HOST=NAME"),
        ("stamp,servernic=mine,servernic=hold", "servernic is given twice"),
        ("servernic=mine", "the first name is the SUT that the others go into"),
        (",servernic=mine", "the first name is the SUT"),
    ],
)
def test_what_makes_no_sense_is_told_with_the_remedy(text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        suts.find(text, TOPOLOGY)


def test_files_are_looked_for_beside_the_test(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("name: own\nboxes: {clientnic: {argv: [own]}}\n")
    assert suts.find("stamp,clientnic=own", TOPOLOGY, [tmp_path]).boxes["clientnic"].argv == ("own",)
    assert suts.find(str(tmp_path / "own.yaml"), TOPOLOGY).name == "own"
    with pytest.raises(UsageError, match="did you mean 'own'"):
        suts.find("onw", TOPOLOGY, [tmp_path])


def test_who_is_asked_first_knows_parts_of_a_mix_as_well() -> None:
    theirs = Sut(name="theirs", boxes={"clientnic": Box(argv=("theirs",))})
    found = suts.find("stamp,clientnic=theirs", TOPOLOGY, ask=lambda name, _: theirs if name == "theirs" else None)
    assert found.boxes["clientnic"].argv == ("theirs",)
