"""Claims: what a box says that it did, and captures that do not show it."""

from __future__ import annotations

import pytest

from hopscope.checks.claims import claims
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import Recipe

BOX = "clientnic-eth0"


def told(chain, **event):
    chain.sidecar["sut"].insert(0, {"host": "clientnic", **event})


def test_rejects_a_flow_that_the_server_itself_answered(load):
    """The predecessor's log said "sent" of every SYN-ACK, and the kernel had won every race."""
    chain = golden.build(Recipe("hold", carried=True))
    verdict = claims()(load(Recipe("hold", carried=True)))
    assert verdict.outcome is Outcome.FAIL
    assert (verdict.judged >= 3, verdict.failed) == (True, 3)
    assert f"ISN {chain.isns[0][1]}; the box's came" in verdict.evidence[0].seen


@pytest.mark.parametrize("placement", ["hold", "stamp", "early"])
def test_rejects_an_answer_of_another_number(placement, rejects):
    def lie(chain):
        chain.sidecar["sut"][1]["isn"] += 1

    verdict = rejects(claims(), Recipe(placement), lie, "flow said to be answered that was not (1)")
    assert verdict.failed == 1
    assert verdict.evidence[0].flow == "10.1.0.10:40001 > 10.1.2.10:8080"


def test_rejects_an_answer_that_never_came(rejects):
    def lose(chain):
        golden.drop_from(chain, "spoof", golden.TAPS[:2])
        chain.sidecar["sut"][3]["syn_answered"] -= 1
        chain.sidecar["sut"][3]["sent_client"] -= 1

    rejects(claims(), Recipe("stamp"), lose, "no SYN-ACK at all")


@pytest.mark.parametrize("name", ["sent_client", "sent_server"])
@pytest.mark.parametrize("box", [3, 4])
def test_rejects_more_frames_than_left_the_port(box, name, rejects):
    def boast(chain):
        chain.sidecar["sut"][box][name] += 1

    rejects(claims(), Recipe("stamp", background=False), boast, "frames counted as sent that never left (1)")


def test_rejects_more_answers_than_left_the_port(rejects):
    def boast(chain):
        chain.sidecar["sut"][3]["syn_answered"] += 1

    rejects(claims(), Recipe("hold"), boast, "SYN-ACKs counted as sent that never left (1)")


def test_rejects_a_segment_that_never_left(rejects, load):
    spoof = golden.build(Recipe("hold")).find(BOX, "spoof")[0]
    sent = {"event": "sent", "side": "client", "flow": "10.1.2.10:8080>10.1.0.10:40000", "flags": "SA"}
    true = load(Recipe("hold"), lambda chain: told(chain, **sent, seq=spoof.seq))
    assert claims()(true).outcome is Outcome.PASS
    for lie in ({"seq": spoof.seq + 1}, {"seq": spoof.seq, "flags": "R"}, {"seq": spoof.seq, "side": "server"}):
        rejects(claims(), Recipe("hold"), lambda chain, lie=lie: told(chain, **{**sent, **lie}), "no such frame on")


def test_runs_of_one_box_are_added_up(load, rejects):
    """A box that was started again counts from nought again."""

    def twice(chain, more=0):
        first, rest = chain.sidecar["sut"][:3], chain.sidecar["sut"][3:]
        half = {"sent_client": rest[0]["sent_client"] // 2 + more, "sent_server": 0, "syn_answered": 1}
        other = {name: rest[0][name] - half[name] for name in half}
        other["sent_client"] += more
        ready = {"event": "ready", "host": "clientnic"}
        chain.sidecar["sut"] = [*first, ready, {**rest[0], **half}, ready, {**rest[0], **other}]

    assert claims()(load(Recipe("hold", background=False), twice)).outcome is Outcome.PASS
    rejects(claims(), Recipe("hold", background=False), lambda chain: twice(chain, 1), "frames counted as sent")


def test_a_capture_that_lost_packets_denies_nothing(load):
    def lossy(chain):
        chain.sidecar["sut"][3]["sent_client"] += 1
        chain.tap_facts[BOX]["dropped"] = 1

    verdict = claims()(load(Recipe("stamp", background=False), lossy))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "1 claim that a capture may have missed" in verdict.summary


def test_who_says_nothing_is_not_judged(load):
    def silence(chain):
        chain.sidecar["sut"] = [{"event": "counters", "host": "clientnic", "flows": 0, "time_ns": 1}]

    assert claims()(load(Recipe("stamp"), silence)).outcome is Outcome.NOT_APPLICABLE
    assert claims()(load(Recipe("plain"))).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    "event",
    [{"event": "sent"}, {"event": "sent", "side": "client", "flow": "nonsense", "seq": 1}, {"event": "syn_answered"},
     {"event": "syn_answered", "flow": "10.9.9.9:1>10.9.9.8:2", "isn": 4}],
)  # fmt: skip
def test_what_cannot_be_read_or_was_not_captured_is_left_out(event, load):
    assert claims()(load(Recipe("hold"), lambda chain: told(chain, **event))).outcome is Outcome.PASS
