"""The minimum WAN round trip, against the round trip that a golden chain was built with."""

from __future__ import annotations

import pytest

from hopscope.checks.transit import minimum_transit, minimum_wan_rtt
from hopscope.wire.taps import Position
from support import golden
from support.golden import TAPS, Recipe
from support.grids import sparse

APART = (5_000, -70_000_000, 900_000_000, 3)


@pytest.mark.parametrize(
    ("placement", "offsets", "rtt_ms"),
    sparse(["plain", "hold", "stamp", "early"], [(0, 0, 0, 0), APART], [5.0, 100.0], every=2),
)
def test_round_trip(placement, offsets, rtt_ms, load):
    found = minimum_wan_rtt(load(Recipe(placement, rtt_ms=rtt_ms, offsets_ns=offsets), sidecar=False))
    assert rtt_ms * 1e6 <= found <= rtt_ms * 1e6 + 400_000


def test_a_late_client_does_not_stretch_it(load):
    """In `stamp` nothing crosses back before the client has spoken: what it waits must not count."""
    found = minimum_wan_rtt(load(Recipe("stamp", zero_window="late"), sidecar=False))
    assert 20e6 <= found <= 20.4e6


@pytest.mark.parametrize(("sidecar", "expected"), [(True, 20_200_000), (False, None)])
def test_the_clients_capture_alone_knows_only_what_the_sidecar_tells(sidecar, expected, load):
    assert minimum_wan_rtt(load(Recipe("stamp"), only=TAPS[:1], sidecar=sidecar)) == expected


def test_a_repeated_synack_is_no_answer_to_a_payload(load):
    """`hold`: the server repeats its SYN-ACK; it crosses just behind the released payload."""

    def repeat(chain):
        request = chain.find("clientnic-eth1", "request")[0]
        again = chain.find("clientnic-eth1", "synack")[0]
        chain.taps["clientnic-eth1"].append(golden.replace(again, time_ns=request.time_ns + 2_000_000))

    assert minimum_wan_rtt(load(Recipe("hold"), repeat, sidecar=False)) >= 20e6


@pytest.mark.parametrize(
    ("source", "target", "least"),
    [(Position.CLIENT, Position.CLIENTNIC_LAN, 20_000), (Position.SERVERNIC_LAN, Position.CLIENT, 10_050_000)],
)
def test_transit(source, target, least, load):
    assert minimum_transit(load(Recipe("stamp")), source, target) == least


def test_no_transit_without_the_tap(load):
    assert minimum_transit(load(Recipe("stamp"), only=TAPS[:2]), Position.CLIENT, Position.SERVER) is None
