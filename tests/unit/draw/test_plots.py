"""Plots from values: where curves, bars and marks lie, and that the same values give the same picture."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from hopscope.draw import chain, ecdf, spread, timeline
from hopscope.draw.axes import Scale, round_step
from hopscope.draw.chain import Hop, Way
from hopscope.draw.ecdf import Curve
from hopscope.draw.spread import Spread
from hopscope.draw.timeline import Panel


def parsed(text):
    return ElementTree.fromstring(re.sub(' xmlns="[^"]*"', "", text))


def of(root, tag, kind):
    return [each for each in root.iter(tag) if kind in (each.get("class") or "").split()]


def told(root):
    return [each.text for each in root.iter("text")]


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(0, 42, 0, 100), [0, 10, 20, 30, 40]),
        (Scale(0, 1, 0, 100), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Scale(0.0005, 20, 0, 100, log=True), [0.001, 0.01, 0.1, 1, 10]),
        (Scale(3, 3, 0, 100), [3]),
    ],
)
def test_ticks_are_round_and_within(scale, ticks):
    assert scale.ticks() == pytest.approx(ticks)
    assert all(0 <= scale.at(tick) <= 100 for tick in ticks)


def test_a_scale_keeps_what_is_outside_on_its_edge():
    scale = Scale(0, 10, 100, 200)
    assert [scale.at(value) for value in (-5, 0, 5, 10, 1e9)] == [100, 100, 150, 200, 200]


@pytest.mark.parametrize(("least", "step"), [(0.3, 0.5), (7, 10), (1, 1), (0, 1), (math.inf, 1), (2.1e-5, 5e-5)])
def test_a_step_is_one_two_or_five(least, step):
    assert round_step(least) == pytest.approx(step)


def reach(curve):
    """The largest share that a curve comes to."""
    heights = [float(each) for each in re.findall(r"V([\d.]+)", curve.get("d"))]
    return (ecdf.BOTTOM - min(heights)) / (ecdf.BOTTOM - ecdf.TOP)


def test_curves_differ_and_those_that_never_got_there_keep_theirs_below_one():
    root = parsed(
        ecdf.draw("t", [Curve("kernel", [40.0] * 10), Curve("stamp", [20.0] * 9 + [math.nan])], {"1 RTT": 20.0})
    )
    kernel, stamp = of(root, "path", "curve")
    assert kernel.get("class") != stamp.get("class")
    assert reach(kernel) == pytest.approx(1.0)
    assert reach(stamp) == pytest.approx(0.9, abs=0.01)
    assert any("stamp: median 20.000 ms of 10, 1 never" in each for each in told(root))


def test_round_trips_are_marked_where_they_are():
    root = parsed(ecdf.draw("t", [Curve("a", [10.0, 40.0])], {"1 RTT": 20.0, "2 RTT": 40.0}))
    one, two = (float(each.get("x1")) for each in of(root, "line", "dim"))
    assert (two - ecdf.LEFT) == pytest.approx(2 * (one - ecdf.LEFT), abs=0.2)


def test_an_outlier_does_not_flatten_the_rest():
    root = parsed(ecdf.draw("t", [Curve("a", [10.0] * 999 + [9999.0])], {}))
    assert max(float(each) for each in told(root) if re.fullmatch(r"\d+", each or "")) < 100


def test_plots_without_a_value_say_so():
    assert "no values" in ecdf.draw("t", [Curve("a", [math.nan])], {})
    assert parsed(ecdf.draw("t", [], {})).get("role") == "img"
    assert parsed(spread.draw("t", [])).get("role") == "img"


def test_a_panel_has_a_bar_for_each_bin_with_something_in_it():
    root = parsed(timeline.draw("t", [Panel("lost", [0, 3, 0, 1], "lost"), Panel("none", [0] * 4, "real")], 2.0))
    (bars,) = of(root, "path", "area")
    assert bars.get("d").count("Z") == 2
    assert "lost: 4" in told(root)
    assert "none: 0" in told(root)


def test_a_spread_lies_in_order():
    root = parsed(spread.draw("t", [Spread("a → b", (0.01, 0.02, 0.03, 0.05, 10.0))]))
    thin, thick = of(root, "line", "real")
    middle = float(of(root, "line", "edge")[0].get("x1"))
    assert float(thin.get("x1")) < float(thick.get("x1")) < middle < float(thick.get("x2")) < float(thin.get("x2"))


def test_a_hop_that_loses_is_drawn_so_and_one_without_captures_says_so():
    root = parsed(chain.draw("abc", [Hop(("e0", "e1"), Way(5, 1, 10.0), Way(4, 0, None)), Hop(("", ""), None, None)]))
    assert len(of(root, "line", "lost")) == 1
    assert {"→ 5 · 1 lost · 10.000 ms", "← 4 · none lost", "→ not captured"} <= {*told(root)}
