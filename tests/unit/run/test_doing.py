from __future__ import annotations

import pytest

from hopscope.run.doing import doing, now, stages
from hopscope.run.story import step


def test_what_is_being_done_is_told_outermost_first_and_ends_with_its_block(tmp_path):
    assert now() == ""
    with step(tmp_path, "Traffic") as one, doing(lambda: "3 of 10"):
        assert now() == "Traffic, 3 of 10"
        one.title = "Traffic, with another title"
        assert now().startswith("Traffic, with another title")
    assert now() == ""


def test_of_stages_the_last_is_told():
    with stages("Judging") as progress:
        assert now() == "Judging"
        progress("check 1 of 2")
        progress("check 2 of 2")
        assert now() == "Judging: check 2 of 2"
    assert now() == ""


def test_an_error_ends_what_was_being_done():
    with pytest.raises(KeyError), doing(lambda: "Traffic"):
        raise KeyError
    assert now() == ""
