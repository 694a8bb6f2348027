"""The program that reads why the kernel dropped a packet, run here over made memory; its types; its ring."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from support.onhost import load

bpf, btf, drops = load("bpf"), load("btf"), load("drops")
FIELDS = {
    "dev": 16, "sk": 24, "protocol": 176, "network": 180, "head": 192, "ifindex": 224, "net": 264, "sock_net": 48,
    "inum": 176,
}  # fmt: skip
OURS, THEIRS = 0xF0000011, 0xF0000012
SKB, DEVICE, NET, HEAD, SOCKET, FUNCTION = (0x10000 * n for n in range(1, 7))
ECHO = bytes.fromhex("450000540000400040010000") + bytes([10, 9, 0, 1, 10, 9, 0, 2]) + b"\x08\0\0\0\0\x07\0\x01"
PACKET = (ECHO + b"hopscope" + struct.pack("!I", 7)).ljust(drops.PACKET, b"Z")


def memory(*, namespace: int = OURS, device: int = DEVICE, socket: int = 0) -> dict[int, int]:
    """Kernel memory by the byte, as far as a dropped echo needs it."""
    cells = {
        SKB + 16: struct.pack("=Q", device), SKB + 24: struct.pack("=Q", socket), SKB + 176: b"\x08\0",
        SKB + 180: struct.pack("=H", 64), SKB + 192: struct.pack("=Q", HEAD), HEAD + 64: PACKET,
        DEVICE + 224: struct.pack("=I", 5), DEVICE + 264: struct.pack("=Q", NET), SOCKET + 48: struct.pack("=Q", NET),
        NET + 176: struct.pack("=I", namespace),
    }  # fmt: skip
    return {at + n: byte for at, data in cells.items() for n, byte in enumerate(data)}


def run(code: bytes, kernel: dict[int, int], context: tuple[int, ...]) -> list[bytes]:
    """An interpreter of what the program uses; what it gave to the ring."""
    rows = list(struct.iter_unpack("=BBhI", code))
    stack, frame, given = bytearray(512), 0x7FF00000, list[bytes]()
    r = [0] * 11
    r[1], r[10] = 0, frame
    at = 0

    def of_stack(address: int, size: int) -> slice:
        start = address - frame + len(stack)
        assert start in range(len(stack) - size + 1), "the stack is 512 bytes"
        return slice(start, start + size)

    while True:
        op, registers, off, imm = rows[at]
        dst, src = registers & 15, registers >> 4
        signed = imm - (1 << 32) if imm >> 31 else imm
        at += 1
        if op == bpf.EXIT:
            return given
        if op == bpf.CALL:
            if imm == drops.PROBE_READ_KERNEL:
                stack[of_stack(r[1], r[2])] = bytes(kernel.get(r[3] + n, 0) for n in range(r[2]))
            elif imm == drops.SNPRINTF:
                assert struct.unpack("=Q", stack[of_stack(r[4], 8)])[0] == FUNCTION
                stack[of_stack(r[1], 10)] = b"icmp_rcv\0\0"
            else:
                given.append(bytes(stack[of_stack(r[2], r[3])]))
            r[1:6] = [-1] * 5  # a call spoils them
        elif op == bpf.LD64:
            r[dst], at = imm, at + 1
        elif op == bpf.MOV64_REG:
            r[dst] = r[src]
        elif op == bpf.MOV64:
            r[dst] = signed
        elif op == bpf.ADD64:
            r[dst] += signed
        elif op == bpf.ADD64_REG:
            r[dst] += r[src]
        elif op in (bpf.LDXDW, bpf.LDXW, bpf.LDXH):
            size = {bpf.LDXDW: 8, bpf.LDXW: 4, bpf.LDXH: 2}[op]
            value = struct.pack("=Q", context[off // 8]) if r[src] == 0 else stack[of_stack(r[src] + off, size)]
            r[dst] = int.from_bytes(value[:size], "little")
        elif op == bpf.STDW:
            stack[of_stack(r[dst] + off, 8)] = struct.pack("=Q", imm)
        elif op in (bpf.STXW, bpf.STXDW):
            size = 4 if op == bpf.STXW else 8
            stack[of_stack(r[dst] + off, size)] = r[src].to_bytes(8, "little")[:size]
        elif op == bpf.JA or (op == bpf.JEQ64 and r[dst] == signed) or (op == bpf.JNE32 and r[dst] != imm):
            at += off
        else:
            assert op in (bpf.JEQ64, bpf.JNE32), f"{op:#x} is not known here"


def given(kernel: dict[int, int], reason: int = 70) -> list[bytes]:
    return run(drops.program(FIELDS, OURS, 3, 4).assembled(), kernel, (SKB, FUNCTION, reason))


def test_a_dropped_packet_is_told_with_reason_device_function_and_its_bytes() -> None:
    (record,) = given(memory())
    assert drops.RECORD.unpack(record) == (70, 5, b"\x08\0", PACKET, b"icmp_rcv".ljust(drops.SYMBOL, b"\0"))


@pytest.mark.parametrize(
    ("kernel", "count"),
    [
        (memory(namespace=THEIRS), 0),
        (memory(device=0), 0),
        (memory(device=0, socket=SOCKET), 1),
        (memory(device=0, socket=SOCKET, namespace=THEIRS), 0),
        (memory(device=0xDEAD0000), 0),
    ],
    ids=["another namespace", "neither device nor socket", "of a socket", "of their socket", "a device that is none"],
)
def test_packets_of_other_namespaces_leave_no_record(kernel: dict[int, int], count: int) -> None:
    assert len(given(kernel)) == count


def reader(*records: bytes) -> Any:
    made = drops.Drops.__new__(drops.Drops)
    made.why, made._ports, made._descriptors = "", (5998, 7000), []
    made._reasons = {
        2: "SKB_DROP_REASON_NOT_SPECIFIED",
        3: "SKB_DROP_REASON_NO_SOCKET",
        70: "SKB_DROP_REASON_TC_INGRESS",
    }
    made._taken = lambda: list(records)
    return made


def record(reason: int, function: bytes = b"f", packet: bytes = PACKET) -> bytes:
    data: bytes = drops.RECORD.pack(reason, 0, b"\x08\0", packet, function)
    return data


def test_the_same_packet_twice_is_one_line_with_its_count() -> None:
    (told,) = reader(record(70, b"it.constprop.0"), record(70, b"it.constprop.0")).records()
    assert told == {
        "dev": "", "reason": "TC_INGRESS", "function": "it", "kind": "echo", "probe": 7, "src": "10.9.0.1",
        "dst": "10.9.0.2", "n": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        record(3, b"ping_rcv"),
        record(1),
        record(70, packet=b"\x45" + bytes(8) + b"\x11" + PACKET[10:]),
        record(2, b"tcp_v4_rcv", PACKET[:9] + b"\x06" + PACKET[10:20] + struct.pack("!HH", 5998, 9) + PACKET[24:]),
    ],
    ids=["an echo that a raw socket has had", "consumed", "udp of somebody", "the end of a connection"],
)
def test_what_is_no_loss_is_not_told(data: bytes) -> None:
    made = reader(data)
    made._reasons[1] = "SKB_CONSUMED"
    assert made.records() == []


def test_a_ring_is_read_to_where_its_writer_is_and_no_discarded_or_busy_record() -> None:
    size = drops.RECORD.size
    entries = b"".join(
        struct.pack("=II", size | mark, 0) + bytes([n]) * size for n, mark in enumerate((0, 1 << 30, 0, 1 << 31, 0))
    )
    made = drops.Drops.__new__(drops.Drops)
    made._consumer = struct.pack("=Q", 0)
    made._producer = struct.pack("=Q", len(entries)).ljust(drops.mmap.PAGESIZE, b"\0") + entries
    assert [each[0] for each in made._taken()] == [0, 2]


# -- type information -------------------------------------------------------------------------------------------------


def types() -> bytes:
    """int; union of an int at 0; struct outer {int first; union {int inner;} at 8 bytes; const int last}; an enum."""
    strings = b"\0int\0outer\0first\0inner\0last\0reason\0ONE\0TWO\0"
    name = {text: strings.index(b"\0" + text.encode() + b"\0") + 1 for text in strings.decode().split("\0") if text}

    def head(text: str, kind: int, count: int, size: int) -> list[int]:
        return [name.get(text, 0), kind << 24 | count, size]

    words = [*head("int", 1, 0, 4), 32]
    words += [*head("", btf.UNION, 1, 4), name["inner"], 1, 0]
    words += head("", 10, 0, 1)  # const int
    words += [*head("outer", btf.STRUCT, 3, 16), name["first"], 1, 0, 0, 2, 64, name["last"], 3, 96]
    words += [*head("reason", btf.ENUM, 2, 4), name["ONE"], 1, name["TWO"], 2]
    body = struct.pack(f"={len(words)}I", *words)
    return btf.HEADER.pack(btf.MAGIC, 1, 0, 24, 0, len(body), len(body), len(strings)) + body + strings


@pytest.mark.parametrize(("path", "offset"), [("first", 0), ("inner", 8), ("last", 12)])
def test_a_field_is_found_also_in_an_anonymous_part(path: str, offset: int) -> None:
    assert btf.Btf(types()).offset("outer", path) == offset


def test_an_enumeration_and_what_is_not_there() -> None:
    made = btf.Btf(types())
    assert made.values("reason") == {1: "ONE", 2: "TWO"}
    with pytest.raises(LookupError, match="struct outer has no middle"):
        made.offset("outer", "middle")
    with pytest.raises(LookupError, match="no type int"):
        made.offset("int", "first")
    with pytest.raises(ValueError, match="no BTF"):
        btf.Btf(b"\x7fELF")


@pytest.mark.skipif(not Path(btf.VMLINUX).exists(), reason="this kernel tells no types")
def test_this_kernels_types_have_every_field_and_a_reason_for_netfilter() -> None:
    known = btf.of_kfree_skb()
    assert set(known["fields"]) == set(btf.FIELDS)
    assert known["fields"]["dev"] < known["fields"]["sk"] < known["fields"]["head"]
    assert "SKB_DROP_REASON_NETFILTER_DROP" in known["reasons"].values()
