"""Merged captures: each interface re-reads as the capture it was made from."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope.errors import HarnessFault
from hopscope.wire import pcap
from hopscope.wire.merged import Source, write_merged
from hopscope.wire.writer import frames_of, write_pcap

BASE_NS = 1_760_000_000_123_456_789
LINKTYPES = (1, 101, 113)

frames = st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=70)), max_size=12).map(
    lambda rows: [(BASE_NS + offset, frame) for offset, frame in rows]
)
captures = st.lists(
    st.tuples(frames, st.sampled_from(LINKTYPES), st.sampled_from([262144, 20])), min_size=1, max_size=6
)


def written(folder: Path, contents) -> list[Source]:
    sources = []
    for number, (rows, linktype, snaplen) in enumerate(contents):
        path = folder / f"{number}.pcap"
        write_pcap(path, rows, linktype=linktype, snaplen=snaplen)
        sources.append(Source(f"host{number}-eth0", path))
    return sources


@given(captures)
def test_the_packets_of_each_interface_are_those_of_the_single_capture(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("merged")
    sources = written(folder, contents)
    assert write_merged(folder / "all.pcapng", sources)
    whole = pcap.read(folder / "all.pcapng")
    records = pcap.index(folder / "all.pcapng", whole.data)
    assert not whole.truncated
    assert len(whole) == sum(len(rows) for rows, _, _ in contents)
    for number, source in enumerate(sources):
        single = pcap.read(source.path)
        mine = np.flatnonzero(whole.interface == number)
        assert frames_of(whole.take(mine)) == frames_of(single), "bytes, stamps and order"
        assert whole.wirelen[mine].tolist() == single.wirelen.tolist()
        assert set(records.linktype[mine].tolist()) <= {contents[number][1]}


@given(captures)
def test_packets_are_in_time_order_where_those_of_each_capture_are(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("merged")
    ordered = [(sorted(rows, key=lambda row: row[0]), *rest) for rows, *rest in contents]
    write_merged(folder / "all.pcapng", written(folder, ordered))
    time = pcap.read(folder / "all.pcapng").time
    assert (time[1:] >= time[:-1]).all()


def names(path: Path) -> list[str]:
    """if_name of each interface block, read by hand."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 1:
            code, size = struct.unpack_from("<HH", data, at + 16)
            assert code == 2
            found.append(data[at + 20 : at + 20 + size].decode())
        at += length
    return found


def test_every_capture_is_an_interface_by_name_also_an_empty_one(tmp_path):
    rows = [(BASE_NS, b"x" * 60)]
    sources = written(tmp_path, [(rows, 1, 262144), ([], 101, 262144), (rows, 1, 262144)])
    write_merged(tmp_path / "all.pcapng", sources)
    assert names(tmp_path / "all.pcapng") == ["host0-eth0", "host1-eth0", "host2-eth0"]


def test_a_capture_of_several_ports_keeps_them_apart(tmp_path):
    inner = written(tmp_path, [([(BASE_NS, b"a" * 20)], 1, 99), ([(BASE_NS + 5, b"b" * 20)], 101, 99)])
    write_merged(tmp_path / "two.pcapng", inner)
    write_merged(tmp_path / "all.pcapng", [inner[0], Source("foreign", tmp_path / "two.pcapng")])
    whole = pcap.read(tmp_path / "all.pcapng")
    assert names(tmp_path / "all.pcapng") == ["host0-eth0", "foreign", "foreign#1"]
    assert sorted(zip(whole.interface.tolist(), (bytes(f[:1]) for _, f in frames_of(whole)), strict=True)) == [
        (0, b"a"), (1, b"a"), (2, b"b"),
    ]  # fmt: skip


def test_only_the_frames_asked_for_and_no_more_bytes_than_allowed(tmp_path):
    rows = [(BASE_NS + n, bytes([n]) * 100) for n in range(50)]
    (source,) = written(tmp_path, [(rows, 1, 262144)])
    assert write_merged(tmp_path / "some.pcapng", [Source("x", source.path, frames={2, 50})])
    assert [frame[0] for _, frame in frames_of(pcap.read(tmp_path / "some.pcapng"))] == [1, 49]
    assert not write_merged(tmp_path / "cut.pcapng", [source], limit_bytes=1000)
    cut = pcap.read(tmp_path / "cut.pcapng")
    assert 0 < len(cut) < 50
    assert not cut.truncated
    assert (tmp_path / "cut.pcapng").stat().st_size <= 1000


def test_a_capture_that_is_cut_gives_what_is_whole_and_rubbish_is_refused(tmp_path):
    rows = [(BASE_NS + n, b"x" * 40) for n in range(3)]
    (source,) = written(tmp_path, [(rows, 1, 262144)])
    source.path.write_bytes(source.path.read_bytes()[:-1])
    write_merged(tmp_path / "all.pcapng", [source])
    assert len(pcap.read(tmp_path / "all.pcapng")) == 2
    for content, says in ((b"", "empty"), (b"GET / HTTP/1.1\r\n", "neither pcap nor pcapng")):
        (tmp_path / "bad.pcap").write_bytes(content)
        with pytest.raises(HarnessFault, match=says):
            write_merged(tmp_path / "all.pcapng", [Source("bad", tmp_path / "bad.pcap")])
    with pytest.raises(HarnessFault, match="cannot be read"):
        write_merged(tmp_path / "all.pcapng", [Source("gone", tmp_path / "gone.pcap")])


def test_memory_does_not_grow_with_the_captures(tmp_path):
    rows = [(BASE_NS + n, b"x" * 1000) for n in range(3_000)]
    sources = written(tmp_path, [(rows, 1, 262144)] * 2)
    tracemalloc.start()
    write_merged(tmp_path / "all.pcapng", sources)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000, f"{peak:,} bytes to merge 6 MB"
