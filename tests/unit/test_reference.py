"""docs/reference.md is what the code says today."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from hopscope.checks import clocks

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "reference.py"

specification = spec_from_file_location("reference_script", SCRIPT)
assert specification is not None
assert specification.loader is not None
reference = module_from_spec(specification)
specification.loader.exec_module(reference)


def test_the_page_is_what_the_code_says():
    assert reference.PAGE.read_text() == reference.page(), "make reference writes it again"


def test_a_check_must_say_what_it_cannot_prove(monkeypatch):
    monkeypatch.setattr(clocks, "__doc__", "Do the timestamps still make sense?")
    with pytest.raises(ValueError, match=r"checks\.clocks: its docstring does not say what the check cannot prove"):
        reference.page()


def test_what_is_new_is_in_it(monkeypatch):
    monkeypatch.setitem(reference.markers.MARKERS, "brand_new(word)", "says a word")
    assert "| `brand_new(word)` | says a word |" in reference.page()
