"""The text ladder of one flow, from golden captures whose every frame is known."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from hopscope import cli
from hopscope.report.ladder import find_flow, ladder
from hopscope.wire.trace import Trace
from support import golden
from support.golden_folders import ROOT, SMALL


def traced(tmp_path, placement="stamp", mutate=lambda chain: None, **options):
    chain = golden.build(replace(SMALL, placement=placement, **options))
    mutate(chain)
    return Trace.load(golden.write(chain, tmp_path / "captures"))


def rows(text):
    return [line for line in text.splitlines() if re.match(r"[> ] *\d+\.\d{3} ", line)]


def test_every_segment_of_every_link_is_a_row_in_time_order(tmp_path):
    trace = traced(tmp_path)
    text = ladder(trace, 0)
    shown = rows(text)
    # Nothing is lost in flow 0, so each row stands for two frames.
    assert 2 * len(shown) == sum(len(trace.flows[0].rows(position)) for position in trace.taps)
    times = [float(line.split()[0].lstrip(">")) for line in shown]
    assert times == sorted(times)
    assert times[0] == 0
    assert max(map(len, text.splitlines())) <= 100
    assert "|------>|       |             |       |       |  SYN seq 0 +0.020" in shown[0]
    assert "|<------|" in shown[1]
    assert "SYN-ACK seq 0 ack 1" in shown[1]


@pytest.mark.parametrize("placement", ["hold", "stamp"])
def test_a_segment_that_is_translated_rightly_keeps_its_numbers(tmp_path, placement):
    trace = traced(tmp_path, placement)
    first = [line.split("|")[-1].split(" +")[0] for line in rows(ladder(trace, 0)) if "PSH-ACK seq 401" in line]
    assert len(first) == 3
    assert len(set(first)) == 1
    assert f"spoofed {trace.flows[0].spoofed_isn}" in ladder(trace, 0)


def test_one_that_is_not_shows_another_number(tmp_path):
    def wrong(chain):
        for tap in ("clientnic-eth1", "servernic-eth0"):
            golden.change(chain, tap, "response", nth=0, seq=lambda seq: seq + 7)

    found = [line for line in rows(ladder(traced(tmp_path, mutate=wrong), 0)) if "seq 8 " in line]
    assert len(found) == 1
    assert "|       |<------------|" in found[0]


def test_a_lost_segment_ends_in_an_x_and_one_from_nowhere_begins_with_a_question(tmp_path):
    trace = traced(tmp_path)  # the WAN loses a response segment of flow 1
    assert [line for line in rows(ladder(trace, 1)) if "|      x------|" in line]
    assert not [line for line in rows(ladder(trace, 0)) if "x" in line]
    nowhere = traced(tmp_path / "2", mutate=lambda chain: golden.drop(chain, "client-eth0", "syn"))
    assert "|  ?--->|" in rows(ladder(nowhere, 0))[0]


def test_frames_that_a_verdict_points_at_are_marked(tmp_path):
    trace = traced(tmp_path)
    tap = next(iter(trace.taps.values()))
    frame = int(tap.packets.frame[trace.flows[0].rows(next(iter(trace.taps)))[0]])
    text = ladder(trace, 0, marked={(tap.file, frame)})
    assert rows(text)[0].startswith("> ")
    assert sum(line.startswith(">") for line in rows(text)) == 1
    assert "a verdict points at" in text


def test_a_long_flow_shows_its_beginning_and_its_end(tmp_path):
    trace = traced(tmp_path)
    whole, short = ladder(trace, 0), ladder(trace, 0, max_rows=10)
    assert rows(short) == rows(whole)[:9] + rows(whole)[-1:]
    assert f"{len(rows(whole)) - 10} rows left out" in short


def test_fewer_taps_draw_fewer_columns_and_clocks_of_their_own_are_said():
    text = ladder(Trace.load(ROOT / "foreign-two-files"), 0)
    assert "(none)" in text
    assert "its own clock" in text
    assert "|------>        |" in rows(text)[0], "no other end: nothing is said to be lost"


def test_clocks_that_differ_by_seconds_are_aligned(tmp_path):
    apart = traced(tmp_path, "hold", lambda chain: None, offsets_ns=(0, 4_000_000_000, -3_000_000_000, 10**9))
    times = [float(line.split()[0].lstrip(">")) for line in rows(ladder(apart, 0))]
    assert times[-1] < 1000, "milliseconds, not the seconds that the clocks are apart"


def test_a_flow_is_named_by_number_port_end_or_label(tmp_path):
    trace = traced(tmp_path)
    for text in ("2", "40001", "10.1.0.10:40001", "10.1.0.10:40001 > 10.1.2.10:8080"):
        assert find_flow(trace, text) == 1
    for text in ("3", "0", "8080", "10.1.0.10", "x"):
        assert find_flow(trace, text) is None


def test_the_command_draws_it_and_says_when_there_is_no_such_flow(capsys):
    assert cli.main(["judge", str(ROOT / "stamp"), "--ladder", "40000"]) == 0
    assert "SYN-ACK" in capsys.readouterr().out
    assert cli.main(["judge", str(ROOT / "stamp"), "--ladder", "nope"]) == 64
    assert "no flow 'nope'" in capsys.readouterr().err
