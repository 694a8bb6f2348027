from __future__ import annotations

import struct

import pytest

from hopscope_nic.core.flow import CLIENT_FIN, SERVER_FIN
from hopscope_nic.io.kernel_entry import BEGUN, OPEN, OVER, SIZE, Entry
from support.nic import ACK, SYN, assert_sound, ends, linux_syn_options, raw, stamps

client, _ = ends()
C, V, R = 0xFFFFFFFF, 5_000_000, 70
KEY = client.segment(C, 0, SYN).key
REMEMBERED = struct.Struct("!IIHHHBB")


def test_an_entry_is_as_long_as_the_kernels():
    assert len(Entry(BEGUN).pack()) == SIZE == 128
    entry = Entry(OPEN, 1, 2, -3, 4, fin_ends=struct.pack("=II", 5, 6), scale=7, told=1)
    assert Entry.read(entry.pack()) == entry


@pytest.mark.parametrize(("identification", "ttl", "tos"), [(7, 64, 0), (0, 2, 0), (0xFFFF, 255, 0xB8)])
def test_what_the_client_said_is_made_again_octet_for_octet(identification, ttl, tos):
    def as_it_came(packet):
        again = packet[:1] + bytes((tos,)) + packet[2:4] + struct.pack("!H", identification) + packet[6:8]
        return again + bytes((ttl,)) + packet[9:10]

    syn = client.packet(C, 0, SYN, window=64240, options=linux_syn_options(mss=1400, tsval=77, scale=9))
    ack = client.packet(C + 1, V + 1, ACK, window=502, options=stamps(78, V))
    fields = identification, ttl, tos
    entry = Entry(
        BEGUN, isn=V, client_isn=C, scale=9, kept=1, begun=1_500_000_000, from_client=1,
        syn=REMEMBERED.pack(77, 0, 1400, 64240, *fields), ack=REMEMBERED.pack(78, V, 0, 502, *fields),
    )  # fmt: skip
    adopted = entry.adopted(KEY, 2.0)
    for made, wanted in ((adopted.syn, syn), (adopted.early, ack)):
        assert_sound(made)
        octets = raw(made)
        assert octets[:10] == as_it_came(wanted)
        assert octets[12:] == wanted[12:]
    assert adopted.began == 1.5
    flow = adopted.flow
    assert (flow.client_isn, flow.spoofed_isn, flow.client_heard, flow.server_heard) == (C, V, True, False)
    assert (flow.offered.mss, flow.offered.window_scale, flow.offered.tsval) == (1400, 9, 77)
    assert flow.translation is None


def test_an_open_flow_goes_on_as_it_was():
    ends_seen = CLIENT_FIN | SERVER_FIN | OVER
    entry = Entry(OPEN, 5, 6, -1, 0, ends=ends_seen, fin_ends=struct.pack("=II", 8, 9), from_server=1)
    found = entry.adopted(KEY, 2.0)
    translation = found.flow.translation
    assert (translation.delta, translation.ts_delta, translation.to_client_shift) == (5, 6, -1)
    assert (found.over, found.early, found.flow.ends) == (True, None, CLIENT_FIN | SERVER_FIN)
    assert (found.flow.client_fin_end, found.flow.server_fin_end, found.flow.server_heard) == (8, 9, True)
