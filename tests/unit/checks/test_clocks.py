"""Clocks: echoes of what nobody sent, clocks that go back; what the ends do themselves."""

from __future__ import annotations

import pytest

from hopscope.checks.clocks import clocks
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import TAPS, Recipe

PLACEMENTS = ("hold", "stamp", "early")


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("off", [1, 100_000, 2**31])
def test_rejects_an_echo_of_what_the_server_never_sent(placement, off, rejects):
    def change(chain):
        for tap in TAPS[4:]:
            golden.change(chain, tap, "fin-client", opt_tsecr=lambda value: (value + off) % 2**32)

    verdict = rejects(clocks(), Recipe(placement), change, "TSecr that echoes nothing")
    assert verdict.evidence[0].tap == "servernic-eth1.pcap"


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_rejects_an_echo_of_what_the_client_never_sent(placement, rejects):
    def change(chain):
        for tap in TAPS[:2]:
            golden.change(chain, tap, "response", opt_tsecr=lambda value: value + 77)

    rejects(clocks(), Recipe(placement), change, "TSecr that echoes nothing")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_rejects_a_clock_that_goes_back(placement, rejects):
    """One segment in the middle is not shifted: it is older than the SYN-ACK of the box."""
    taps = TAPS[:2] if placement == "hold" else TAPS[:4]

    def change(chain):
        for tap in taps:
            golden.change(chain, tap, "fin-server", opt_tsval=lambda value: (value - 5_000) % 2**32)

    verdict = rejects(clocks(), Recipe(placement), change, "TSval that goes back")
    assert "or later" in verdict.evidence[0].expected


def test_an_end_with_a_broken_clock_is_no_fault_of_a_box(load):
    def change(chain):
        for tap in TAPS:
            golden.change(chain, tap, "fin-server", opt_tsval=lambda value: (value - 5_000) % 2**32)
            golden.change(chain, tap, "ack-last", opt_tsecr=lambda value: (value - 5_000) % 2**32)

    assert clocks()(load(Recipe("stamp"), change)).outcome is Outcome.PASS


@pytest.mark.parametrize("more", [{"wrap": True}, {"rounds": 3}, {"resend_syn": True}, {"shift": False}])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_what_is_right_passes(placement, more, load):
    assert clocks()(load(Recipe(placement, **more))).outcome is Outcome.PASS


def test_connections_without_timestamps_are_not_concerned(load):
    assert clocks()(load(Recipe("stamp", options=False))).outcome is Outcome.NOT_APPLICABLE
    assert clocks()(load(Recipe("plain"))).outcome is Outcome.NOT_APPLICABLE
