from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.core import options
from support.nic import linux_syn_options


@given(st.binary(max_size=40), st.integers(0, 5))
def test_the_reader_takes_anything_and_stays_inside(data, start):
    start = min(start, len(data))
    found = list(options.walk(data, start, len(data)))
    assert all(start <= at and at + length <= len(data) and length >= 2 for _, at, length in found)
    assert [at for _, at, _ in found] == sorted({at for _, at, _ in found})
    options.read_syn(data, start, len(data))


def test_what_linux_offers():
    data = linux_syn_options(mss=1400, tsval=77, scale=7)
    assert options.read_syn(data, 0, len(data)) == options.SynOptions(1400, 7, True, 77, False)


def test_a_signature_is_seen():
    data = bytes((1, 1, options.MD5, 18)) + bytes(16)
    assert options.read_syn(data, 0, len(data)).signed


def test_a_scale_above_14_counts_as_14():
    assert options.read_syn(bytes((3, 3, 200)), 0, 3).window_scale == 14


@given(
    st.integers(0, 65535),
    st.none() | st.integers(0, 14),
    st.booleans(),
    st.none() | st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
)
def test_what_is_built_reads_back(mss, scale, sack_permitted, timestamps):
    data = options.build_syn(mss, scale, sack_permitted, timestamps)
    assert len(data) % 4 == 0
    tsval = None if timestamps is None else timestamps[0]
    assert options.read_syn(data, 0, len(data)) == options.SynOptions(mss, scale, sack_permitted, tsval, False)


@given(st.binary(min_size=20, max_size=20), st.integers(0, 19), st.integers(0, 255))
def test_the_short_way_reads_the_same(noise, at, octet):
    data = bytearray(linux_syn_options(mss=int.from_bytes(noise[:2], "big"), tsval=7, scale=noise[2]))
    assert options.read_syn(data, 0, 20) == options._read_any_syn(data, 0, 20)
    data[at] = octet
    assert options.read_syn(data, 0, 20) == options._read_any_syn(data, 0, 20)
