from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace
from support import chains
from support.chains import LAN, PORTS, T0, Captures, Chain, Connection

HOST_OF = (0, 1, 1, 2, 2, 3)


@cache
def captures(build: Callable[..., Connection]) -> Captures:
    chain = Chain()
    build(chain, T0)
    return chain.captures


def shifted(folder: Path, build: Callable[..., Connection], shifts: tuple[int, int, int, int], *ports: str) -> Trace:
    """A chain whose hosts' clocks are ahead by so much."""
    chain = Chain()
    for port, host in zip(PORTS, HOST_OF, strict=True):
        chain.captures[port] = [(time + shifts[host], frame) for time, frame in captures(build)[port]]
    return Trace.load(chain.write(folder, ports=ports or PORTS))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(*[st.integers(-(10**9), 10**9)] * 4), st.sampled_from([chains.plain, chains.hold, chains.stamp]))
def test_the_true_offset_lies_within_the_bounds(
    tmp_path: Path, shifts: tuple[int, int, int, int], build: Callable[..., Connection]
) -> None:
    trace = shifted(tmp_path, build, shifts)
    for near in Position:
        for far in list(Position)[near:]:
            true = shifts[HOST_OF[far]] - shifts[HOST_OF[near]]
            bounds = trace.clock_offset(near, far)
            assert bounds is not None
            assert bounds[0] <= true <= bounds[1]
    low, high = trace.clock_offset(Position.CLIENT, Position.CLIENTNIC_WAN) or (0, 0)
    assert high - low == 2 * LAN


def test_a_missing_tap_of_a_hop_leaves_it_unbound(tmp_path: Path) -> None:
    trace = shifted(tmp_path, chains.plain, (0, 0, 0, 0), *PORTS[:3])
    assert trace.clock_offset(Position.CLIENT, Position.CLIENTNIC_WAN) == (-LAN, LAN)
    assert trace.clock_offset(Position.CLIENT, Position.SERVER) is None
    assert trace.clock_offset(Position.CLIENTNIC_LAN, Position.CLIENTNIC_WAN) == (0, 0)


@pytest.mark.parametrize("build", [chains.plain, chains.stamp])
def test_a_shared_clock_needs_no_bounds(tmp_path: Path, build: Callable[..., Connection]) -> None:
    chain = Chain()
    build(chain, T0)
    trace = Trace.load(chain.write(tmp_path, sidecar={}))
    assert trace.clock_offset(Position.CLIENT, Position.SERVER) == (0, 0)
