"""The classic BPF program of a port: exactly the selected flows, so that nothing else queues in front of a SYN.

It lets through frames that are addressed to this station (a capture may have made the port promiscuous), carry no VLAN
tag, and are IPv4 TCP, no later fragment, not to an address of the box itself, with a selected port on the server's
side. The nft table (`kernel_forwarding`) selects the same way.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from ipaddress import IPv4Address
from typing import List, NamedTuple, Optional, Sequence, Tuple

from hopscope_nic.core.selection import PortRange

SO_ATTACH_FILTER = 26
_SKF_PKTTYPE = 0xFFFFF004  # SKF_AD_OFF + SKF_AD_PKTTYPE
_SKF_VLAN_PRESENT = 0xFFFFF030  # SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT
_PACKET_HOST = 0
_ACCEPT, _REJECT = 0x40000, 0

_LD_W_ABS, _LD_H_ABS, _LD_B_ABS = 0x20, 0x28, 0x30
_LD_H_IND, _LDX_MSH = 0x48, 0xB1
_JEQ, _JGE, _JGT, _JSET, _RET = 0x15, 0x35, 0x25, 0x45, 0x06
_INSTRUCTION = struct.Struct("=HBBI")

SOURCE_PORT = 14
DESTINATION_PORT = 16
"""Offset in the frame of a port's two octets, less the length of the IPv4 header."""


class _Jump(NamedTuple):
    """One instruction; `yes` and `no` are labels: "next", "accept", "reject"."""

    code: int
    operand: int
    yes: str = "next"
    no: str = "next"


def program(
    ranges: Sequence[PortRange], port_offset: int, own_addresses: Sequence[str]
) -> List[Tuple[int, int, int, int]]:
    """(code, jump if true, jump if false, operand) of each instruction."""
    steps = [
        _Jump(_LD_W_ABS, _SKF_PKTTYPE),
        _Jump(_JEQ, _PACKET_HOST, no="reject"),
        _Jump(_LD_B_ABS, _SKF_VLAN_PRESENT),
        _Jump(_JEQ, 0, no="reject"),
        _Jump(_LD_H_ABS, 12),
        _Jump(_JEQ, 0x0800, no="reject"),
        _Jump(_LD_B_ABS, 23),
        _Jump(_JEQ, socket.IPPROTO_TCP, no="reject"),
        _Jump(_LD_H_ABS, 20),
        _Jump(_JSET, 0x1FFF, yes="reject"),
        _Jump(_LD_W_ABS, 30),
    ]
    steps += [_Jump(_JEQ, int(IPv4Address(address)), yes="reject") for address in own_addresses]
    steps += [_Jump(_LDX_MSH, 14), _Jump(_LD_H_IND, port_offset)]
    for one in ranges:
        # Ranges are in order: a port below this one's beginning is in none of those that follow.
        steps += [_Jump(_JGE, one.first, no="reject"), _Jump(_JGT, one.last, no="accept")]
    reject, accept = len(steps), len(steps) + 1
    targets = {"reject": reject, "accept": accept}
    instructions = []
    for at, step in enumerate(steps):
        jumps = [0 if label == "next" else targets[label] - at - 1 for label in (step.yes, step.no)]
        if max(jumps) > 255:
            raise ValueError("too many addresses and ranges for one filter")
        instructions.append((step.code, jumps[0], jumps[1], step.operand))
    instructions += [(_RET, 0, 0, _REJECT), (_RET, 0, 0, _ACCEPT)]
    return instructions


def attach(sock: socket.socket, instructions: Optional[Sequence[Tuple[int, int, int, int]]]) -> None:
    """Give the program to a socket; None: one that lets nothing through."""
    chosen = instructions if instructions is not None else [(_RET, 0, 0, _REJECT)]
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in chosen)
    buffer = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(chosen), ctypes.addressof(buffer)))
