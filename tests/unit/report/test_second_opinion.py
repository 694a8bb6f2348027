"""The comparison, with stored captures and answers that were doctored in one field each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hopscope.checks.verdict import Outcome
from hopscope.errors import ToolMissing
from hopscope.report.dissect import BAD, GOOD, Dissected
from hopscope.report.second_opinion import second_opinion
from hopscope.wire.packets import ChecksumState
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace
from support import golden
from support.golden import Recipe

CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures"
Answers = Mapping[Path, tuple[Dissected, ...]]
OUT_OF_ORDER = frozenset({"out_of_order"})


@pytest.fixture(scope="module")
def trace() -> Trace:
    return Trace.load(CAPTURES / "stamp")


def agreeing(trace: Trace) -> Answers:
    """What tshark says of the stored captures when it sees what we see, made without it."""
    answers = {}
    for position, tap in trace.taps.items():
        packets, flow_of = tap.packets, trace.flow_of[position]
        again = [repeated(trace, position, row) for row in np.flatnonzero(flow_of >= 0)]
        answers[Path(packets.path)] = tuple(
            Dissected(int(packets.frame[row]), 7 + int(flow_of[row]), GOOD, GOOD, marks)
            for row, marks in zip(np.flatnonzero(flow_of >= 0), again, strict=True)
        )
    return answers


def repeated(trace: Trace, position: Position, row: int) -> frozenset[str]:
    """The stored captures hold one segment for each tap that was overtaken: by a later one of the same sender."""
    packets, flow_of, up = trace.taps[position].packets, trace.flow_of[position], trace.to_server[position]
    earlier = (flow_of == flow_of[row]) & (up == up[row]) & (packets.frame < packets.frame[row])
    ends = packets.seq.astype(np.int64) + packets.payload_len
    below = packets.payload_len[row] > 0 and (ends[earlier] > int(packets.seq[row])).any()
    return frozenset({"out_of_order"}) if below else frozenset({"ack_rtt"})


def doctored(answers: Answers, change: Callable[[Dissected], Dissected | None]) -> Answers:
    """One segment of the first capture, changed or taken away."""
    path, *others = answers
    segments = [change(each) if at == 5 else each for at, each in enumerate(answers[path])]
    return {path: tuple(each for each in segments if each is not None)} | {each: answers[each] for each in others}


def test_an_answer_like_ours_passes_and_says_what_was_compared(trace: Trace) -> None:
    verdict = second_opinion(trace, ask=lambda asked: agreeing(trace))
    assert verdict.check == "second_opinion"
    assert verdict.outcome is Outcome.PASS, verdict.evidence
    assert verdict.judged == 155
    assert verdict.metrics["resent"] == 6
    assert "155 segments of 2 flows at 6 taps" in verdict.summary


@pytest.mark.parametrize(
    ("change", "ours", "theirs"),
    [
        (lambda one: replace(one, tcp_checksum=BAD), "TCP checksum good", "TCP checksum bad"),
        (lambda one: replace(one, ip_checksum=None), "IPv4 checksum good", "IPv4 checksum no checksum"),
        (lambda one: replace(one, stream=99), "the same flow as before", "stream 99, another one"),
        (lambda one: replace(one, analysis=frozenset({"retransmission"})), "new data", "retransmission"),
        (lambda one: replace(one, frame=4000), "a TCP segment of this flow", "no segment of these ports"),
        (lambda one: None, "a TCP segment of this flow", "no segment of these ports"),
    ],
    ids=["tcp-checksum", "ip-checksum", "flow", "retransmission", "frame", "missing"],
)
def test_one_doctored_segment_is_inconclusive_with_both_views(
    trace: Trace, change: Callable[[Dissected], Dissected | None], ours: str, theirs: str
) -> None:
    verdict = second_opinion(trace, ask=lambda asked: doctored(agreeing(trace), change))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.exit_code == 3
    assert (verdict.evidence[0].expected, verdict.evidence[0].seen) == (ours, theirs)
    assert verdict.evidence[0].frames
    assert f"ours {ours}, tshark's {theirs}" in verdict.summary


def test_two_flows_that_tshark_takes_for_one_disagree(trace: Trace) -> None:
    merged = {path: tuple(replace(one, stream=1) for one in each) for path, each in agreeing(trace).items()}
    verdict = second_opinion(trace, ask=lambda asked: merged)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "another flow" in verdict.evidence[0].expected


def test_a_retransmission_that_tshark_does_not_see_disagrees(trace: Trace) -> None:
    plain = {path: tuple(replace(one, analysis=frozenset()) for one in each) for path, each in agreeing(trace).items()}
    verdict = second_opinion(trace, ask=lambda asked: plain)
    assert verdict.metrics["disagreements"] == 6
    assert verdict.evidence[0].expected == "data below the highest number sent"


def test_a_bad_checksum_of_ours_wants_a_bad_one_of_tsharks(trace: Trace) -> None:
    position = next(iter(trace.taps))
    states = trace.taps[position].packets.l4_checksum.copy()
    states[np.flatnonzero(trace.flow_of[position] >= 0)[3]] = ChecksumState.BAD
    ours = Trace.load(CAPTURES / "stamp")
    ours.taps[position].packets.__dict__["l4_checksum"] = states
    verdict = second_opinion(ours, ask=lambda asked: agreeing(trace))
    assert verdict.evidence[0].expected == "TCP checksum bad"
    assert verdict.evidence[0].seen == "TCP checksum good"


def test_a_sample_asks_about_its_flows_alone(trace: Trace) -> None:
    asked: dict[Path, str] = {}

    def ask(given: Mapping[Path, str]) -> Answers:
        asked.update(given)
        return dict.fromkeys(given, ())

    second_opinion(trace, sample=1, ask=ask)
    assert len(asked) == 6
    assert all("tcp.port==40000" in text and "tcp.port==40001" not in text for text in asked.values())


def test_nobody_to_ask_is_inconclusive_and_says_what_to_install(trace: Trace) -> None:
    def ask(asked: Mapping[Path, str]) -> Answers:
        raise ToolMissing("tshark is not installed: apt-get install tshark")

    verdict = second_opinion(trace, ask=ask)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.summary == "tshark could not be asked: tshark is not installed: apt-get install tshark"


def test_nothing_to_ask_about_is_inconclusive(trace: Trace) -> None:
    verdict = second_opinion(trace, sample=0)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "no flow" in verdict.summary


def test_a_capture_that_was_cut_short_is_not_asked_about(tmp_path: Path) -> None:
    shutil.copytree(CAPTURES / "stamp", tmp_path / "cut")
    cut = tmp_path / "cut" / "server-eth0.pcap"
    cut.write_bytes(cut.read_bytes()[:-10])
    trace = Trace.load(tmp_path / "cut")
    verdict = second_opinion(trace, ask=lambda asked: {path: agreeing(trace)[path] for path in asked})
    assert verdict.outcome is Outcome.PASS, verdict.evidence
    assert "not asked about server-eth0.pcap: cut short" in verdict.summary


@pytest.mark.parametrize("said", [frozenset(), frozenset({"retransmission"})])
def test_of_data_that_overtook_its_syn_and_comes_again_tshark_may_say_either(
    tmp_path: Path, said: frozenset[str]
) -> None:
    chain = golden.build(Recipe("stamp", flows=1, lose=False, background=False))
    request = golden.change(chain, "servernic-eth0", "request")
    late = golden.change(chain, "servernic-eth0", "syn", time_ns=lambda time_ns: request.time_ns + 1000)
    again = replace(request, time_ns=late.time_ns + 1000)
    chain.taps["servernic-eth0"].append(again)
    golden.write(chain, tmp_path)
    trace = Trace.load(tmp_path)
    marks = {late.time_ns: OUT_OF_ORDER, again.time_ns: said}

    def tshark(asked: Mapping[Path, str]) -> Answers:
        return {
            Path(tap.packets.path): tuple(
                Dissected(int(tap.packets.frame[row]), 0, GOOD, GOOD, marks.get(int(time_ns), frozenset()))
                for row, time_ns in enumerate(tap.packets.time)
            )
            for tap in trace.taps.values()
        }

    verdict = second_opinion(trace, ask=tshark)
    assert verdict.outcome is Outcome.PASS, verdict.evidence
    assert verdict.metrics["resent"] == 2
