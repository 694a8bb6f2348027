"""The writer: what comes in cannot become markup, and what comes out is a document."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from hopscope.draw import svg

HOSTILE = [
    ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ("\" onload='x' &amp; ]]>", "\" onload='x' &amp; ]]>"),
    ("\x00\x1b[31m\ufffe", "\ufffd\ufffd[31m\ufffd"),
    ("a\ud800b", "a\ufffdb"),
]


@pytest.mark.parametrize(("hostile", "shown"), HOSTILE)
def test_hostile_words_stay_words(hostile, shown):
    told = svg.picture(
        10, 10, [svg.text(1, 2, hostile, detail=hostile), svg.element("g", class_=hostile)],
        title=hostile, description=hostile, name="n",
    )  # fmt: skip
    root = ElementTree.fromstring(told)
    assert [each.tag.rpartition("}")[2] for each in root.iter()] == [
        "svg", "title", "desc", "style", "rect", "text", "title", "g",
    ]  # fmt: skip
    assert all("onload" not in each.attrib for each in root.iter())
    assert root[4].text == shown


@pytest.mark.parametrize(("value", "told"), [(1.0, "1"), (-0.04, "0"), (2.25, "2.2"), (1e6 / 3, "333333.3")])
def test_numbers_are_short_and_the_same_everywhere(value, told):
    assert svg.number(value) == told


def test_a_picture_is_named_for_those_who_hear_it_and_has_its_style_once():
    whole = svg.picture(1, 1, [], title="a", description="b", name="x")
    part = svg.picture(1, 1, [], title="a", description="b", name="x", styled=False)
    assert 'role="img"' in whole
    assert 'aria-labelledby="x-t x-d"' in whole
    assert "prefers-color-scheme:dark" in whole
    assert "<style" not in part
