"""The golden captures pass what they should, are what their recipes make, and checks say N/A where they must.

Which test proves that a check can fail (each check's module has a test module of its name):

    ordering        test_ordering.MUTATIONS: SYN-ACK late at the box, at the client, by the shared clock; zero window
    checksums       test_checksums.SPOILT: each layer at each tap; CHECKSUM_PARTIAL with offloads off
    translation     test_translation.MUTATIONS: seq, ack, SACK, TSval, TSecr, FIN, stamp missing, wrong, leaked, ISN + 1
    delivery        test_delivery: lost on each hop and in each box, changed, made up, cut off by an early end
    carried_by      test_carried_by: the naive rewriter, one segment without its delta in either direction
    next_hop        test_next_hop.MUTATIONS: the received frame's addresses kept, a wrong target, learnt and told
    teardown        test_teardown: FIN or RST that stays on one side, FIN never acknowledged, tables not empty
    capture_health  test_capture_health: dropped, missing, late, cut short, empty
    placement       test_placement: every claim against every kind of trace
    options         test_options: an option that comes or grows in a box, and what an end has not agreed to
    identities      test_identities: an acknowledgement that went missing, a second answer
    round_trips     test_round_trips: handshakes that were answered early, of a system that promises to spare its ends
    windows         test_windows: an edge that shrinks, grows, is taken back; a window that a link changes
    clocks          test_clocks: an echo of nothing, a clock that goes back
    passage         test_passage: a copy that a box has made, in either direction
    claims          test_claims: answered by somebody else, a segment that never left, more counted than sent
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hopscope.checks.expectation import Expectation, standard
from hopscope.checks.judge import judge_folder
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import Recipe
from support.golden_folders import FOLDERS, ROOT
from support.grids import sparse

REWRITTEN = ("hold", "stamp", "early")
INFERRED = {"ordering", "carried_by", "translation", "windows", "clocks", "passage"}
OF_ALL = tuple(check for check in standard() if check.name not in ("identities", "round_trips"))
"""Those are judged of systems that promise them: see test_identities and test_round_trips."""
SILENT = {"claims"}
"""Plain TCP, and bare captures: no box says anything."""


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_is_what_its_recipe_makes(name, tmp_path):
    assert golden.digest(FOLDERS[name](tmp_path / name)) == golden.digest(ROOT / name)


def test_every_folder_has_a_recipe():
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(FOLDERS)


VARIANTS = {
    "ordinary": {},
    "no options": {"options": False},
    "no shift": {"shift": False},
    "wrap": {"wrap": True},
    "rounds": {"rounds": 3},
    "reset": {"close": "rst"},
    "SYN again": {"resend_syn": True},
    "clocks apart": {"offsets_ns": (0, 3_000_000_000, -2_000_000_000, 500_000)},
    "short way": {"rtt_ms": 0.2},
    "IPv6": {"client": "fd00:1::10", "server": "fd00:2::10"},
    "long request": {"request": 4000, "mss": 1400, "response": 100},
}


@pytest.mark.parametrize(("placement", "variant"), sparse(["plain", *REWRITTEN], list(VARIANTS), every=3))
def test_unchanged_chain_passes_every_check(placement, variant, load):
    recipe = Recipe(placement, **VARIANTS[variant])
    verdicts = Expectation(OF_ALL, recipe.placement).judge(load(recipe))
    wrong = [f"{v.check} {v.outcome}: {v.summary} {v.evidence[:2]}" for v in verdicts if v.outcome is not Outcome.PASS]
    if recipe.placement == "plain":
        assert {v.check for v in verdicts if v.outcome is Outcome.NOT_APPLICABLE} == INFERRED | SILENT
        wrong = [line for line in wrong if "NOT_APPLICABLE" not in line]
    if not recipe.options:
        wrong = [line for line in wrong if line.split()[:2] != ["clocks", "NOT_APPLICABLE:"]]
    assert not wrong


@pytest.mark.parametrize("zero_window", ["early"])
@pytest.mark.parametrize("placement", REWRITTEN)
def test_a_zero_window_that_opens_at_once_passes(placement, zero_window, load):
    verdicts = Expectation(OF_ALL, placement).judge(load(Recipe(placement, zero_window=zero_window)))
    assert {v.outcome for v in verdicts} == {Outcome.PASS}


@pytest.mark.parametrize("placement", ["plain", *REWRITTEN])
def test_a_bare_folder_is_judged_from_the_captures_alone(placement, load):
    trace = load(Recipe(placement), sidecar=False)
    outcomes = {v.check: v.outcome for v in Expectation(OF_ALL).judge(trace)}
    quiet = SILENT | (INFERRED if placement == "plain" else set())
    expected = {name: Outcome.NOT_APPLICABLE if name in quiet else Outcome.PASS for name in outcomes}
    assert outcomes == {**expected, "capture_health": Outcome.NOT_APPLICABLE}


@pytest.mark.parametrize("placement", ["plain", *REWRITTEN])
def test_taps_that_saw_nothing_conclude_nothing(placement, load):
    def clear(chain):
        chain.taps = golden.empty(chain).taps

    outcomes = {v.check: v.outcome for v in Expectation(OF_ALL, placement).judge(load(Recipe(placement), clear))}
    assert set(outcomes.values()) == {Outcome.INCONCLUSIVE}, outcomes


@pytest.mark.parametrize("placement", ["plain", *REWRITTEN])
def test_a_lossy_capture_turns_passes_into_inconclusive(placement, load):
    def lose(chain):
        chain.tap_facts["servernic-eth0"]["dropped"] = 3

    outcomes = {v.check: v.outcome for v in Expectation(OF_ALL, placement).judge(load(Recipe(placement), lose))}
    assert set(outcomes.values()) <= {Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE}
    assert outcomes["checksums"] is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("folder", "failed", "unclear"),
    [
        ("foreign-early", set(), set()),
        ("foreign-shift", set(), set()),
        ("foreign-zero-window", set(), set()),
        ("foreign-two-files", set(), set()),
        ("foreign-naive", {"ordering", "carried_by"}, {"translation"}),
    ],
)
def test_other_peoples_captures(folder, failed, unclear):
    judgement = judge_folder(ROOT / folder)
    by = {
        outcome: {v.check for v in judgement.verdicts if v.outcome is outcome}
        for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE)
    }
    assert by == {Outcome.FAIL: failed, Outcome.INCONCLUSIVE: unclear}


@pytest.mark.parametrize("tap", ["clientnic-eth0", "clientnic-eth1"])
@pytest.mark.parametrize("placement", ["hold", "stamp"])
def test_two_files_never_claim_more_than_they_show(tap, placement, load):
    trace = load(Recipe(placement), only=("client-eth0", tap), sidecar=False)
    outcomes = {v.check: v.outcome for v in Expectation(OF_ALL).judge(trace)}
    assert Outcome.FAIL not in outcomes.values()
    if tap == "clientnic-eth0":  # both see the same side of every box
        assert outcomes["translation"] in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE)


def test_the_naive_rewriter_in_two_files_fails(load):
    trace = load(Recipe("hold", carried=True), only=("client-eth0", "clientnic-eth0"), sidecar=False)
    outcomes = {v.check: v.outcome for v in Expectation(OF_ALL).judge(trace)}
    assert {name for name, outcome in outcomes.items() if outcome is Outcome.FAIL} == {"carried_by"}
    assert outcomes["ordering"] is Outcome.INCONCLUSIVE


def test_ports_used_twice_are_two_flows(load):
    def again(chain):
        second = golden.build(replace(chain.recipe, seed=9, background=False))
        for tap, frames in second.taps.items():
            for frame in frames:
                frame.time_ns += 3_000_000_000
            chain.taps[tap] += frames

    verdicts = Expectation(OF_ALL, "stamp").judge(load(Recipe("stamp", flows=2), again))
    assert {v.check: v.outcome for v in verdicts if v.outcome is not Outcome.PASS} == {}


def test_frames_are_what_another_implementation_makes(tmp_path):
    """The golden frames' own checksums and options, against the second opinion's encoder."""
    inet = pytest.importorskip("scapy.layers.inet")  # all of Scapy takes a second longer
    chain = golden.build(Recipe("stamp"))
    frame = chain.find("client-eth0", "response", flow=1)[0]
    raw = golden.encode(frame)
    parsed = inet.Ether(raw)
    del parsed["TCP"].chksum, parsed["IP"].chksum
    assert bytes(parsed) == raw


def test_a_folder_without_captures_is_the_harness_not_the_product(tmp_path: Path):
    from hopscope.errors import HarnessFault

    with pytest.raises(HarnessFault):
        judge_folder(tmp_path)
