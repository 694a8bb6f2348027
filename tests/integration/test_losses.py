"""Loss in the middle of each link and inside each box is found where it is, every segment of it, repaired or not."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from hopscope.checks.capture_health import capture_health
from hopscope.checks.correlation import Kind, correlate
from hopscope.lab.settings.nft_table import Chain, NftTable
from hopscope.model.topology import Impairment
from hopscope.wire.packets import FIN, SYN
from hopscope.wire.trace import Trace

pytestmark = [pytest.mark.integration, pytest.mark.lab_topology("chain-lossy.yaml")]

COUNTS = [40, pytest.param(1500, marks=pytest.mark.nightly)]
LOSS = 0.05


def segments(trace: Trace, position, up: bool) -> Counter:
    """What of each flow's data, SYN and FIN passed a tap, by what no link and no forwarding changes."""
    rows, packets = trace.rows[position], trace.taps[position].packets
    moving = (packets.payload_len > 0) | (packets.flags & (SYN | FIN) > 0)
    chosen = np.flatnonzero((rows.flow >= 0) & (rows.to_server == up) & moving).tolist()
    columns = (rows.flow, packets.ip_id, packets.seq, packets.payload_len)
    return Counter(tuple(int(column[row]) for column in columns) for row in chosen)


def lost(trace: Trace, near, far, up: bool) -> list[tuple[int, int, int]]:
    """(flow, first number, bytes) of what went in at one tap and did not come out at the next."""
    source, target = (near, far) if up else (far, near)
    gone = segments(trace, source, up) - segments(trace, target, up)
    return [(flow, seq, size) for (flow, _, seq, size), times in gone.items() for _ in range(times)]


def held_against_the_frames(trace: Trace, place: int) -> int:
    """Every loss that the frames show is told, with its place and its bytes, and no other; returns how many."""
    stretches = list(pairwise(trace.taps))
    found = 0
    for way in correlate(trace):
        near, far = way.stretch.near, way.stretch.far
        assert not way.of(Kind.CREATED)
        assert not way.of(Kind.CHANGED)
        assert way.proven
        gone = [one for one in lost(trace, near, far, way.up) if trace.whole[one[0]]]
        if way.stretch.boxes:  # handshakes through boxes are judged elsewhere
            gone = [one for one in gone if one[2]]
        told = way.of(Kind.LOST)
        for flow, seq, size in gone:
            base = int((trace.client_isn if way.up else trace.real_isn)[flow])
            start = (seq - base) % 2**32
            assert any(r.flow == flow and r.start <= start and start + size <= r.end for r in told), (flow, start, size)
        assert bool(told) == bool(gone) == (bool(gone) and stretches[place] == (near, far))
        assert len(told) <= len(gone)
        found += len(gone)
    return found


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("link", range(3))
def test_what_a_link_loses_is_found_on_it(chain, traffic, trace, link, count):
    chosen = chain.topology.links[link]
    traffic.connections(count=1)
    with chain.lab.applied(chain.lab.impairment(chosen.name, Impairment(rtt_ms=chosen.impairment.rtt_ms, loss=LOSS))):
        traffic.connections(count=count, rate=100, response=20_000, timeout=20, check_rate=False)
    judged = trace()
    judged.expect(capture_health())
    assert held_against_the_frames(judged.trace, 2 * link) > count / 4


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("box", ["clientnic", "servernic"])
def test_what_a_box_loses_is_found_inside_it(chain, traffic, trace, box, count):
    drop = ("meta l4proto tcp meta length > 500 numgen random mod 20 == 0 counter drop",)
    table = NftTable(box, "lossy", {"forward": Chain("type filter hook forward priority 0; policy accept;", drop)})
    traffic.connections(count=1)
    with chain.lab.applied(table):
        traffic.connections(count=count, rate=100, response=20_000, timeout=20, check_rate=False)
    judged = trace()
    judged.expect(capture_health())
    assert held_against_the_frames(judged.trace, 1 if box == "clientnic" else 3) > count / 4
