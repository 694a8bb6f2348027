"""Correlation and inference: every scheme, with all taps and with few, on healthy and on odd captures."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopscope.wire import metrics, seq
from hopscope.wire.packets import ACK, SYN
from hopscope.wire.taps import Position
from hopscope.wire.trace import PLACEMENTS, Placement, Trace
from support import chains, frames
from support.chains import PORTS, T0, Captures, Chain

R, V = 5_000_000, 900_000_000
DELTA = V - R
CLIENT, CLIENTNIC_LAN, CLIENTNIC_WAN, SERVERNIC_WAN, SERVERNIC_LAN, SERVER = Position
SCHEMES = {
    "plain": (chains.plain, Placement.PLAIN, None, 0),
    "hold": (chains.hold, Placement.HOLD, "clientnic", DELTA),
    "stamp": (chains.stamp, Placement.STAMP, "servernic", DELTA),
}


def load(chain: Chain, folder: Path, *ports: str, sidecar: bool = False) -> Trace:
    return Trace.load(chain.write(folder, ports=ports or PORTS, sidecar={} if sidecar else None))


@pytest.mark.parametrize("sidecar", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_is_recognised(tmp_path: Path, scheme: str, sidecar: bool) -> None:
    build, placement, translator, delta = SCHEMES[scheme]
    chain = Chain()
    for n in range(3):
        build(chain, T0 + n * 200_000_000, port=40000 + n)
    trace = load(chain, tmp_path, sidecar=sidecar)
    assert len(trace) == 3
    assert list(trace.taps) == list(Position)
    for flow in trace.flows:
        assert (flow.placement, flow.translator, flow.delta) == (placement, translator, delta)
        assert flow.client_isn == 1000
        assert flow.real_isn == R
        assert flow.spoofed_isn == flow.answered_isn == (V if delta else R)
        assert flow.stamp == (V if scheme == "stamp" else None)
        assert flow.ts_delta == (DELTA if scheme == "stamp" else 0)
        assert flow.whole
        assert all(flow.seen_at(position) for position in Position)
    assert trace.flows[1].label == "10.1.0.10:40001 > 10.1.2.10:8080"
    assert trace.same_clock is sidecar
    assert trace.rtt_ns == (20_000_000 if sidecar else None)


@pytest.mark.parametrize("real", [5, 2**32 - 3, V + 1, V - 1, V + 2**31])
@pytest.mark.parametrize("scheme", ["hold", "stamp"])
def test_deltas_wrap_and_may_be_small(tmp_path: Path, scheme: str, real: int) -> None:
    chain = Chain()
    SCHEMES[scheme][0](chain, T0, real, V)
    (flow,) = load(chain, tmp_path).flows
    assert flow.delta == (V - real) % 2**32
    assert flow.translator == SCHEMES[scheme][2]


def test_translation_of_every_packet_in_one_expression(tmp_path: Path) -> None:
    chain = Chain()
    for n in range(5):
        chains.stamp(chain, T0 + n * 1_000_000, R + n, V + 1000 * n, port=40000 + n)
    trace = load(chain, tmp_path)
    offsets = {}
    for position, isn in ((SERVERNIC_WAN, trace.spoofed_isn), (SERVERNIC_LAN, trace.real_isn)):
        packets, flow = trace.taps[position].packets, trace.flow_of[position]
        rows = np.flatnonzero((flow >= 0) & ~trace.to_server[position] & (packets.flags & SYN == 0))
        offsets[position] = sorted(zip(flow[rows], seq.sub(packets.seq[rows], isn[flow[rows]]), strict=True))
    assert offsets[SERVERNIC_WAN] == offsets[SERVERNIC_LAN]
    assert len(offsets[SERVERNIC_WAN]) == 10


def test_another_scheme_without_a_visible_stamp_is_early(tmp_path: Path) -> None:
    chain = Chain()
    chains.stamp(chain, T0, mark=0)
    (flow,) = load(chain, tmp_path).flows
    assert (flow.placement, flow.translator, flow.stamp, flow.delta) == (Placement.EARLY, "servernic", None, DELTA)


def test_a_stamp_need_not_be_the_isn(tmp_path: Path) -> None:
    chain = Chain()
    chains.stamp(chain, T0, mark=V + 1)
    (flow,) = load(chain, tmp_path).flows
    assert (flow.placement, flow.stamp, flow.spoofed_isn) == (Placement.STAMP, V + 1, V)


def test_an_ack_field_that_the_client_left_is_no_stamp(tmp_path: Path) -> None:
    chain = Chain()
    flow = chains.Connection(chain, (R, R, R))
    arrived = flow.packet(T0, True, "S", 0, 77)[5]
    flow.packet(arrived, False, "SA", 0, 1)
    (found,) = load(chain, tmp_path).flows
    assert (found.placement, found.stamp) == (Placement.PLAIN, None)


def test_zero_window_first_and_then_an_update(tmp_path: Path) -> None:
    chain = Chain()
    chains.hold(chain, T0, window=0)
    (flow,) = load(chain, tmp_path).flows
    assert (flow.placement, flow.translator, flow.delta, flow.ts_delta) == (Placement.HOLD, "clientnic", DELTA, 0)


def test_a_box_that_shifts_timestamps_of_its_own_accord(tmp_path: Path) -> None:
    chain = Chain()
    chains.hold(chain, T0, ts_shift=(12345, 0, 0))
    chains.hold(chain, T0 + 1, port=40001, ts_shift=(2**32 - 7, 0, 0))
    chains.hold(chain, T0 + 2, port=40002, ts_shift=None)
    assert load(chain, tmp_path).ts_delta.tolist() == [12345, 2**32 - 7, -1]


def test_both_syn_acks_reach_the_client(tmp_path: Path) -> None:
    """The kernel forwards as well: the client took R, the box meant V."""
    chain = Chain()
    chains.naive(chain, T0)
    (flow,) = load(chain, tmp_path).flows
    assert (flow.spoofed_isn, flow.real_isn, flow.answered_isn) == (V, R, R)
    packets = flow.trace.taps[CLIENT].packets
    assert packets.seq[flow.synack_rows(CLIENT)].tolist() == [R, V]
    assert len(flow.synack_rows(CLIENTNIC_WAN)) == 1


def test_a_spoofed_syn_ack_that_never_reaches_the_client_is_seen_where_it_left(tmp_path: Path) -> None:
    chain = Chain()
    flow = chains.plain(chain, T0)
    lost = chains.Connection(chain, (V, R, R))
    lost.packet(T0 + 100_000, False, "SA", 0, 1, origin=1, last=1)
    (found,) = load(chain, tmp_path).flows
    assert (found.spoofed_isn, found.answered_isn, found.real_isn) == (V, flow.isn[0], R)


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        (PORTS[:3], {"plain": "plain", "hold": "hold", "stamp": "stamp"}),
        ((PORTS[0], PORTS[5]), {"plain": "plain", "hold": "unknown", "stamp": "unknown"}),
        ((PORTS[0], PORTS[2], PORTS[5]), {"plain": "plain", "hold": "hold", "stamp": "stamp"}),
        ((PORTS[0], PORTS[1]), {"plain": "unknown", "hold": "unknown", "stamp": "unknown"}),
        ((PORTS[0],), {"plain": "unknown", "hold": "unknown", "stamp": "unknown"}),
        ((PORTS[3], PORTS[4], PORTS[5]), {"plain": "unknown", "hold": "unknown", "stamp": "stamp"}),
    ],
)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_fewer_taps_tell_less_and_nothing_wrong(
    tmp_path: Path, scheme: str, ports: tuple[str, ...], expected: dict[str, str]
) -> None:
    build, _, translator, delta = SCHEMES[scheme]
    chain = Chain()
    for n in range(2):
        build(chain, T0 + n * 200_000_000, port=40000 + n)
    trace = load(chain, tmp_path, *ports)
    assert list(trace.taps) == [Position(PORTS.index(port)) for port in ports]
    for flow in trace.flows:
        assert flow.placement == expected[scheme]
        assert flow.delta in (None, delta)
        assert flow.translator in (None, translator)
        assert flow.whole


def test_servernic_alone_knows_the_spoofed_isn_by_its_stamp(tmp_path: Path) -> None:
    chain = Chain()
    chains.stamp(chain, T0)
    (flow,) = load(chain, tmp_path, *PORTS[3:5]).flows
    assert (flow.spoofed_isn, flow.real_isn, flow.translator, flow.answered_isn) == (V, R, "servernic", None)


def test_retransmissions_make_no_new_flow(tmp_path: Path) -> None:
    chain = Chain()
    flow = chains.Connection(chain, (R, R, R))
    for again in range(3):
        arrived = flow.packet(T0 + again * 1000, True, "S", 0, None)[5]
        flow.packet(arrived + 1000, False, "SA", 0, 1)
    flow.finish(T0 + 50_000_000)
    (found,) = load(chain, tmp_path).flows
    assert len(found.syn_rows(SERVER)) == len(found.synack_rows(CLIENT)) == 3
    assert found.placement == Placement.PLAIN


def test_ports_used_again_are_another_generation(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    chains.stamp(chain, T0 + 10**9, client_isn=2000)
    trace = load(chain, tmp_path)
    first, second = trace.flows
    assert (first.generation, second.generation) == (0, 1)
    assert (first.placement, second.placement) == (Placement.PLAIN, Placement.STAMP)
    assert second.label.endswith("#2")
    for position in Position:
        assert set(first.rows(position)) & set(second.rows(position)) == set()
    assert sum(len(f.rows(CLIENT)) for f in trace.flows) == len(trace.taps[CLIENT].packets)


def test_a_late_syn_ack_of_the_old_connection_takes_nothing_of_the_new(tmp_path: Path) -> None:
    chain = Chain()
    old = chains.plain(chain, T0)
    chains.plain(chain, T0 + 10**9, real=7_000_000, client_isn=2000)
    old.packet(T0 + 10**9 + 25_000_000, False, "SA", 0, 1)
    first, second = load(chain, tmp_path).flows
    assert len(first.synack_rows(CLIENT)) == 2
    assert (first.real_isn, second.real_isn) == (R, 7_000_000)
    assert len(second.rows(CLIENT)) == 8


def test_refusal_has_no_server_isn(tmp_path: Path) -> None:
    chain = Chain()
    chains.refused(chain, T0)
    chains.refused(chain, T0 + 1, spoofed=V, port=40001)
    first, second = load(chain, tmp_path).flows
    assert (first.spoofed_isn, first.real_isn, first.placement) == (None, None, Placement.UNKNOWN)
    assert (second.spoofed_isn, second.real_isn, second.delta) == (V, None, None)
    assert first.whole
    assert second.whole


def test_a_flow_from_before_the_captures_is_not_whole(tmp_path: Path) -> None:
    chain = Chain()
    begun = chains.Connection(chain, (R, R, R), port=39999)
    begun.packet(T0 - 10**6, True, "PA", 50, 60, b"x" * 10)
    begun.packet(T0 - 10**6, False, "PA", 60, 60, b"y" * 10)
    chains.plain(chain, T0)
    first, second = load(chain, tmp_path).flows
    assert (first.client_isn, first.whole) == (None, False)
    assert first.server == (second.server[0], 8080)
    assert second.whole


def test_leftovers_of_an_earlier_use_of_the_ports_are_a_flow_of_their_own(tmp_path: Path) -> None:
    chain = Chain()
    chains.Connection(chain, (R, R, R), client_isn=7).packet(T0 - 10**8, False, "FA", 60, 60)
    chains.plain(chain, T0)
    first, second = load(chain, tmp_path).flows
    assert (first.whole, first.client_isn, len(first.rows(CLIENT))) == (False, None, 1)
    assert second.generation == 1
    assert second.whole


def test_a_tap_that_came_late_makes_flows_before_it_not_whole(tmp_path: Path) -> None:
    chain = Chain()
    for n in range(3):
        chains.plain(chain, T0 + n * 200_000_000, port=40000 + n)
    started = T0 + 5_000_000
    chain.captures[PORTS[5]] = [pair for pair in chain.captures[PORTS[5]] if pair[0] > started + 10_000_000]
    assert load(chain, tmp_path).whole.tolist() == [False, True, True]


def test_a_flow_cut_by_the_end_of_one_capture_is_not_whole(tmp_path: Path) -> None:
    chain = Chain()
    for n in range(2):
        chains.plain(chain, T0 + n * 10**9, port=40000 + n)
    chain.captures[PORTS[0]] = [pair for pair in chain.captures[PORTS[0]] if pair[0] < T0 + 10**9 + 30_000_000]
    assert load(chain, tmp_path).whole.tolist() == [True, False]


def test_what_is_missing_while_the_tap_is_known_to_be_live_leaves_a_flow_whole(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    chain.captures[PORTS[0]] = sorted(chain.captures[PORTS[0]])[:-2]
    assert load(chain, tmp_path, sidecar=True).whole.tolist() == [True]


def test_the_common_window_bounds_whole_flows(tmp_path: Path) -> None:
    chain = Chain()
    for n in range(3):
        chains.plain(chain, T0 + n * 10**9, port=40000 + n)
    sidecar = chain.sidecar()
    sidecar["taps"][f"{PORTS[3]}.pcap"]["live_ns"] = T0 + 10**6
    sidecar["taps"][f"{PORTS[4]}.pcap"]["end_ns"] = T0 + 2 * 10**9 + 10**6
    trace = Trace.load(chain.write(tmp_path, sidecar=sidecar))
    assert (trace.window.start_ns, trace.window.end_ns) == (T0 + 10**6, T0 + 2 * 10**9 + 10**6)
    assert trace.whole.tolist() == [False, True, False]


def test_background_is_set_aside(tmp_path: Path) -> None:
    chain = Chain()
    chains.hold(chain, T0)
    for position in range(6):
        ident = frames.segment(50000, 80, "S", 5, src=f"10.1.0.{50 + position}", dst="169.254.169.254")
        chain.add(position, T0 - 5000, ident)
        chain.add(position, T0 - 4000, frames.arp())
        chain.add(position, T0 - 3000, frames.ethernet(frames.ipv4(frames.icmp(), proto=1)))
        chain.add(position, T0 - 2000, frames.ethernet(frames.ipv4(frames.udp(53, 53, b"?"), proto=17)))
        chain.add(
            position, T0 - 1000, frames.segment(50001, 443, "S", 5, src=f"10.1.0.{50 + position}", dst="52.1.2.3")
        )
    trace = load(chain, tmp_path)
    assert [flow.placement for flow in trace.flows] == [Placement.HOLD]
    assert trace.background == 12
    assert any("set aside" in note for note in trace.notes)


def test_when_nothing_gets_past_the_first_host_it_is_still_judged(tmp_path: Path) -> None:
    chain = Chain()
    chains.Connection(chain, (R, R, R)).packet(T0, True, "S", 0, None, last=0)
    chain.add(3, T0, frames.arp())
    (flow,) = load(chain, tmp_path).flows
    assert flow.seen_at(CLIENT)
    assert not flow.seen_at(CLIENTNIC_LAN)


def test_lost_syns_at_one_tap_do_not_lose_the_flow_there(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    chain.captures[PORTS[4]] = sorted(chain.captures[PORTS[4]])[2:]
    (flow,) = load(chain, tmp_path).flows
    assert len(flow.rows(SERVERNIC_LAN)) == 6
    assert len(flow.rows(SERVERNIC_LAN, to_server=False)) == 2


def test_records_out_of_order_in_the_file(tmp_path: Path) -> None:
    chain = Chain()
    chains.stamp(chain, T0)
    tidy = load(chain, tmp_path / "tidy")
    random.Random(3).shuffle(chain.captures[PORTS[0]])
    folder = chain.write(tmp_path / "wild")
    chains.write_pcap(folder / f"{PORTS[0]}.pcap", chain.captures[PORTS[0]])
    wild = Trace.load(folder)
    times = wild.taps[CLIENT].packets.time[wild.flows[0].rows(CLIENT)]
    assert (np.diff(times) >= 0).all()
    for name, values in metrics.per_flow(tidy).items():
        assert metrics.per_flow(wild)[name].tolist() == values.tolist()


def test_ipv6(tmp_path: Path) -> None:
    chain = Chain()
    chains.stamp(chain, T0, client="fd00::10", server="fd00:2::10")
    (flow,) = load(chain, tmp_path).flows
    assert flow.label == "[fd00::10]:40000 > [fd00:2::10]:8080"
    assert (flow.placement, flow.delta) == (Placement.STAMP, DELTA)


def test_select_keeps_arrays_and_rows_together(tmp_path: Path) -> None:
    chain = Chain()
    for n in range(6):
        build = (chains.plain, chains.hold, chains.stamp)[n % 3]
        build(chain, T0 + n * 10**9, port=40000 + n, service=8080 + n % 2)
    trace = load(chain, tmp_path)
    some = trace.select(start_ns=T0 + 10**9, end_ns=T0 + 4 * 10**9)
    assert [flow.client[1] for flow in some.flows] == [40001, 40002, 40003]
    assert [PLACEMENTS[code] for code in some.placement] == ["hold", "stamp", "plain"]
    for left, right in zip(some.flows, trace.flows[1:4], strict=True):
        for position in Position:
            assert left.rows(position).tolist() == right.rows(position).tolist()
    ends = trace.during([(T0, T0 + 10**9), (T0 + 4 * 10**9, T0 + 5 * 10**9)])
    assert sorted([*some.began, *ends.began]) == sorted(trace.select(end_ns=T0 + 5 * 10**9).began)
    assert len(trace.during([])) == 0
    odd = trace.select(ports=[8081])
    assert {flow.server[1] for flow in odd.flows} == {8081}
    assert set(odd.flow_of[CLIENT]) == {-1, 0, 1, 2}
    assert len(trace.select(ports=[1])) == 0
    assert metrics.ttfb(trace.select(ports=[1])).shape == (0,)


def test_first_and_last_rows(tmp_path: Path) -> None:
    chain = Chain()
    for n in range(3):
        chains.plain(chain, T0 + n * 1000, port=40000 + n)
    trace = load(chain, tmp_path)
    acks = trace.taps[CLIENT].packets.flags & ACK > 0
    for flow in trace.flows:
        rows = [row for row in flow.rows(CLIENT) if acks[row]]
        assert trace.first_rows(CLIENT, acks)[flow.index] == rows[0]
        assert trace.last_rows(CLIENT, acks)[flow.index] == rows[-1]
    assert trace.first_rows(CLIENT, ~acks & trace.to_server[CLIENT] & False).tolist() == [-1] * 3


def test_no_tcp_at_all_is_a_trace_without_flows(tmp_path: Path) -> None:
    chain = Chain()
    for position in range(6):
        chain.add(position, T0, frames.arp())
    trace = load(chain, tmp_path)
    assert len(trace) == 0
    assert all(len(values) == 0 for values in metrics.per_flow(trace).values())


@cache
def one_of_each() -> Captures:
    chain = Chain()
    for n, build in enumerate((chains.plain, chains.hold, chains.stamp, chains.naive, chains.refused)):
        build(chain, T0 + n * 1000, port=40000 + n)
    return chain.captures


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60), st.integers(12, 90), st.integers(0, 255)), max_size=30),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=10),
)
def test_mutated_captures_have_a_defined_result(
    tmp_path: Path, changes: list[tuple[int, int, int, int]], losses: list[tuple[int, int]]
) -> None:
    chain = Chain(captures={port: list(capture) for port, capture in one_of_each().items()})
    for position, row, at, value in changes:
        capture = chain.captures[PORTS[position]]
        time, frame = capture[row % len(capture)]
        at %= len(frame)
        capture[row % len(capture)] = (time, frame[:at] + bytes([value]) + frame[at + 1 :])
    for position, row in losses:
        capture = chain.captures[PORTS[position]]
        del capture[row % len(capture) : row % len(capture) + 1]
    trace = load(chain, tmp_path)
    metrics.per_flow(trace)
    for position, tap in trace.taps.items():
        rows = np.concatenate([np.zeros(0, np.int64), *(flow.rows(position) for flow in trace.flows)])
        assert sorted(rows) == np.flatnonzero(trace.flow_of[position] >= 0).tolist()
        assert len(trace.to_server[position]) == len(tap.packets)
