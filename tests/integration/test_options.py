"""Every TCP option that either end can do without, off in turn: what one end is promised and the other declines."""

from __future__ import annotations

import pytest

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
CASES |= {"ECN asked for": [("client", "tcp_ecn", "1"), ("server", "tcp_ecn", "1")]}


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
