"""Grouping of segments: agreement with a dictionary that walks one packet after the other."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hopscope.wire import flows, pcap
from hopscope.wire.writer import write_pcap
from support import frames

ENDS = [("10.0.0.1", 1000), ("10.0.0.1", 1001), ("10.0.0.2", 80), ("fd00::1", 1000), ("fd00::2", 80)]

packets = st.tuples(
    st.sampled_from([(0, 2), (1, 2), (2, 0), (2, 1), (3, 4), (4, 3)]),
    st.sampled_from(["S", "S", "SA", "A", "PA", "FA", "R"]),
    st.integers(0, 3),
    st.integers(0, 4),
)


def build(end: tuple[int, int], flags: str, seq: int, ack: int) -> bytes:
    (src, sport), (dst, dport) = ENDS[end[0]], ENDS[end[1]]
    return frames.segment(sport, dport, flags, seq * 1000, ack * 1000 + 1, src=src, dst=dst)


def slowly(given: list[tuple[tuple[int, int], str, int, int]]) -> list[object]:
    """A name for each packet: (4-tuple, initiator, ISN) once a SYN or its SYN-ACK was seen, the latest generation
    winning."""
    order: dict[frozenset[int], list[tuple[int, int]]] = {}
    for kind in ("S", "SA"):
        for end, flags, seq, ack in given:
            name = (end[0], seq) if kind == "S" else (end[1], ack)
            known = order.setdefault(frozenset(end), [])
            had_syn = any(f == "S" and set(e) == set(end) for e, f, _, _ in given)
            if flags == kind and name not in known and (kind == "S" or not had_syn):
                known.append(name)
    current: dict[frozenset[int], int] = {}
    out: list[object] = []
    for end, flags, seq, ack in given:
        pair = frozenset(end)
        name = {"S": (end[0], seq), "SA": (end[1], ack)}.get(flags)
        if name in order[pair]:
            number = order[pair].index(name)
            current[pair] = max(current.get(pair, -1), number)
        else:
            number = current.get(pair, -1)
        out.append((pair, order[pair][number] if number >= 0 else None))
    return out


@given(st.lists(packets, min_size=1, max_size=30))
def test_segments_are_grouped_as_a_slow_walk_groups_them(given: list[tuple[tuple[int, int], str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pcap"
        write_pcap(path, [(n, build(*packet)) for n, packet in enumerate(given)])
        (segments,), found = flows.connections([pcap.read(path)])
    assert segments.rows.tolist() == list(range(len(given)))
    numbers: dict[object, int] = {}
    for name, number in zip(slowly(given), found.flow_of[0].tolist(), strict=True):
        assert numbers.setdefault(name, number) == number
    assert len(set(numbers.values())) == len(numbers) == len(found.client_isn)
    assert sorted(found.began.tolist()) == found.began.tolist()
    for (_, name), number in numbers.items():  # type: ignore[misc]
        assert found.client_isn[number] == (-1 if name is None else name[1] * 1000)
        if name is not None:
            assert int(found.client[number, 2]) == ENDS[name[0]][1]


def test_nothing_at_all() -> None:
    segments, found = flows.connections([])
    assert segments == ()
    assert len(found.began) == 0


def test_data_whose_syn_was_lost_on_the_way_to_a_tap_belongs_to_it(tmp_path: Path) -> None:
    """The client was answered early and speaks; a box sends the SYN again a second later."""
    ends = {"src": "10.0.0.1", "dst": "10.0.0.2"}
    syn, data = (
        frames.segment(1000, 80, flags, 5000 + seq, 0, b"x" * seq, **ends) for flags, seq in (("S", 0), ("PA", 1))
    )
    old = frames.segment(1000, 80, "FA", 4000, 0, **ends)
    near, far = tmp_path / "near.pcap", tmp_path / "far.pcap"
    write_pcap(near, [(1, syn), (3, data), (200, data), (1000, syn)])
    write_pcap(far, [(2, old), (210, data), (1010, syn)])
    _, found = flows.connections([pcap.read(near), pcap.read(far)])
    assert found.client_isn.tolist() == [5000, -1]
    assert [part.tolist() for part in found.flow_of] == [[0, 0, 0, 0], [1, 0, 0]]
    _, alone = flows.connections([pcap.read(far)])
    assert alone.flow_of[0].tolist() == [0, 0, 1], "a tap by itself does not know of another SYN"
