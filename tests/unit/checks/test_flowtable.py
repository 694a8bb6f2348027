"""Columns of each flow, against what the recipe did."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hopscope.checks.flowtable import ORDERS, flow_table, one, top
from support import golden
from support.golden import TAPS, Recipe


@pytest.mark.parametrize("placement", ["plain", "hold", "stamp"])
def test_what_the_recipe_did(placement, load):
    trace = load(Recipe(placement))
    columns = flow_table(trace)
    assert columns["bytes_up"].tolist() == [100] * 3
    assert columns["bytes_down"].tolist() == [3000] * 3
    assert columns["repeats_down"].tolist() == [0, 1, 0]
    assert columns["repeats_up"].tolist() == [0, 0, 0]
    assert columns["out_of_order_down"].tolist() == [0, 1, 0]
    assert columns["fin_up"].all()
    assert columns["fin_down"].all()
    assert not columns["rst"].any()
    assert (columns["handshake"] < 1e6).all() == (placement != "plain")
    assert (columns["first_up"] > columns["handshake"]).all()
    assert (columns["first_down"] == columns["ttfb"]).all()


def test_resets_zero_windows_and_dsacks_are_counted(load):
    def change(chain):
        for tap in TAPS:
            golden.change(chain, tap, "response", flow=0, window=0)
            last = chain.find(tap, "ack-response", 2)[-1]
            last.options = replace(last.options, sack=[(last.ack - 50, last.ack)])
        golden.change(chain, TAPS[0], "ack-last", flow=1, flags=4)

    columns = flow_table(load(Recipe("plain", lose=False), change))
    assert columns["zero_windows"].tolist() == [1, 0, 0]
    assert columns["rst"].tolist() == [False, True, False]
    assert columns["dsacks"].tolist() == [0, 0, 1]


@pytest.mark.parametrize("order", ORDERS)
def test_the_top_is_sorted_by_its_column(order, load):
    trace = load(Recipe("plain", flows=5))
    columns = flow_table(trace)
    values = [columns[ORDERS[order]][flow] for flow in top(trace, columns, order, 3)]
    assert len(values) == 3
    assert values == sorted(columns[ORDERS[order]].tolist(), reverse=True)[:3]


def test_what_a_flow_does_not_show_is_left_out(load):
    trace = load(Recipe("plain"), lambda chain: golden.drop_from(chain, "response", TAPS))
    row = one(flow_table(trace), 0)
    assert "ttfb" not in row
    assert not any(isinstance(value, float) and math.isnan(value) for value in row.values())
