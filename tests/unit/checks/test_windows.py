"""Windows: an edge that shrinks, grows or is taken back; other scales; what the ends do themselves."""

from __future__ import annotations

import pytest

from hopscope.checks.verdict import Outcome
from hopscope.checks.windows import windows
from support import golden
from support.golden import TAPS, Recipe

BOX = {"hold": ("clientnic", TAPS[:2]), "stamp": ("servernic", TAPS[:4]), "early": ("servernic", TAPS[:4])}
"""The translating box, and the taps on the client's side of it."""


def narrowed(chain, taps, label, by, *, nth=0, flow=0):
    for tap in taps:
        golden.change(chain, tap, label, nth=nth, flow=flow, window=lambda window: window + by)


@pytest.mark.parametrize("placement", BOX)
@pytest.mark.parametrize(
    ("by", "reason"),
    [(-2, "right edge shrunk"), (2, "right edge beyond what was offered"), (-502, "right edge shrunk")],
)
def test_rejects_a_window_that_its_box_moved(placement, by, reason, rejects):
    """By more than its scale cannot say, which is less than 128 bytes."""
    verdict = rejects(windows(), Recipe(placement), lambda c: narrowed(c, BOX[placement][1], "response", by), reason)
    assert f"out of {BOX[placement][0]}" in verdict.evidence[0].seen


@pytest.mark.parametrize("placement", BOX)
def test_rejects_a_client_window_that_its_box_moved(placement, rejects):
    taps = TAPS[len(BOX[placement][1]) :]
    rejects(windows(), Recipe(placement), lambda c: narrowed(c, taps, "ack-response", -40), "right edge shrunk")


@pytest.mark.parametrize(("first", "last"), [(0, 1), (3, 4)])
def test_rejects_a_window_that_a_link_changed(first, last, rejects):
    change = lambda chain: narrowed(chain, TAPS[first:last], "response", 1)  # noqa: E731
    rejects(windows(), Recipe("stamp"), change, "window changed on a link")


@pytest.mark.parametrize("placement", BOX)
def test_rejects_a_promise_that_is_taken_back(placement, rejects):
    """The box's SYN-ACK offers more than the server then has: every twin is right, the promise was not."""
    rejects(windows(), Recipe(placement), lambda c: narrowed(c, TAPS[:2], "spoof", 300), "right edge taken back")


@pytest.mark.parametrize("placement", ["stamp", "hold"])
def test_a_scale_that_is_translated_passes(placement, load):
    """The client is told another scale than the server's, and every window is shifted by the difference."""

    def rescaled(chain):
        for tap in BOX[placement][1]:
            for frame in chain.taps[tap]:
                if frame.flow is not None and frame.src == chain.recipe.server and frame.flags & 16:
                    if frame.flags & 2:
                        frame.options.wscale = 5
                    else:
                        frame.window = frame.window << 2

    verdict = windows()(load(Recipe(placement), rescaled))
    assert verdict.outcome is Outcome.PASS, (verdict.summary, verdict.evidence[:1])


def test_an_end_that_takes_its_own_window_back_is_no_fault_of_a_box(load):
    def closing(chain):
        narrowed(chain, TAPS, "response", -300, nth=2)
        narrowed(chain, TAPS, "fin-server", -400)

    assert windows()(load(Recipe("stamp"), closing)).outcome is Outcome.PASS


def test_without_a_handshake_nothing_is_concluded(load):
    def late(chain):
        for tap in TAPS:
            golden.drop_from(chain, "syn", (tap,), flow=0)

    verdict = windows()(load(Recipe("stamp", flows=1), late))
    assert verdict.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE)


def test_plain_tcp_is_not_concerned(load):
    assert windows()(load(Recipe("plain"))).outcome is Outcome.NOT_APPLICABLE
    assert windows("plain")(load(Recipe("stamp"))).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize("placement", ["hold", "stamp"])
def test_an_older_offer_that_a_link_delivered_late_is_not_taken_back_by_a_box(placement, load):
    """Of the same number, so that only the order in which its sender spoke tells which is the older one."""

    def overtaken(chain):
        for at, tap in enumerate(golden.TAPS):
            older = chain.find(tap, "ack-last")[0]
            ahead = 1_000 if at < 3 else -1_000
            chain.taps[tap].append(
                golden.replace(older, window=older.window + 500, time_ns=older.time_ns + ahead, ip_id=older.ip_id + 9)
            )

    verdict = windows()(load(Recipe(placement), overtaken))
    assert verdict.outcome is Outcome.PASS, verdict.summary


@pytest.mark.parametrize(("gap_ns", "outcome"), [(2_000, Outcome.PASS), (200_000, Outcome.FAIL)])
def test_neighbours_may_change_places_in_a_box_and_others_may_not(gap_ns, outcome, load):
    """The newer offer leaves the box before the older one: by microseconds, or by what its code has held up."""

    def overtaken(chain):
        for at, tap in enumerate(golden.TAPS):
            older = chain.find(tap, "ack-last")[0]
            ahead = 1_000 if at < 4 else -gap_ns
            chain.taps[tap].append(
                golden.replace(older, window=older.window + 500, time_ns=older.time_ns + ahead, ip_id=older.ip_id + 9)
            )

    verdict = windows()(load(Recipe("stamp"), overtaken))
    assert verdict.outcome is outcome, verdict.summary
