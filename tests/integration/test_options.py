"""Every TCP option that either end can do without, off in turn: what one end is promised and the other declines.

The datapaths have no table of servers: a server whose options are known to nobody (each here is one) is promised what
its client asked for, and what it then lacks is taken out of every segment on its way.
"""

from __future__ import annotations

import pytest

from hopscope.checks.verdict import Outcome
from hopscope.lab.settings.route_mtu import RouteMtu
from hopscope.lab.settings.sysctl import Sysctl

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

OFF = ("tcp_timestamps", "tcp_sack", "tcp_window_scaling")
WINDOWS = {"scale 0": "4096 32768 32768", "scale 14": "4096 131072 1073725440"}
CASES = {f"no {name} at the {end}": [(end, name, "0")] for name in OFF for end in ("client", "server")}
CASES |= {f"none of them at the {end}": [(end, name, "0") for name in OFF] for end in ("client", "server")}
CASES |= {
    f"{name} at the {end}": [(end, "tcp_rmem", value)]
    for name, value in WINDOWS.items()
    for end in ("client", "server")
}
CASES |= {
    f"scale {one} at the client, {other} at the server": [
        ("client", "tcp_rmem", WINDOWS[f"scale {one}"]),
        ("server", "tcp_rmem", WINDOWS[f"scale {other}"]),
    ]
    for one, other in ((0, 14), (14, 0))
}
CASES |= {"ECN asked for": [("client", "tcp_ecn", "1"), ("server", "tcp_ecn", "1")]}
SMALL = 700
"""Of a route: what its host then asks for is segments of 660 bytes."""


def small(chain, end):
    """The setting that makes an end ask for small segments."""
    other = chain.topology.role("client" if end == "server" else "server")
    return RouteMtu(end, str(other.ports[0].address(4)), SMALL)


EXTREME = [case for case in CASES if case.startswith(("none", "scale 14", "ECN"))]


@pytest.mark.parametrize(
    ("sut", "cases"),
    [
        ("stamp", CASES),
        ("hold", CASES),
        ("stamp-afpacket", EXTREME),
        ("hold-afpacket", EXTREME),
        pytest.param("stamp-afpacket", CASES, marks=pytest.mark.nightly),
        pytest.param("hold-afpacket", CASES, marks=pytest.mark.nightly),
    ],
    ids=lambda value: value if isinstance(value, str) else "all" if value is CASES else "extreme",
)
def test_each_option_off_at_either_end(chain, traffic, trace, sut, cases):
    for case in cases:
        settings = CASES[case]
        with chain.lab.applied(*(Sysctl(end, f"net.ipv4.{key}", value) for end, key, value in settings)):
            report = traffic.connections(count=3, rate=100, request=3000, response=150_000)
            assert report.completed == 3, f"{case}: {report.explain()}"
    trace().expect(placement=sut.partition("-")[0])


SMALL_STAMP, SMALL_HOLD = "stamp,clientnic=suts/small-stamp", "suts/small-hold-afpacket"


@pytest.mark.parametrize(
    ("sut", "end"),
    [
        ("stamp", "client"),
        (SMALL_STAMP, "server"),
        (SMALL_HOLD, "server"),
        *(
            pytest.param(sut, "client", marks=pytest.mark.nightly)
            for sut in ("hold", "stamp-afpacket", "hold-afpacket")
        ),
    ],
)
def test_an_end_that_asks_for_small_segments_gets_no_larger(chain, traffic, trace, sut, end):
    """Of a server a box knows it only when it is told (`--mss`): nobody has asked it when the client is answered."""
    with chain.lab.applied(small(chain, end)):
        assert traffic.connections(count=3, rate=100, request=3000, response=50_000).completed == 3
    trace().expect(placement="hold" if "hold" in sut else "stamp")


@pytest.mark.parametrize("sut", ["stamp"])
def test_a_server_that_gets_larger_segments_than_it_asked_for_is_told(chain, traffic, trace, sut):
    with chain.lab.applied(small(chain, "server")):
        assert traffic.connections(count=3, rate=100, request=3000).completed == 3
    failed = {each.check: each.summary for each in trace().judge(placement=sut) if each.outcome is Outcome.FAIL}
    assert set(failed) == {"options"}
    assert "segment larger than the MSS" in failed["options"]


@pytest.mark.parametrize("sut", ["synproxy"])
def test_the_kernels_synproxy_by_the_same_checks(traffic, trace, sut):
    """It answers as early, and promises a window of 0; docs/rewriters.md says what the checks hold against it."""
    assert traffic.connections(count=5, rate=100, request=3000, response=50_000).completed == 5
    failed = {each.check: each.summary for each in trace().judge() if each.outcome is Outcome.FAIL}
    assert set(failed) - {"windows"} == {
        "ordering",
        "translation",
        "clocks",
    }  # windows: where servers do not scale by 7
    assert "stamp leaked to the server (10)" in failed["translation"]
