"""Next hop: the received frame's addresses kept, wrong targets, learnt and told addresses, routers in between."""

from __future__ import annotations

import pytest

from hopscope.checks.next_hop import next_hop
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import TAPS, Recipe

MACS = Recipe().macs


def kept_on_the_wan(chain):
    """A box that sends on layer 2 what it received: the frame still says client > ClientNIC."""
    for tap in ("clientnic-eth1", "servernic-eth0"):
        golden.change_all(chain, "request", taps=(tap,), src_mac=MACS[0], dst_mac=MACS[1])


def sent_to_itself(chain):
    golden.change_all(chain, "spoof", taps=("clientnic-eth0", "client-eth0"), dst_mac=MACS[1])


def wrong_source(chain):
    golden.change(chain, "servernic-eth1", "syn", src_mac=MACS[3])


def wrong_target_on_the_last_hop(chain):
    golden.change(chain, "server-eth0", "response", dst_mac="02:00:00:00:00:99")


MUTATIONS = [
    (kept_on_the_wan, "addresses of the frame that the box received"),
    (sent_to_itself, f"{MACS[1]} > {MACS[1]} on client-eth0--clientnic-eth0"),
    (wrong_source, f"{MACS[3]} > {MACS[5]} on servernic-eth1--server-eth0"),
    (wrong_target_on_the_last_hop, f"{MACS[5]} > 02:00:00:00:00:99 on servernic-eth1--server-eth0"),
]


@pytest.mark.parametrize(("change", "reason"), MUTATIONS)
def test_rejects(change, reason, rejects):
    rejects(next_hop(), Recipe("stamp"), change, reason)


@pytest.mark.parametrize(("change", "reason"), MUTATIONS)
@pytest.mark.parametrize("background", [True, False])
def test_rejects_with_addresses_learnt_from_the_captures(change, reason, background, load):
    verdict = next_hop()(load(Recipe("stamp", background=background), change, sidecar=False))
    assert verdict.outcome is Outcome.FAIL
    assert any(reason in item.seen for item in verdict.evidence)


def test_arp_outvotes_a_box_that_is_always_wrong(load):
    """Everything ClientNIC sends on the WAN keeps the client's addresses, and the server never gets it."""

    def always(chain):
        for tap in ("clientnic-eth1", "servernic-eth0"):
            for frame in chain.taps[tap]:
                if frame.src == chain.recipe.client:
                    frame.src_mac, frame.dst_mac = MACS[0], MACS[1]

    verdict = next_hop()(load(Recipe("stamp"), always, sidecar=False))
    assert verdict.outcome is Outcome.FAIL
    assert "the addresses of the frame that the box received" in verdict.evidence[0].seen


@pytest.mark.parametrize("placement", ["plain", "hold", "stamp"])
@pytest.mark.parametrize("sidecar", [True, False])
def test_passes(placement, sidecar, load):
    assert next_hop()(load(Recipe(placement), sidecar=sidecar)).outcome is Outcome.PASS


def test_a_router_within_a_hop_is_not_judged(load):
    """In a cloud every subnet has a router that rewrites addresses: the two taps of a hop see different ones."""

    def routed(chain):
        for position, tap in enumerate(TAPS):
            for frame in chain.taps[tap]:
                up = frame.src == chain.recipe.client
                leaving = up == (position % 2 == 0)
                frame.src_mac, frame.dst_mac = (
                    (MACS[position], "0e:00:00:00:00:01") if leaving else ("0e:00:00:00:00:01", MACS[position])
                )

    verdict = next_hop()(load(Recipe("stamp"), routed, sidecar=False))
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "router" in verdict.summary


def test_one_end_of_each_hop_is_not_enough(load):
    verdict = next_hop()(load(Recipe("stamp"), only=("client-eth0", "clientnic-eth1")))
    assert verdict.outcome is Outcome.NOT_APPLICABLE


def test_nothing_seen_concludes_nothing(load):
    def clear(chain):
        chain.taps = golden.empty(chain).taps

    assert next_hop()(load(Recipe("stamp"), clear)).outcome is Outcome.INCONCLUSIVE
