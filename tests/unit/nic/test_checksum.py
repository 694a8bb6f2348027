from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.core.checksum import adjust, checksum, is_valid, weight
from support.nic import word_sum


@given(st.binary(min_size=1, max_size=200).filter(any))
def test_the_sum_modulo_65535_is_the_sum_word_by_word(data):
    assert checksum(data) == 0xFFFF - word_sum(data)


@given(st.binary(min_size=2, max_size=100).filter(lambda data: len(data) % 2 == 0 and any(data)))
def test_what_was_summed_up_is_valid(data):
    assert is_valid(data + checksum(data).to_bytes(2, "big"))


def test_nothing_but_zeroes_is_not_valid():
    assert not is_valid(bytes(20))
    assert checksum(bytes(20)) == 0xFFFF


@given(st.binary(min_size=12, max_size=80), st.integers(0, 76), st.integers(0, 0xFFFFFFFF))
def test_an_update_equals_a_new_sum(data, at, value):
    data = b"\x45" + data  # never all zero
    at %= len(data) - 4
    at += 1
    changed = data[:at] + value.to_bytes(4, "big") + data[at + 4 :]
    old = int.from_bytes(data[at : at + 4], "big")
    assert adjust(checksum(data), (value - old) * weight(at)) == checksum(changed)


def test_the_example_of_rfc_1624():
    assert adjust(0xDD2F, 0x3285 - 0x5555) == 0x0000
