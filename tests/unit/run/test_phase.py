from __future__ import annotations

from pathlib import Path

from hopscope.run import phase
from hopscope.run.phase import Phase


def test_the_last_phase_is_the_one_that_was_entered_last(tmp_path: Path) -> None:
    assert phase.last(tmp_path) is None
    for each in (Phase.BUILDING, Phase.LOADING, Phase.DRAINING):
        phase.enter(tmp_path, each)
        assert phase.last(tmp_path) is each


def test_a_line_that_was_cut_off_leaves_the_one_before(tmp_path: Path) -> None:
    phase.enter(tmp_path, Phase.JUDGING)
    for broken in ('{"phase": "loa', '{"phase": "asleep"}\n', "[]\n", "\x00\xff\n"):
        with (tmp_path / phase.FILE).open("a", encoding="latin-1") as file:
            file.write(broken)
        assert phase.last(tmp_path) is Phase.JUDGING


def test_a_note_that_cannot_be_written_raises_nothing(tmp_path: Path) -> None:
    phase.enter(tmp_path / "absent", Phase.LOADING)
    assert phase.last(tmp_path / "absent") is None
