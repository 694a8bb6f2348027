"""Each of the three tunnels, twenty times in a row from nothing: up, asked, judged, gone."""

from __future__ import annotations

import time

import pytest

from hopscope.plugin import tunnels, unasked

pytestmark = [
    pytest.mark.integration,
    pytest.mark.tunnel,
    pytest.mark.nightly,
    pytest.mark.lab_requires("tun"),
    pytest.mark.lab_topology("tunnel.yaml"),
    pytest.mark.timeout(600),
]

TIMES = 20


@pytest.fixture
def sut() -> str:
    return "kernel"


@pytest.mark.parametrize("name", ["openvpn", "socat", "ssh-w"])
def test_twenty_times_in_a_row(chain, capture, test_directory, name):
    up_s, rtts_ms = [], []
    for _ in range(TIMES):
        began = time.monotonic()
        with tunnels.up(chain, chain.sut(name), test_directory) as tunnel:
            up_s.append(time.monotonic() - began)
            tunnel.begin(capture)
            rtts_ms += [report.rtt_ms for report in tunnel.ping(sizes=("small", "mtu"))]
            assert tunnel.transfer(bytes=200_000).ok
            unasked.conclude(capture, tunnel)
            tunnel.finish()
        capture.open(None)
    up_s.sort()
    rtts_ms.sort()
    middle = len(rtts_ms) // 2
    print(f"{name}: up after {up_s[TIMES // 2]:.2f} s, {up_s[-1]:.2f} at most; echo {rtts_ms[middle]:.2f} ms (medians)")
