"""Plots of a window, from golden captures: which there are, and of what."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hopscope.report import plots
from hopscope.wire.trace import Trace
from support import golden
from support.golden_folders import SMALL

FLOWS = 8


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    chain = golden.build(replace(SMALL, placement="stamp", flows=FLOWS))
    return Trace.load(golden.write(chain, tmp_path_factory.mktemp("captures")))


def test_latencies_course_and_delays_of_a_window(trace):
    told = "".join(each.svg for each in plots.plots(trace, None))
    for title in (*plots.METRICS.values(), "The course of the window", "Delay of each hop"):
        assert f"{title}</text>" in told
    assert f"all flows: median 20.321 ms of {FLOWS}" in told
    assert "1 RTT" in told
    assert "segments lost: 1<" in told, "the WAN loses one response segment"
    assert "segments sent again: 1<" in told
    assert plots.blocks(None) == {}


def test_a_comparison_has_a_curve_for_each_system(trace, tmp_path):
    middle = (int(trace.began[FLOWS // 2]) + int(trace.began[FLOWS // 2 - 1])) // 2
    calls = [
        {"call": "start_sut", "sut": "kernel"}, {"call": "moment", "time_ns": 0}, {"call": "connections"},
        {"call": "moment", "time_ns": middle}, {"call": "start_sut", "sut": "stamp"},
        {"call": "moment", "time_ns": middle}, {"call": "connections"}, {"call": "moment", "time_ns": 2 * 10**18},
    ]  # fmt: skip
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in calls))
    told = "".join(each.svg for each in plots.plots(trace, tmp_path))
    assert f"kernel: median 20.321 ms of {FLOWS // 2}" in told
    assert f"stamp: median 20.321 ms of {FLOWS // 2}" in told
    assert set(plots.blocks(tmp_path)) == {"kernel", "stamp"}


def test_a_handful_of_flows_is_not_plotted(trace):
    assert plots.plots(trace.select(end_ns=int(trace.began[2])), None) == []


def test_hosts_with_clocks_of_their_own_have_no_delays(tmp_path):
    chain = golden.build(replace(SMALL, placement="stamp", flows=FLOWS, offsets_ns=(0, 4 * 10**9, -3 * 10**9, 10**9)))
    chain.sidecar["same_clock"] = False
    titles = [each.title for each in plots.plots(Trace.load(golden.write(chain, tmp_path / "captures")), None)]
    assert titles == [*plots.METRICS.values(), "The course of the window"]
