from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.core import answer, options
from hopscope_nic.core.limits import SPOOFED_WINDOW
from hopscope_nic.core.segment import HEADROOM, build
from support.nic import ACK, SYN, load, raw

U32 = st.integers(0, 2**32 - 1)


@given(st.binary(min_size=12, max_size=12), U32, U32, st.integers(0, 65535), U32, st.integers(0, 14))
def test_the_same_octets_as_the_long_way(key, isn, ack, mss, tsecr, scale):
    packet = answer.synack(key, isn, ack, mss, tsecr, scale)
    long = build(key, isn, ack, SYN | ACK, SPOOFED_WINDOW, options.build_syn(mss, scale, True, (isn, tsecr)))
    assert (raw(packet), packet.head, packet.end) == (raw(long), HEADROOM, long.end)
    load(raw(packet))
