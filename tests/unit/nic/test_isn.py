from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.core.isn import TICKS_PER_SECOND, spoofed_isn
from support.nic import SECRET

KEYS = st.binary(min_size=12, max_size=12)


@given(KEYS, st.floats(0, 1e7))
def test_32_bits_and_never_0(key, now):
    assert 0 < spoofed_isn(SECRET, key, now) < 2**32


def test_0_is_avoided():
    key = bytes(12)
    at = (2**32 - spoofed_isn(SECRET, key, 0)) / TICKS_PER_SECOND
    assert spoofed_isn(SECRET, key, at) == 1


@given(KEYS, st.floats(0, 1e6), st.floats(0.001, 3600))
def test_a_later_attempt_begins_ahead(key, now, later):
    ahead = (spoofed_isn(SECRET, key, now + later) - spoofed_isn(SECRET, key, now)) % 2**32
    assert abs(ahead - later * TICKS_PER_SECOND) <= 3


def test_flows_and_secrets_differ():
    key = bytes(range(12))
    assert len({spoofed_isn(SECRET, key, 0), spoofed_isn(SECRET, key[::-1], 0), spoofed_isn(bytes(32), key, 0)}) == 3
