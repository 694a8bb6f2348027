"""Where segments were lost, created or changed, on every link and in every box, repaired by TCP or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopscope.checks.correlation import Kind, correlate
from support import golden
from support.golden import TAPS, Recipe
from support.grids import sparse

PLACES = {
    True: ["between client-eth0 and clientnic-eth0", "inside clientnic", "between clientnic-eth1 and servernic-eth0",
           "inside servernic", "between servernic-eth1 and server-eth0"],
    False: ["between clientnic-eth0 and client-eth0", "inside clientnic", "between servernic-eth0 and clientnic-eth1",
            "inside servernic", "between server-eth0 and servernic-eth1"],
}  # fmt: skip
"""By direction: what lies between tap n and tap n + 1."""

QUIET = Recipe("stamp", lose=False)


def told(trace):
    """Everything that is wrong, without what the recipe itself loses."""
    return [(each.kind, each.place, each.flow, each.up) for way in correlate(trace) for each in way.ranges]


MORE = [{}, {"wrap": True}, {"rounds": 3}, {"client": "fd00:1::10", "server": "fd00:2::10"}]


@pytest.mark.parametrize(("placement", "more"), sparse(["plain", "hold", "stamp", "early"], MORE, every=2))
def test_a_chain_loses_what_its_link_loses_and_nothing_else(placement, more, load):
    trace = load(Recipe(placement, **more))
    assert told(trace) == [(Kind.LOST, PLACES[False][2], 1, False)]
    passages = correlate(trace)
    assert sum(len(way.twins[0]) for way in passages) > 50
    assert {way.proven for way in passages} == {True}


@pytest.mark.parametrize(
    ("placement", "label", "place"),
    sparse(["plain", "hold", "stamp"], ["request", "response", "fin-client", "fin-server"], range(5), every=3),
)
def test_a_lost_segment_is_found_where_it_was_lost(placement, label, place, load):
    up = label in ("request", "fin-client")
    taps = TAPS[place + 1 :] if up else TAPS[: place + 1]
    trace = load(
        Recipe(placement, lose=False, response=1000), lambda chain: golden.drop_from(chain, label, taps, flow=2)
    )
    assert told(trace) == [(Kind.LOST, PLACES[up][place], 2, up)]


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("copy", [0, 1])
def test_of_two_copies_the_lost_one_is_told(place, copy, load):
    """The first or the second copy of a request is lost; the other comes through."""

    def twice(chain):
        for number, tap in enumerate(TAPS):
            first = chain.find(tap, "request", 2)[0]
            again = replace(first, time_ns=first.time_ns + 200_000_000, ip_id=first.ip_id + 50)
            if number <= place or copy == 0:
                chain.taps[tap].append(again)
            if number > place and copy == 0:
                chain.taps[tap] = [frame for frame in chain.taps[tap] if frame is not first]

    trace = load(QUIET, twice)
    (lost,) = [each for way in correlate(trace) for each in way.ranges]
    tap = trace.taps[lost.seen_at]
    assert (lost.kind, lost.place, lost.start, lost.end) == (Kind.LOST, PLACES[True][place], 1, 101)
    assert tap.packets.ip_id[lost.row] == golden.build(QUIET).find(TAPS[0], "request", 2)[0].ip_id + 50 * copy


@pytest.mark.parametrize("place", range(5))
def test_bytes_out_of_nowhere_are_created(place, load):
    def more(chain):
        for tap in TAPS[place + 1 :]:
            first = chain.find(tap, "request", 2)[0]
            chain.taps[tap].append(replace(first, time_ns=first.time_ns + 100_000))

    assert told(load(QUIET, more)) == [(Kind.CREATED, PLACES[True][place], 2, True)]


CHANGES = [
    ({"payload": lambda old: old[2:4] + old[:2] + old[4:]}, "payload byte 0"),  # keeps the checksum
    ({"payload": lambda old: old[:-1] + bytes([old[-1] ^ 1])}, "payload byte 99"),
    ({"seq": lambda old: old + 7}, "seq"),
    ({"ack": lambda old: old - 9}, "ack"),
    ({"flags": lambda old: old | 32}, "flags"),
]


@pytest.mark.parametrize(("place", "change"), sparse(range(5), CHANGES, every=2))
def test_what_was_changed_is_named_with_both_values(place, change, load):
    fields, field = change

    def changed_behind(chain):
        for tap in TAPS[place + 1 :]:
            golden.change(chain, tap, "request", flow=2, **fields)

    trace = load(QUIET, changed_behind)
    (changed,) = [each for way in correlate(trace) for each in way.ranges]
    assert (changed.kind, changed.place, changed.field) == (Kind.CHANGED, PLACES[True][place], field)
    if field in ("seq", "ack"):
        ((name, shift),) = fields.items()
        assert int(changed.seen) == shift(int(changed.expected)) % 2**32
        assert int(changed.seen) == getattr(trace.taps[changed.seen_at].packets, name)[changed.row]


@pytest.mark.parametrize("place", range(5))
def test_segments_cut_anew_are_the_same_bytes(place, load):
    def cut(chain):
        for tap in TAPS[place + 1 :]:
            whole = chain.find(tap, "request", 2)[0]
            rest = replace(whole, seq=whole.seq + 40, payload=whole.payload[40:], time_ns=whole.time_ns + 900)
            whole.payload = whole.payload[:40]
            chain.taps[tap].append(rest)

    assert told(load(QUIET, cut)) == []


def test_of_segments_cut_anew_changed_bytes_are_told(load):
    def cut(chain):
        for tap in TAPS[2:]:
            whole = chain.find(tap, "request", 2)[0]
            rest = replace(whole, seq=whole.seq + 40, payload=whole.payload[40:99] + b"?", time_ns=whole.time_ns + 900)
            whole.payload = whole.payload[:40]
            chain.taps[tap].append(rest)

    (changed,) = [each for way in correlate(load(QUIET, cut)) for each in way.ranges]
    assert (changed.kind, changed.place, changed.field) == (Kind.CHANGED, "inside clientnic", "payload byte 59")


def test_of_segments_cut_anew_the_lost_bytes_are_told(load):
    def cut(chain):
        for tap in TAPS[3:]:
            whole = chain.find(tap, "request", 2)[0]
            rest = replace(whole, seq=whole.seq + 60, payload=whole.payload[60:], time_ns=whole.time_ns + 900)
            whole.payload = whole.payload[:40]
            chain.taps[tap].append(rest)

    (lost,) = [each for way in correlate(load(QUIET, cut)) for each in way.ranges]
    assert (lost.kind, lost.place, lost.start, lost.end) == (Kind.LOST, PLACES[True][2], 41, 61)


@pytest.mark.parametrize("clocks", [(0, 0, 0, 0), (0, 3_000_000_000, -2_000_000_000, 500_000)])
def test_reordering_is_nothing(clocks, load):
    def swap(chain):
        for tap in TAPS[:3]:
            frames = chain.find(tap, "response", 0)
            frames[0].time_ns, frames[1].time_ns = frames[1].time_ns, frames[0].time_ns

    assert told(load(replace(QUIET, offsets_ns=clocks), swap)) == []


def test_a_capture_that_lost_packets_proves_no_loss(load):
    def lossy(chain):
        golden.drop_from(chain, "request", TAPS[3:], flow=2)
        chain.tap_facts["servernic-eth0"]["dropped"] = 1

    trace = load(QUIET, lossy)
    unproven = [way for way in correlate(trace) if way.ranges]
    assert unproven
    assert not any(way.proven for way in unproven)
