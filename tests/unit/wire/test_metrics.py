from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hopscope.wire import metrics
from hopscope.wire.trace import Trace
from support import chains
from support.chains import PORTS, T0, Chain, Connection

MS = 1_000_000


def load(chain: Chain, folder: Path, *ports: str) -> Trace:
    return Trace.load(chain.write(folder, ports=ports or PORTS))


def test_each_interval_is_what_the_definitions_say(tmp_path: Path) -> None:
    """Times are chosen at the tap itself, so that each number is a subtraction on paper."""
    chain = Chain(wan=0)
    flow = Connection(chain, (5, 5, 5))

    def at(position: int, time: int, to_server: bool, flags: str, payload: bytes = b"", **more: int) -> None:
        flow.packet(T0 + time * MS, to_server, flags, more.get("offset", 1), 1, payload, origin=position, last=position)

    at(0, 0, True, "S", offset=0)
    at(0, 1, True, "S", offset=0)  # a retransmission does not start the clock again
    at(0, 10, False, "SA", offset=0)
    at(0, 11, True, "A")
    at(0, 13, True, "PA", b"request")
    at(0, 40, False, "A")
    at(0, 47, False, "PA", b"response")
    at(0, 90, False, "PA", b"more")
    at(0, 95, True, "PA", b"again")
    at(0, 97, False, "A")
    at(0, 99, False, "FA")
    at(5, 20, False, "SA", offset=0)
    at(5, 23, False, "SA", offset=0)
    at(5, 26, True, "A")
    at(5, 29, True, "PA", b"request")
    at(2, 1, True, "S", offset=0)
    at(2, 8, False, "SA", offset=0)
    trace = load(chain, tmp_path, PORTS[0], PORTS[2], PORTS[5])
    found = {name: values.tolist() for name, values in metrics.per_flow(trace).items()}
    assert found == {"send_unlock": [13 * MS], "ttfb": [47 * MS], "fct": [99 * MS], "server_gap": [9 * MS]}
    assert metrics.wan_rtt(trace).tolist() == [7 * MS]


def test_what_a_flow_does_not_show_is_absent(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    chains.refused(chain, T0 + 1, port=40001)
    trace = load(chain, tmp_path)
    for values in metrics.per_flow(trace).values():
        assert np.isnan(values).tolist() == [False, True]
    for ports in (PORTS[1:5],):
        trace = load(chain, tmp_path / "inner", *ports)
        assert all(np.isnan(values).all() for values in metrics.per_flow(trace).values())


@pytest.mark.parametrize(("build", "rtts"), [(chains.plain, 2), (chains.hold, 2), (chains.stamp, 1)])
def test_placements_take_the_round_trips_of_the_model(tmp_path: Path, build: object, rtts: int) -> None:
    chain = Chain(wan=50 * MS)
    build(chain, T0)  # type: ignore[operator]
    trace = load(chain, tmp_path)
    assert metrics.ttfb(trace)[0] == pytest.approx(rtts * 100 * MS, rel=0.02)
    assert metrics.wan_rtt(trace)[0] == pytest.approx(100 * MS, rel=0.02)
