"""Much at once on a link that loses, then on one that reorders: byte-exact, and all checks pass."""

from __future__ import annotations

import pytest

from hopscope.model.topology import Impairment

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

STREAMS = 64
SUTS = ["stamp", "hold", "stamp-afpacket", "hold-afpacket"]
LINKS = {
    "loses": Impairment(loss=0.01),
    "reorders": Impairment(reorder=0.05, reorder_ms=2.0),
}
DAY = 40_000
NIGHT = 16 * 1024 * 1024
"""Bytes of a stream in one direction: 1 GiB in all."""


def _carried(chain, traffic, trace, sut, link, *, up, down):
    wan = next(link for link in chain.topology.links if link.impairment.active)
    with chain.lab.applied(chain.lab.impairment(wan.name, LINKS[link])):
        report = traffic.connections(
            count=STREAMS, rate=None, request=up, response=down, cc="cubic", timeout=900, check_rate=False
        )
    assert report.completed == STREAMS, report.explain()
    assert report.server["corrupt"] == 0
    judged = trace()
    judged.expect(placement=sut.partition("-")[0])
    seen = sum(int(tap.packets.payload_len.sum()) for tap in judged.trace.taps.values()) // len(judged.trace.taps)
    assert seen >= STREAMS * (up + down)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("sut", ["stamp", "hold-afpacket"])
def test_many_streams_at_once(chain, traffic, trace, sut, link):
    _carried(chain, traffic, trace, sut, link, up=DAY, down=DAY)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("sut", SUTS)
def test_a_gigabyte_of_streams(chain, traffic, trace, sut, link, direction):
    up, down = (NIGHT, 1024) if direction == "up" else (100, NIGHT)
    _carried(chain, traffic, trace, sut, link, up=up, down=down)
