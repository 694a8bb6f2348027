"""The program by which a tc filter passes the tunnel's packets and no others, run here as the kernel would."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from hopscope.lastmile.causes.filters import passing

NEXT = 0xFFFFFFFF


def run(text: str, packet: bytes) -> int:
    """Classic BPF of ``ld abs``, ``jeq`` and ``ret``; loads are from the network header (SKF_NET_OFF)."""
    count, *rows = text.split(",")
    code = [tuple(map(int, row.split())) for row in rows]
    assert len(code) == int(count)
    at = accumulator = 0
    while True:
        op, true, false, value = code[at]
        at += 1
        if op == 0x20:
            accumulator = struct.unpack_from("!I", packet, value - 0xFFF00000)[0]
        elif op == 0x15:
            at += true if accumulator == value else false
        elif op == 0x06:
            return value


def packet(src: str, dst: str) -> bytes:
    return bytes(12) + ip_address(src).packed + ip_address(dst).packed


@pytest.mark.parametrize(
    ("src", "dst", "verdict"),
    [
        ("10.9.0.1", "10.9.0.2", 0),
        ("10.9.0.2", "10.9.0.1", NEXT),
        ("10.9.0.1", "10.9.0.3", NEXT),
        ("10.9.0.7", "10.9.0.2", NEXT),
    ],
)
def test_only_the_two_addresses_pass(src: str, dst: str, verdict: int) -> None:
    assert run(passing("10.9.0.1", "10.9.0.2"), packet(src, dst)) == verdict
