"""The drawn ladder, from values: what a reader sees of a loss, of a long flow, and of two moments."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hopscope.draw.ladder import MEANINGS, Arrow, Bracket, Kind, Ladder, draw
from hopscope.draw.svg import STYLE

LANES = ("client", "box", "server")


def arrow(source=0, target=1, left=0, arrived=1000, kind=Kind.REAL, **more):
    return Arrow(source, target, left, arrived, kind, **{"told": "SYN", **more})


def drawn(*arrows, **more):
    text = draw(Ladder("t", "s", LANES, arrows, **more), styled=False)
    return ElementTree.fromstring(re.sub(' xmlns="[^"]*"', "", text))


def lines(root, kind="arrow"):
    return [each for each in root.iter("line") if kind in each.get("class", "").split()][: -len(MEANINGS)]


def test_an_arrow_falls_from_when_it_left_to_when_it_arrived():
    (one,) = lines(drawn(arrow(left=0, arrived=5000)))
    assert float(one.get("x1")) < float(one.get("x2"))
    assert float(one.get("y1")) < float(one.get("y2"))
    (back,) = lines(drawn(arrow(1, 0)))
    assert float(back.get("x1")) > float(back.get("x2"))


def test_what_got_lost_ends_in_a_cross_in_the_middle_of_its_link():
    root = drawn(arrow(arrived=None, kind=Kind.LOST))
    (one,) = lines(root)
    assert not list(root.iter("polygon"))
    assert 96 < float(one.get("x2")) < 96 + 308 - 50
    blind = drawn(arrow(arrived=None, blind=True))
    assert len(list(blind.iter("polygon"))) == 1, "no other end: nothing is said to be lost"


def test_what_comes_from_nowhere_begins_with_a_question():
    root = drawn(arrow(left=None))
    assert "?" in [each.text for each in root.iter("text")]
    assert float(lines(root)[0].get("x1")) > 96 + 50


def test_gaps_are_compressed_and_times_are_true():
    root = drawn(arrow(left=0, arrived=1000), arrow(left=60_000_000_000, arrived=60_000_001_000))
    assert float(root.get("height")) < 400
    assert "60000.001 ms" in [each.text for each in root.iter("text")]


def test_kinds_differ_by_colour_and_by_dash_in_light_and_dark():
    for scheme in (STYLE.partition("@media")[0], STYLE.partition("@media")[2]):
        colours = [re.search(rf"\.hs \.{kind}\{{stroke:(#\w+)", scheme)[1] for kind in Kind]
        assert len(set(colours)) == len(Kind)
    dashes = [re.search(rf"\.hs \.{kind}\{{[^}}]*?(dasharray:[^;}}]+)?\}}", STYLE)[1] for kind in Kind]
    assert len(set(dashes)) == len(Kind)


def test_a_bracket_spans_its_two_moments_and_one_without_them_is_not_drawn():
    told = [each.text for each in drawn(arrow(), bracket=Bracket(0, 1000, "TTFB 1 ms")).iter("text")]
    assert "TTFB 1 ms" in told
    assert "TTFB 1 ms" not in [each.text for each in drawn(arrow(), bracket=Bracket(0, 7, "TTFB 1 ms")).iter("text")]


def test_what_is_left_out_is_said_where_it_would_be():
    root = drawn(arrow(), arrow(left=9000, arrived=9500), left_out=(0, 1234))
    (said,) = [each for each in root.iter("text") if "1,234 segments left out" in (each.text or "")]
    first, second = lines(root)
    assert float(first.get("y2")) < float(said.get("y")) < float(second.get("y1"))


def test_labels_of_crossing_arrows_do_not_cover_each_other():
    root = drawn(
        arrow(0, 1, 0, 3000, told="ACK seq 1 ack 1 len 100"), arrow(1, 0, 1000, 2000, told="ACK seq 1 ack 1 len 100")
    )
    one, other = [each for each in root.iter("text") if (each.text or "").startswith("ACK")]
    apart = [abs(float(one.get(axis)) - float(other.get(axis))) for axis in "xy"]
    assert apart[0] > 40 or apart[1] > 11


def test_a_marked_arrow_stands_out():
    root = drawn(arrow(marked=True))
    assert "marked" in lines(root)[0].get("class")
    assert any((each.text or "").startswith("▶ ") for each in root.iter("text"))


def test_a_flow_without_segments_is_a_picture_too():
    assert drawn().get("role") == "img"
