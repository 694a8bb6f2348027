"""Checksums: every layer at every tap, and the checksum that hardware was to finish."""

from __future__ import annotations

import pytest

from hopscope.checks.checksums import checksums
from hopscope.checks.verdict import Fault, Outcome
from support import golden
from support.golden import TAPS, Recipe

SPOILT = [
    (tap, label, flow, layer, reason)
    for label, flow, layer, reason, taps in (
        ("request", 1, "l4", "TCP checksum 0x", TAPS),
        ("syn", 0, "ip", "IPv4 checksum 0x", TAPS[2:4]),
        ("ping", None, "l4", "ICMP checksum 0x", TAPS[4:5]),
        ("udp", None, "l4", "UDP checksum 0x", TAPS[:1]),
    )
    for tap in taps
]


@pytest.mark.parametrize(("tap", "label", "flow", "layer", "reason"), SPOILT)
def test_rejects(tap, label, flow, layer, reason, rejects):
    verdict = rejects(
        checksums(), Recipe("stamp"), lambda chain: golden.change(chain, tap, label, flow=flow, spoil=layer), reason
    )
    assert (verdict.failed, verdict.fault) == (1, Fault.PRODUCT)
    assert verdict.evidence[0].tap == f"{tap}.pcap"


@pytest.mark.parametrize(("label", "reason"), [("request", "TCP checksum 0x"), ("ping", "ICMPv6 checksum 0x")])
def test_rejects_over_ipv6(label, reason, rejects):
    flow = 0 if label == "request" else None
    recipe = Recipe("stamp", client="fd00:1::10", server="fd00:2::10")
    rejects(checksums(), recipe, lambda chain: golden.change(chain, TAPS[3], label, flow=flow, spoil="l4"), reason)


def test_expected_and_seen_are_the_packets(load):
    def spoil(chain):
        golden.change(chain, "client-eth0", "request", spoil="l4")

    bad = checksums()(load(Recipe("plain"), spoil)).evidence[0]
    expected, seen = (int(text.rpartition("0x")[2], 16) for text in (bad.expected, bad.seen))
    assert expected ^ seen == 0x0100  # the bit that "l4" flips


def half_done(chain):
    golden.change(chain, "client-eth0", "request", spoil="partial")


def test_partial_with_offloads_off_is_the_environments_fault(load):
    verdict = checksums()(load(Recipe("stamp"), half_done))
    assert (verdict.outcome, verdict.fault, verdict.exit_code) == (Outcome.FAIL, Fault.ENVIRONMENT, 2)
    assert "offloads are recorded as off" in verdict.summary


@pytest.mark.parametrize("sidecar", [True, False])
def test_partial_with_offloads_on_or_untold_is_counted(sidecar, load):
    def offloaded(chain):
        half_done(chain)
        chain.tap_facts["client-eth0"]["offloads"] = True

    verdict = checksums()(load(Recipe("stamp"), offloaded, sidecar=sidecar))
    assert (verdict.outcome, verdict.metrics["partial"]) == (Outcome.PASS, 1)
    assert "1 left to hardware" in verdict.summary


def test_frames_cut_by_the_capture_conclude_nothing(load):
    def cut(chain):
        for frames in chain.taps.values():
            for frame in frames:
                frame.cut = 30

    assert checksums()(load(Recipe("plain", flows=1), cut)).outcome is Outcome.INCONCLUSIVE


def test_cut_payload_is_told(load):
    def cut(chain):
        golden.change(chain, "client-eth0", "request", cut=80)

    verdict = checksums()(load(Recipe("plain"), cut))
    assert (verdict.outcome, verdict.metrics["unverifiable"]) == (Outcome.PASS, 1)


def test_evidence_is_bounded(load):
    def spoil_all(chain):
        for frames in chain.taps.values():
            for frame in frames:
                frame.spoil = "l4"

    verdict = checksums()(load(Recipe("stamp"), spoil_all))
    assert verdict.failed > 200
    assert len(verdict.evidence) == 20
