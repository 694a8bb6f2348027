"""Teardown: what ends on one side must end on the other, and tables must be empty in time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopscope.checks.live import owned
from hopscope.checks.teardown import teardown
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import TAPS, Recipe
from support.golden_frames import ACK, RST
from support.grids import sparse


@pytest.mark.parametrize("placement", ["plain", "hold", "stamp"])
@pytest.mark.parametrize(
    ("labels", "taps", "close", "reason"),
    [
        (("fin-client", "ack-last"), TAPS[2:], "fin", "the client's FIN at server-eth0"),
        (("fin-client", "fin-server", "ack-last"), TAPS[5:], "fin", "the client's FIN at server-eth0"),
        (("fin-server", "ack-last"), TAPS[:3], "fin", "the server's FIN at client-eth0"),
        (("ack-last",), TAPS[3:], "fin", "an acknowledgement of the server's FIN"),
        (("rst",), TAPS[1:], "rst", "the RST at server-eth0 too"),
        (("rst",), TAPS[4:], "rst", "the RST at server-eth0 too"),
        (("rst",), TAPS[:1], "rst", "the RST at client-eth0 too"),
    ],
)
def test_rejects(placement, labels, taps, close, reason, rejects):
    def lose(chain):
        for label in labels:
            golden.drop_from(chain, label, taps)

    verdict = rejects(teardown(), Recipe(placement, close=close), lose, reason)
    assert verdict.failed == 1


def reset_by(box, *, up, down):
    """The box resets flow 0 in the middle of the response: towards the server, the client, or both."""

    def change(chain):
        near, far = (tap for tap in TAPS if tap.startswith(f"{box}-"))
        moment = max(frame.time_ns for frame in chain.find(near, "response"))
        for wanted, tap, beyond, way in (
            (down, near, TAPS[: TAPS.index(near) + 1], "response"),
            (up, far, TAPS[TAPS.index(far) :], "request"),
        ):
            if wanted:
                model = chain.find(tap, way)[0]
                number = (model.seq + len(model.payload)) % 2**32
                for place in beyond:
                    seen = chain.find(place, way)[0]
                    chain.taps[place].append(
                        replace(
                            seen, flags=RST | ACK, payload=b"", seq=number, time_ns=moment + 5_000, label="made-up"
                        )
                    )  # fmt: skip

    return change


WAYS = [(True, True), (True, False), (False, True)]


@pytest.mark.parametrize(
    ("placement", "box", "ways"), sparse(["plain", "hold", "stamp"], ["clientnic", "servernic"], WAYS, every=2)
)
def test_rejects_a_reset_that_a_box_made_up(placement, box, ways, rejects):
    up, down = ways
    verdict = rejects(teardown(), Recipe(placement), reset_by(box, up=up, down=down), f"reset by {box}")
    assert verdict.failed == 1
    assert verdict.exit_code == 1


@pytest.mark.parametrize("placement", ["hold", "stamp"])
def test_a_flow_that_was_never_established_may_be_reset_by_the_box(placement, load):
    """The server refuses or is mute: whoever answered for it has to tell the client."""

    def refuse(chain):
        reset_by("clientnic", up=False, down=True)(chain)
        kept = ("syn", "spoof", "made-up")
        for tap, frames in chain.taps.items():
            chain.taps[tap] = [frame for frame in frames if frame.flow != 0 or frame.label in kept]

    verdict = teardown()(load(Recipe(placement), refuse))
    assert "reset by" not in verdict.summary


def test_who_reset_is_not_told_where_the_capture_may_have_missed_it(load):
    def change(chain):
        reset_by("servernic", up=True, down=False)(chain)
        chain.tap_facts["servernic-eth0"]["dropped"] = 2

    assert teardown()(load(Recipe("stamp"), change)).outcome is not Outcome.PASS


def events(*told, spans=()):
    """Counters at seconds after the last segment, with so many flows open; and when systems were on the path."""

    def change(chain):
        last = max(frame.time_ns for frames in chain.taps.values() for frame in frames if frame.proto == 6)
        chain.sidecar["sut"] = [
            {"event": "counters", "host": "clientnic", "flows": flows, "time_ns": last + int(seconds * 1e9)}
            for seconds, flows in told
        ] + [
            {"event": f"sut_{kind}", "sut": "hold", "placement": "hold", "time_ns": last + int(seconds * 1e9)}
            for span in spans
            for kind, seconds in zip(("started", "stopped"), span, strict=False)
        ]

    return change


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (((-1, 3), (4, 2), (6, 2)), "2 flows"),
        (((-1, 3), (5.5, 0)), "empty only after 5500.000 ms"),
        (((-1, 0), (-0.1, 3), (5.5, 0)), "empty only after 5500.000 ms"),
    ],
)
def test_rejects_tables_that_are_not_empty(told, reason, rejects):
    rejects(teardown(), Recipe("hold"), events(*told), reason)


@pytest.mark.parametrize(
    ("told", "note"),
    [
        (((-1, 3), (0.5, 0)), "flow table of clientnic empty 500.000 ms"),
        (((-1, 3), (2, 1), (4.9, 0)), "flow table of clientnic empty 4900.000 ms"),
        (((-1, 3), (-0.5, 0)), "not told in time"),
        (((-1, 3), (-0.1, 0), (7.9, 0)), "not told in time"),
    ],
)
def test_tables_that_are_empty_or_not_told_pass(told, note, load):
    verdict = teardown()(load(Recipe("hold"), events(*told)))
    assert verdict.outcome is Outcome.PASS
    assert note in verdict.summary


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [((0.3,), Outcome.PASS), ((4.9,), Outcome.PASS), ((5.1,), Outcome.FAIL), ((0.3, 4.9, 5.1), Outcome.FAIL)],
)
def test_flows_that_are_over_may_linger_until_the_deadline(seconds, outcome, load):
    def change(chain):
        events(*((each, 0) for each in seconds))(chain)
        for event in chain.sidecar["sut"]:
            event["lingering"] = 3

    assert teardown()(load(Recipe("hold"), change)).outcome is outcome


@pytest.mark.parametrize("told", [((-1, 3),), ((-1, 3), (2, 1)), ((-1, 0), (-0.5, 3))])
@pytest.mark.parametrize("spans", [(), ((-2,),), ((-2, 6),), ((-9, -8), (-2, 5.5))])
def test_a_box_that_told_of_open_flows_and_never_of_none_concludes_nothing(told, spans, load):
    verdict = teardown()(load(Recipe("hold"), events(*told, spans=spans)))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "clientnic told of" in verdict.summary


@pytest.mark.parametrize("spans", [((-2, -0.6),), ((-2, 1.9),), ((-2, 3), (3.5, 9))])
def test_a_box_that_was_stopped_before_its_tables_had_their_time(spans, load):
    told = ((-1, 3), (2, 1)) if spans[0][1] > 0 else ((-1, 3), (-0.5, 2))
    verdict = teardown()(load(Recipe("hold"), events(*told, spans=spans)))
    assert verdict.outcome is Outcome.PASS
    assert "not told in time" in verdict.summary


@pytest.mark.parametrize("fields", [{"time_ns": "abc"}, {"time_ns": None}, {"flows": None}, {"flows": ["tcp:80"]}])
def test_counters_that_are_no_numbers_are_not_told(fields, load):
    trace = load(Recipe("hold"))
    event = {"event": "counters", "host": "clientnic", "time_ns": 1, "flows": 1} | fields
    changed = replace(trace, sut_events=(event, {"event": "sut_started", "time_ns": None}))
    assert teardown()(changed).outcome is Outcome.PASS
    assert owned(changed) is None


def test_open_connections_conclude_nothing(load):
    verdict = teardown()(load(Recipe("stamp", close="open")))
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_a_close_missing_from_an_unhealthy_capture_is_no_proof(load):
    def lose(chain):
        golden.drop_from(chain, "rst", TAPS[5:])
        chain.tap_facts["server-eth0"]["dropped"] = 2

    assert teardown()(load(Recipe("stamp", close="rst"), lose)).outcome is Outcome.INCONCLUSIVE


def test_one_capture_concludes_nothing(load):
    assert teardown()(load(Recipe("stamp"), only=("client-eth0",))).outcome is Outcome.INCONCLUSIVE
