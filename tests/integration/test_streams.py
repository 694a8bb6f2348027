"""Much at once on a link that loses, then on one that reorders: byte-exact, and all checks pass."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from hopscope.model.topology import Impairment

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

STREAMS = 64
LINKS = {
    "loses": Impairment(loss=0.01),
    "reorders": Impairment(reorder=0.05, reorder_ms=2.0),
}
"""The delay line adds none of its own: impairment without a round trip."""
DAY = 40_000
NIGHT = 4 * 1024 * 1024
"""Bytes of a stream: 1 GiB of each datapath, over both links and directions. All of it lies in six captures."""


@contextmanager
def paced(chain):
    """Both ends send no faster than six captures of everything keep up with."""
    tbf = ["root", "tbf", "rate", "150mbit", "burst", "64kb", "latency", "400ms"]
    hosts = [chain.host(end) for end in ("client", "server")]
    try:
        for host in hosts:
            host.run(["tc", "qdisc", "add", "dev", "eth0", *tbf])
        yield
    finally:
        for host in hosts:
            host.run(["tc", "qdisc", "del", "dev", "eth0", "root"], check=False)


def _carried(chain, traffic, trace, sut, link, *, up, down):
    """What became of the streams, and the payload bytes that a tap saw of them (mean of all taps)."""
    wan = next(link for link in chain.topology.links if link.impairment.active)
    with paced(chain), chain.lab.applied(chain.lab.impairment(wan.name, LINKS[link])):
        report = traffic.connections(
            count=STREAMS, rate=200, request=up, response=down, cc="cubic", timeout=900, check_rate=False
        )
    judged = trace()
    judged.expect(placement=sut.partition("-")[0])
    seen = sum(int(tap.packets.payload_len.sum()) for tap in judged.trace.taps.values()) // len(judged.trace.taps)
    return report, seen


@pytest.mark.parametrize(("sut", "link"), [("stamp", "loses"), ("hold-afpacket", "reorders")])
def test_many_streams_at_once(chain, traffic, trace, sut, link):
    report, seen = _carried(chain, traffic, trace, sut, link, up=DAY, down=DAY)
    assert (report.completed, report.server["corrupt"]) == (STREAMS, 0), report.explain()
    assert seen >= STREAMS * (DAY + DAY)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("sut", ["stamp", "stamp-afpacket"])
def test_a_gigabyte_of_streams(chain, traffic, trace, sut, link, direction):
    up, down = (NIGHT, 1024) if direction == "up" else (100, NIGHT)
    report, seen = _carried(chain, traffic, trace, sut, link, up=up, down=down)
    assert (report.completed, report.server["corrupt"]) == (STREAMS, 0), report.explain()
    assert seen >= STREAMS * (up + down)
