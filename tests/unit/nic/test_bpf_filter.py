from __future__ import annotations

import pytest

from hopscope_nic.core.selection import PortRange
from hopscope_nic.io import bpf_filter
from support.nic import ACK, ends, packet

client, server = ends()
RANGES = (PortRange(80, 80), PortRange(8080, 8083))
ETHERNET = bytes(12)


def accepts(program, frame: bytes, pkttype: int = 0, vlan: int = 0) -> bool:
    """Run a program as the kernel would (Documentation/networking/filter.rst)."""
    accumulator = index = at = 0
    while True:
        code, yes, no, operand = program[at]
        at += 1
        if code == 0x06:
            return operand != 0
        if operand == 0xFFFFF004 and code == 0x20:
            accumulator = pkttype
        elif operand == 0xFFFFF030 and code == 0x30:
            accumulator = vlan
        elif code in (0x20, 0x28, 0x30, 0x48):
            size = {0x20: 4, 0x28: 2, 0x30: 1, 0x48: 2}[code]
            begin = operand + (index if code == 0x48 else 0)
            if begin + size > len(frame):
                return False
            accumulator = int.from_bytes(frame[begin : begin + size], "big")
        elif code == 0xB1:
            index = (frame[operand] & 15) * 4
        else:
            taken = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x25: accumulator > operand,
                0x45: bool(accumulator & operand),
            }[code]
            at += yes if taken else no


def to_server(port: int, **fields) -> bytes:
    return ETHERNET + b"\x08\x00" + packet(client.address, server.address, 40000, port, 1, 2, ACK, **fields)


PROGRAM = bpf_filter.program(RANGES, bpf_filter.DESTINATION_PORT, ("10.1.0.1", "127.0.0.1"))


@pytest.mark.parametrize(
    ("port", "expected"),
    [(79, False), (80, True), (81, False), (8079, False), (8080, True), (8083, True), (8084, False), (40000, False)],
)
def test_ports(port, expected):
    assert accepts(PROGRAM, to_server(port)) is expected
    assert accepts(PROGRAM, to_server(port, ip_options=b"\x01\x01\x01\x00")) is expected


def test_the_other_direction_looks_at_the_source_port():
    program = bpf_filter.program(RANGES, bpf_filter.SOURCE_PORT, ())
    assert not accepts(program, to_server(8080))
    assert accepts(program, ETHERNET + b"\x08\x00" + server.packet(1, 2, ACK))


def test_what_is_the_kernel_s():
    good = to_server(8080)
    assert not accepts(PROGRAM, good, pkttype=3)
    assert not accepts(PROGRAM, good, vlan=1)
    assert not accepts(PROGRAM, ETHERNET + b"\x08\x06" + good[14:])
    assert not accepts(PROGRAM, to_server(8080, protocol=17))
    assert not accepts(PROGRAM, to_server(8080, fragment=0x0001))
    assert not accepts(
        PROGRAM, ETHERNET + b"\x08\x00" + packet(client.address, bytes((10, 1, 0, 1)), 1, 8080, 1, 2, ACK)
    )


def test_more_than_the_jumps_can_reach():
    with pytest.raises(ValueError, match="too many"):
        bpf_filter.program(RANGES, bpf_filter.SOURCE_PORT, [f"10.0.{i}.1" for i in range(256)])
