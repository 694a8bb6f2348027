"""Packets as text: one line each, for people who watch."""

from __future__ import annotations

import time

from hopscope.wire.packets import ACK, FIN, ICMP, ICMPV6, PSH, RST, SYN, TCP, UDP, URG, Packets

_FLAGS = ((SYN, "S"), (FIN, "F"), (RST, "R"), (PSH, "P"), (URG, "U"), (ACK, "."))
_PROTOCOLS = {ICMP: "ICMP", ICMPV6: "ICMPv6", UDP: "UDP", TCP: "TCP"}


def lines(packets: Packets) -> list[str]:
    """``12:00:01.123456789  10.1.0.10:40000 > 10.1.2.10:8080  S.  seq 1 ack 2 win 64240 len 0 mss 1460 …``."""
    return [f"{_clock(int(packets.time[row]))}  {_line(packets, row)}" for row in range(len(packets))]


def _line(packets: Packets, row: int) -> str:
    if not packets.family[row]:
        source, target = _mac(int(packets.src_mac[row])), _mac(int(packets.dst_mac[row]))
        return f"{source} > {target}  not IP, {packets.wirelen[row]} bytes"
    protocol = int(packets.proto[row])
    ends = f"{packets.src(row)}", f"{packets.dst(row)}"
    if protocol in (TCP, UDP) and packets.l4_offset[row] >= 0:
        ends = _with_port(ends[0], int(packets.sport[row])), _with_port(ends[1], int(packets.dport[row]))
    head = f"{ends[0]} > {ends[1]}"
    if protocol == TCP and packets.l4_offset[row] >= 0:
        return f"{head}  {_tcp(packets, row)}"
    return f"{head}  {_PROTOCOLS.get(protocol, f'protocol {protocol}')} len {max(0, int(packets.payload_len[row]))}"


def _tcp(packets: Packets, row: int) -> str:
    flags = int(packets.flags[row])
    words = ["".join(letter for bit, letter in _FLAGS if flags & bit) or "none", f"seq {packets.seq[row]}"]
    # A stamp travels in the ack field of a SYN without its flag: it is shown, in brackets.
    if flags & ACK:
        words.append(f"ack {packets.ack[row]}")
    elif packets.ack[row]:
        words.append(f"[ack {packets.ack[row]}]")
    words += [f"win {packets.window[row]}", f"len {packets.payload_len[row]}"]
    if packets.mss[row] >= 0:
        words.append(f"mss {packets.mss[row]}")
    if packets.wscale[row] >= 0:
        words.append(f"wscale {packets.wscale[row]}")
    if packets.sack_permitted[row]:
        words.append("sackOK")
    for block in range(int(packets.sack_count[row])):
        words.append(f"sack {packets.sack[row, 2 * block]}-{packets.sack[row, 2 * block + 1]}")
    if packets.tsval[row] >= 0:
        words.append(f"ts {packets.tsval[row]}/{packets.tsecr[row]}")
    return " ".join(words)


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _clock(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest:09d}"


def _mac(value: int) -> str:
    return ":".join(f"{octet:02x}" for octet in value.to_bytes(6, "big"))
