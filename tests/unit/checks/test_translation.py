"""Translation: one changed field of one segment on one side of a box, for every field that a box translates."""

from __future__ import annotations

import copy

import pytest

from hopscope.checks.translation import translation
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import Recipe
from support.grids import sparse

AFTER = {"hold": {"down": "clientnic-eth0", "up": "clientnic-eth1"},
         "stamp": {"down": "servernic-eth0", "up": "servernic-eth1"},
         "early": {"down": "servernic-eth0", "up": "servernic-eth1"}}  # fmt: skip
"""The tap behind the translating box, in each direction."""


def plus(amount):
    return lambda value: (value + amount) % 2**32


def edges(amount):
    return lambda blocks: [((a + amount) % 2**32, (b + amount) % 2**32) for a, b in blocks]


FIELDS = [
    ("down", "response", 0, {"seq": plus(1)}, "segment without its twin's number"),
    ("down", "response", 1, {"seq": plus(-1448)}, "segment without its twin's number"),
    ("down", "response", 0, {"ack": plus(1)}, "acknowledgement without its twin's number"),
    ("down", "fin-server", 0, {"seq": plus(1)}, "segment without its twin's number"),
    ("down", "again", 1, {"seq": plus(4)}, "segment without its twin's number"),
    ("down", "response", 0, {"opt_tsval": plus(1)}, "TSval off its flow's shift"),
    ("down", "response", 0, {"opt_tsecr": plus(7)}, "TSecr off its flow's shift"),
    ("down", "response", 0, {"opt_tsval": -1}, "timestamps option on one side only"),
    ("up", "request", 0, {"ack": plus(1)}, "acknowledgement without its twin's number"),
    ("up", "request", 0, {"seq": plus(1)}, "segment without its twin's number"),
    ("up", "ack", 0, {"ack": plus(-1)}, "acknowledgement without its twin's number"),
    ("up", "ack-response", 1, {"opt_sack": edges(1)}, "SACK edge without its twin's number"),
    ("up", "ack-response", 0, {"opt_tsecr": plus(1)}, "TSecr off its flow's shift"),
    ("up", "ack-response", 0, {"opt_tsval": plus(1)}, "TSval off its flow's shift"),
    ("up", "ack-response", 2, {"ack": plus(3)}, "acknowledgement without its twin's number"),
    ("up", "ack-last", 0, {"seq": plus(9)}, "segment without its twin's number"),
    ("up", "fin-client", 0, {"ack": plus(100)}, "acknowledgement without its twin's number"),
]


@pytest.mark.parametrize(("placement", "field"), sparse(list(AFTER), FIELDS, every=3))
def test_rejects(placement, field, rejects):
    way, label, flow, fields, reason = field
    tap = AFTER[placement][way]
    nth = 1 if "opt_sack" in fields else 0

    def change(chain):
        golden.change(chain, tap, label, flow=flow, nth=nth, **fields)

    verdict = rejects(translation(), Recipe(placement), change, reason)
    assert verdict.failed == 1
    assert verdict.evidence[0].tap == f"{tap}.pcap"


@pytest.mark.parametrize("tap", ["clientnic-eth0", "clientnic-eth1"])
def test_the_box_that_does_not_translate_must_not_touch_numbers(tap, rejects):
    way = {"clientnic-eth0": "response", "clientnic-eth1": "request"}[tap]
    rejects(
        translation(), Recipe("stamp"), lambda chain: golden.change(chain, tap, way, seq=plus(5)),
        "out of clientnic",
    )  # fmt: skip


@pytest.mark.parametrize("nth", range(3))
def test_expected_number_is_told(nth, load):
    recipe = Recipe("stamp", lose=False)

    def change(chain):
        golden.change(chain, "servernic-eth0", "response", nth=nth, seq=plus(77))

    verdict = translation()(load(recipe, change))
    should = golden.build(recipe).find("servernic-eth0", "response")[nth].seq
    assert f"seq {(should + 77) % 2**32} out of servernic" in verdict.evidence[0].seen
    if nth == 2:  # the only one of its length
        assert verdict.evidence[0].expected == f"seq {should}"


@pytest.mark.parametrize("placement", ["hold", "stamp"])
@pytest.mark.parametrize("wrap", [True, False])
def test_an_acknowledgement_of_the_isn_itself_is_wrong(placement, wrap, rejects):
    """ISN + 1, modulo 2^32."""
    tap = AFTER[placement]["up"]
    rejects(
        translation(), Recipe(placement, wrap=wrap), lambda chain: golden.change(chain, tap, "ack", ack=plus(-1)),
        "acknowledgement without its twin's number",
    )  # fmt: skip


ON_LINKS = [
    ("server-eth0", "request", {"ack": plus(5)}, "acknowledgement without its twin's number"),
    ("client-eth0", "response", {"ack": plus(5)}, "acknowledgement without its twin's number"),
    ("client-eth0", "response", {"opt_tsval": plus(5)}, "TSval off its flow's shift"),
    ("servernic-eth0", "ack-response", {"ack": plus(-200)}, "acknowledgement without its twin's number"),
    ("servernic-eth0", "ack-last", {"seq": plus(5)}, "segment without its twin's number"),
]


@pytest.mark.parametrize(("placement", "change"), sparse(sorted(AFTER), ON_LINKS, every=2))
def test_links_must_not_touch_numbers(placement, change, rejects):
    tap, label, fields, reason = change
    rejects(translation(), Recipe(placement), lambda chain: golden.change(chain, tap, label, **fields), reason)


@pytest.mark.parametrize(("placement", "tap"), sparse(sorted(AFTER), golden.TAPS[1:5], every=2))
def test_a_segment_that_a_capture_missed_is_not_blamed_on_the_box(placement, tap, load):
    """Without counters: what came out went in somewhere. With counters that prove the capture whole it did not."""

    def miss(chain):
        golden.drop(chain, tap, "request")

    verdict = translation()(load(Recipe(placement), miss, sidecar=False))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert f"missed by {tap}.pcap" in verdict.summary


def test_a_segment_that_comes_out_of_nothing_is_wrong_where_the_capture_is_proven(rejects):
    rejects(
        translation(), Recipe("stamp"), lambda chain: golden.drop(chain, "servernic-eth0", "request"),
        "segment without its twin's number",
    )  # fmt: skip


@pytest.mark.parametrize("tap", ["clientnic-eth1", "servernic-eth1"])
def test_a_synack_of_a_third_isn(tap, rejects):
    label = "synack"
    change = lambda chain: golden.change(chain, tap, label, seq=plus(3))  # noqa: E731
    verdict = rejects(translation(), Recipe("hold"), change, "SYN-ACK of a third ISN")
    assert verdict.failed == 1


STAMPS = [
    (("clientnic-eth1",), {"ack": plus(1)}, "SYN without its stamp"),
    (("servernic-eth0",), {"ack": 0}, "SYN without its stamp"),
    (("servernic-eth1",), {"ack": 12345}, "stamp leaked to the server"),
    (("server-eth0",), {"ack": 1}, "stamp leaked to the server"),
]


@pytest.mark.parametrize(("taps", "fields", "reason"), STAMPS)
def test_rejects_stamps(taps, fields, reason, rejects):
    rejects(translation(), Recipe("stamp"), lambda chain: golden.change_all(chain, "syn", taps=taps, **fields), reason)


def test_every_syn_carries_the_stamp_also_the_second(rejects):
    recipe = Recipe("stamp", resend_syn=True)
    rejects(
        translation(), recipe, lambda chain: golden.change(chain, "clientnic-eth1", "syn", nth=1, ack=0),
        "SYN without its stamp",
    )  # fmt: skip


@pytest.mark.parametrize("placement", ["hold", "early"])
def test_nothing_is_left_in_the_syn_of_other_placements(placement, rejects):
    rejects(
        translation(), Recipe(placement), lambda chain: golden.change(chain, "servernic-eth1", "syn", ack=7),
        "stamp leaked",
    )  # fmt: skip


def test_a_synack_acknowledges_the_clients_isn(rejects):
    rejects(
        translation(), Recipe("stamp"), lambda chain: golden.change(chain, "client-eth0", "spoof", ack=plus(-1)),
        "the client's ISN + 1",
    )  # fmt: skip


def test_a_synack_of_a_reset_is_translated(rejects):
    rejects(
        translation(), Recipe("hold", close="rst"),
        lambda chain: golden.change(chain, "clientnic-eth1", "rst", seq=plus(4242)), "segment without its",
    )  # fmt: skip


def test_segments_cut_anew_with_the_same_bytes_pass(load):
    """Offloads and boxes may join or split segments: ranges and bytes count."""

    def join(chain):
        one, other = chain.find("servernic-eth0", "response")[:2]
        one.payload += other.payload
        golden.drop(chain, "servernic-eth0", "response", nth=1)

    assert translation()(load(Recipe("stamp", lose=False), join)).outcome is Outcome.PASS


def test_segments_cut_anew_with_other_numbers_fail(rejects):
    def join(chain):
        one, other = chain.find("servernic-eth0", "response")[:2]
        one.payload += other.payload
        one.seq = (one.seq + 1) % 2**32
        golden.drop(chain, "servernic-eth0", "response", nth=1)

    rejects(translation(), Recipe("stamp", lose=False), join, "segment without its twin's number")


def test_a_box_may_acknowledge_early_data_by_itself(load):
    """`hold` frees the client's buffer: a pure ACK towards the client that no server sent."""

    def acknowledge(chain):
        request = chain.find("clientnic-eth0", "request")[0]
        spoof = chain.find("clientnic-eth0", "spoof")[0]
        for tap, late in (("clientnic-eth0", 1000), ("client-eth0", 21000)):
            mine = golden.Frame(
                request.time_ns + late, spoof.src_mac, spoof.dst_mac, spoof.src, spoof.dst, sport=spoof.sport,
                dport=spoof.dport, seq=(spoof.seq + 1) % 2**32, ack=(request.seq + len(request.payload)) % 2**32,
                flags=16, window=500, label="early-ack", flow=0,
            )  # fmt: skip
            chain.taps[tap].append(mine)

    assert translation()(load(Recipe("hold"), acknowledge)).outcome is Outcome.PASS


def test_plain_is_not_concerned(load):
    assert translation()(load(Recipe("plain"))).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    "only",
    [
        ("client-eth0", "clientnic-eth0", "server-eth0"),
        ("client-eth0", "clientnic-eth0", "clientnic-eth1", "servernic-eth0", "servernic-eth1", "server-eth0"),
        ("clientnic-eth0", "clientnic-eth1"),
        ("client-eth0", "clientnic-eth1"),
    ],
)
def test_taps_with_a_box_between_them_are_enough(only, load):
    assert translation()(load(Recipe("hold"), only=only)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("placement", "only"),
    [
        ("hold", ("clientnic-eth1", "servernic-eth0", "servernic-eth1", "server-eth0")),
        ("stamp", ("client-eth0", "clientnic-eth0", "clientnic-eth1", "servernic-eth0")),
    ],
)
def test_without_both_sides_of_the_translator_nothing_is_concluded(placement, only, load):
    assert translation()(load(Recipe(placement), only=only)).outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE)


@pytest.mark.parametrize("placement", sorted(AFTER))
def test_one_syn_has_one_answer(placement, rejects, load):
    def twice(chain):
        for tap in golden.TAPS[:2]:
            answer = chain.find(tap, "spoof")[0]
            chain.taps[tap].append(golden.replace(answer, time_ns=answer.time_ns + 5_000))

    verdict = rejects(translation(), Recipe(placement), twice, "SYN answered more than once (1)")
    assert verdict.evidence[0].tap == "clientnic-eth0.pcap"
    assert len(verdict.evidence[0].frames) == 2


def test_an_answer_to_each_of_two_syns_is_right(load):
    def twice(chain):
        for tap in golden.TAPS[:2]:
            answer = chain.find(tap, "spoof")[0]
            chain.taps[tap].append(golden.replace(answer, time_ns=answer.time_ns + 1_000_000))

    assert translation()(load(Recipe("stamp", resend_syn=True), twice)).outcome is Outcome.PASS


def every_echo(chain, placement, change, flows=(0, 1, 2)):
    """Change TSecr of all segments of these flows to the server, on all taps behind the translating box."""
    taps = golden.TAPS[golden.TAPS.index(AFTER[placement]["up"]) :]
    for tap in taps:
        for frame in chain.taps[tap]:
            if frame.flow in flows and frame.dport == 8080 and frame.options.tsecr:
                frame.options.tsecr = change(frame.options.tsecr)


@pytest.mark.parametrize("flows", [(0, 1, 2), (1,)])
@pytest.mark.parametrize("placement", sorted(AFTER))
def test_rejects_an_echo_that_is_not_shifted_back_by_what_the_clock_was(placement, flows, rejects):
    verdict = rejects(
        translation(),
        Recipe(placement),
        lambda chain: every_echo(chain, placement, plus(123_456_789), flows),
        "TSecr not shifted back by what TSval was shifted",
    )
    assert verdict.failed == len(flows)


@pytest.mark.parametrize("placement", sorted(AFTER))
def test_rejects_an_echo_of_nothing(placement, rejects):
    verdict = rejects(
        translation(),
        Recipe(placement),
        lambda chain: every_echo(chain, placement, lambda _value: 0),
        "TSecr off its flow's shift",
    )
    assert verdict.failed == 3
    assert "an echo of " in verdict.evidence[0].expected


def on_the_path(chain, first_ms=-1):
    chain.sidecar["sut"] = [
        {
            "event": "sut_started",
            "sut": "stamp",
            "placement": "stamp",
            "time_ns": golden.START_NS + first_ms * 1_000_000,
        }
    ]


def test_rejects_plain_tcp_while_a_translating_system_is_on_the_path(rejects):
    verdict = rejects(translation(), Recipe("plain"), on_the_path, "not translated (3)")
    assert verdict.failed == 3


def test_rejects_flows_of_the_system_that_came_back_plain_alone(rejects):
    verdict = rejects(translation(), Recipe("plain"), lambda chain: on_the_path(chain, 3), "not translated (2)")
    assert verdict.failed == 2


def test_plain_tcp_outside_of_the_systems_time_is_not_concerned(load):
    trace = load(Recipe("plain"), lambda chain: on_the_path(chain, 300))
    assert translation()(trace).outcome is Outcome.NOT_APPLICABLE


def test_acknowledgements_that_a_link_reorders_keep_their_clocks(load):
    """Two empty segments with the same numbers and different TSvals: the later one overtakes the earlier on the WAN."""

    def reorder(chain):
        for at, tap in enumerate(golden.TAPS):
            first = chain.find(tap, "ack-response", 0)[0]
            second = copy.deepcopy(first)
            second.options.tsval += 7
            second.time_ns += 300_000
            if at >= 3:
                first.time_ns, second.time_ns = second.time_ns, first.time_ns
            chain.taps[tap].append(second)

    verdict = translation()(load(Recipe("stamp"), reorder))
    assert verdict.outcome is Outcome.PASS, verdict.summary


def without_timestamps(chain):
    """The server declines time stamps: none come from it, and none reach it."""
    at_server = ("servernic-eth1", "server-eth0")
    for tap, frames in chain.taps.items():
        for frame in frames:
            from_server = frame.sport == chain.recipe.port and frame.label != "spoofed"
            spoofed = from_server and frame.flags & 0x12 == 0x12 and tap not in at_server
            to_server = frame.dport == chain.recipe.port and tap in at_server and not frame.flags & 2
            if (from_server and not spoofed) or to_server:
                frame.options.tsval = -1


def test_timestamps_that_the_server_declined_are_to_be_kept_from_it(load):
    verdict = translation()(load(Recipe("stamp"), without_timestamps))
    assert verdict.outcome is Outcome.PASS, verdict.summary
