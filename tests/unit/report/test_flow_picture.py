"""What is drawn of a flow, from golden captures whose every frame is known; pictures as they were looked at."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hopscope.draw.ladder import Kind
from hopscope.report import flow_picture
from hopscope.wire import metrics
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace
from support import golden
from support.golden_folders import ROOT, SMALL

GOLDEN = Path(__file__).parent / "golden"


def traced(tmp_path, placement="stamp", mutate=lambda chain: None, **options):
    chain = golden.build(replace(SMALL, placement=placement, **options))
    mutate(chain)
    return Trace.load(golden.write(chain, tmp_path / "captures"))


def arrows(trace, flow=0):
    return flow_picture.picture(trace, flow, max_rows=999).arrows


@pytest.mark.parametrize(
    ("placement", "translated"),
    # By lanes: who translates shows from which link on it is seen.
    [("plain", set()), ("stamp", {(2, 3), (2, 1), (1, 0)}), ("hold", {(1, 2), (2, 3), (1, 0)})],
)
def test_kinds_follow_from_the_captures(tmp_path, placement, translated):
    found = arrows(traced(tmp_path, placement))
    assert {(one.source, one.target) for one in found if one.kind is Kind.TRANSLATED} == translated
    spoofed = [(one.source, one.target, one.told.split(" (")[0]) for one in found if one.kind is Kind.SPOOFED]
    assert spoofed == ([] if placement == "plain" else [(1, 0, "SYN-ACK seq 0 ack 1")])


def test_a_segment_that_should_have_been_translated_and_was_not_is_drawn_as_it_came(tmp_path):
    def untouched(chain):
        real = chain.find("servernic-eth1", "response", 0)[0].seq
        for tap in ("servernic-eth0", "clientnic-eth1", "clientnic-eth0", "client-eth0"):
            golden.change(chain, tap, "response", nth=0, seq=real)

    found = [one for one in arrows(traced(tmp_path, mutate=untouched)) if "not translated" in one.told]
    assert [(one.source, one.target, one.kind) for one in found] == [(2, 1, Kind.REAL), (1, 0, Kind.REAL)]


def test_what_a_box_made_up_is_told_from_what_it_passed_on(tmp_path):
    def wrong(chain):
        golden.change(chain, "clientnic-eth0", "response", nth=0, seq=lambda seq: seq + 7)
        golden.change(chain, "client-eth0", "response", nth=0, seq=lambda seq: seq + 7)

    found = [one for one in arrows(traced(tmp_path, mutate=wrong)) if one.kind is Kind.SPOOFED]
    assert [one.told.split(" ack")[0] for one in found] == ["SYN-ACK seq 0", "ACK seq 8"]


def test_a_loss_and_its_repair(tmp_path):
    trace = traced(tmp_path)  # the WAN loses a response segment of flow 1
    found = arrows(trace, 1)
    lost = [one for one in found if one.kind is Kind.LOST]
    assert [(one.source, one.target, one.arrived_ns) for one in lost] == [(2, 1, None)]
    assert "1 lost between servernic-eth0 and clientnic-eth1" in flow_picture.picture(trace, 1).subtitle
    again = Counter((one.source, one.target) for one in found if "again" in one.told)
    assert again == {(3, 2): 1, (2, 1): 1}, "at the client it is the first"


def test_frames_are_told_with_their_numbers_and_marked_where_a_verdict_points(tmp_path):
    trace = traced(tmp_path)
    frame = int(trace.taps[Position.CLIENT].packets.frame[trace.flows[0].rows(Position.CLIENT)[1]])
    found = flow_picture.picture(trace, 0, marked={("client-eth0.pcap", frame)}).arrows
    assert sum(one.marked for one in found) == 1
    marked = next(one for one in found if one.marked)
    assert marked.told.endswith(f"→{frame}]")
    assert f"arrived: client-eth0 frame {frame}, seq {trace.flows[0].spoofed_isn}" in marked.detail


def test_the_bracket_is_the_clients_time_to_its_first_byte(tmp_path):
    trace = traced(tmp_path)
    bracket = flow_picture.picture(trace, 0).bracket
    assert bracket.end_ns - bracket.start_ns == metrics.ttfb(trace)[0]


def test_a_long_flow_is_cut_in_the_middle(tmp_path):
    trace = traced(tmp_path)
    whole, short = arrows(trace), flow_picture.picture(trace, 0, max_rows=10)
    assert list(short.arrows) == [*whole[:9], whole[-1]]
    assert short.left_out == (8, len(whole) - 10)


def test_fewer_taps_lose_nothing():
    trace = Trace.load(ROOT / "foreign-two-files")
    picture = flow_picture.picture(trace, 0)
    assert Kind.LOST not in {one.kind for one in picture.arrows}
    assert "server: no capture" in picture.notes
    ElementTree.fromstring(flow_picture.svg(trace, 0))


@pytest.mark.parametrize("name", ["plain-0", "hold-0", "stamp-1", "foreign-naive-0"])
def test_pictures_are_as_they_were_looked_at(name):
    folder, _, flow = name.rpartition("-")
    drawn = flow_picture.svg(Trace.load(ROOT / folder), int(flow), marked={("client-eth0.pcap", 4)}, styled=False)
    file = GOLDEN / f"{name}.svg"
    if os.environ.get("HOPSCOPE_REDRAW"):  # and look at them before they are kept
        file.parent.mkdir(exist_ok=True)
        file.write_text(drawn)
    assert drawn == file.read_text()
