"""Where fields of kernel structures are, from the kernel's own type information (Documentation/bpf/btf.rst).

A type is found by the place of its name, and ids are counted only as far as they are asked for: to walk all types
takes 150 ms. Runs on the host; the standard library alone.
"""

from __future__ import annotations

import struct
from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

HEADER = struct.Struct("<HBBIIIII")
MAGIC = 0xEB9F
STRUCT, UNION, ENUM, TYPEDEF, ENUM64 = 4, 5, 6, 8, 19
WORDS = {1: 4, 3: 6, 14: 4, 17: 4}
"""Words of a type of fixed length that is not three words: int, array, variable, declaration tag."""
PER_ENTRY = {STRUCT: 3, UNION: 3, ENUM: 2, 13: 2, 15: 3, ENUM64: 3}
"""Words of an entry: struct, union, enum, function prototype, data section, enum64."""
THROUGH = (TYPEDEF, 9, 10, 11, 18)
"""Names and qualifiers for another type: typedef, volatile, const, restrict, type tag."""

VMLINUX = "/sys/kernel/btf/vmlinux"
FIELDS = {
    "dev": ("sk_buff", "dev"), "sk": ("sk_buff", "sk"), "head": ("sk_buff", "head"),
    "network": ("sk_buff", "network_header"), "protocol": ("sk_buff", "protocol"),
    "ifindex": ("net_device", "ifindex"), "net": ("net_device", "nd_net.net"),
    "sock_net": ("sock", "__sk_common.skc_net.net"), "inum": ("net", "ns.inum"),
}  # fmt: skip


def of_kfree_skb() -> dict[str, Any]:
    """Offsets by the names of FIELDS, and the reasons for which a packet is dropped. OSError where the kernel tells no
    types, LookupError where it lacks one of them."""
    with open(VMLINUX, "rb") as file:
        types = Btf(file.read())
    fields = {name: types.offset(*field) for name, field in FIELDS.items()}
    return {"fields": fields, "reasons": types.values("skb_drop_reason")}


class Btf:
    """Raises ValueError where the data are no BTF of this byte order."""

    def __init__(self, data: bytes) -> None:
        if len(data) < HEADER.size or HEADER.unpack_from(data)[0] != MAGIC:
            raise ValueError("no BTF")
        _, _, _, header, types, length, strings, size = HEADER.unpack_from(data)
        self._types = memoryview(data)[header + types : header + types + length].cast("I")
        self._raw = data[header + types : header + types + length]
        self._strings = data[header + strings : header + strings + size]
        self._starts = array("I", [0, 0])  # id 0 is void

    def offset(self, name: str, path: str) -> int:
        """Bytes from the start of ``struct name`` to a field; ``path`` has dots, anonymous parts are looked into.

        Raises LookupError where there is no such field."""
        at = self._named(name, STRUCT)
        total = 0
        for step, word in enumerate(path.split(".")):
            found = self._member(at, word)
            if found is None:
                raise LookupError(f"struct {name} has no {path}")
            bits, kind = found
            total += bits
            if step < path.count("."):
                at = self._resolved(kind)
        return total // 8

    def values(self, name: str) -> dict[int, str]:
        """Numbers of an enumeration, with their names."""
        at = self._named(name, ENUM)
        return {
            self._types[entry + 1]: self._name(self._types[entry])
            for entry in range(at + 3, at + 3 + 2 * (self._types[at + 1] & 0xFFFF), 2)
        }

    def _named(self, name: str, kind: int) -> int:
        """The word at which the type of this name and kind begins."""
        text = b"\0" + name.encode() + b"\0"
        place = self._strings.find(text)
        if place < 0:
            raise LookupError(f"no type {name}")
        wanted = struct.pack("=I", place + 1)
        at = self._raw.find(wanted)
        while at >= 0:
            if at % 4 == 0 and at // 4 + 1 < len(self._types):
                info = self._types[at // 4 + 1]
                if info >> 24 & 31 == kind and info & 0x60FF0000 == 0 and info & 0xFFFF and self._sound(at // 4):
                    return at // 4
            at = self._raw.find(wanted, at + 1)
        raise LookupError(f"no type {name}")

    def _sound(self, at: int) -> bool:
        """All entries have names that begin where a string begins."""
        step = PER_ENTRY[self._types[at + 1] >> 24 & 31]
        last = at + 3 + step * (self._types[at + 1] & 0xFFFF)
        return last <= len(self._types) and all(
            self._types[entry] < len(self._strings)
            and (not self._types[entry] or not self._strings[self._types[entry] - 1])
            for entry in range(at + 3, last, step)
        )

    def _member(self, at: int, word: str) -> tuple[int, int] | None:
        """Bits and type of a member; those of anonymous structures count as the outer one's."""
        anonymous = []
        for name, kind, bits in self._members(at):
            if name == word:
                return bits, kind
            if not name:
                anonymous.append((kind, bits))
        for kind, bits in anonymous:
            inner = self._resolved(kind)
            if self._types[inner + 1] >> 24 & 31 in (STRUCT, UNION) and (found := self._member(inner, word)):
                return bits + found[0], found[1]
        return None

    def _members(self, at: int) -> Iterator[tuple[str, int, int]]:
        info = self._types[at + 1]
        for entry in range(at + 3, at + 3 + 3 * (info & 0xFFFF), 3):
            name, kind, bits = self._types[entry : entry + 3]
            yield self._name(name), kind, bits & 0xFFFFFF if info >> 31 else bits

    def _resolved(self, number: int) -> int:
        at = self._start(number)
        while self._types[at + 1] >> 24 & 31 in THROUGH:
            at = self._start(self._types[at + 2])
        return at

    def _start(self, number: int) -> int:
        """The word at which a type begins, by its id."""
        types, starts = self._types, self._starts
        at = starts[-1]
        while len(starts) <= number + 1:
            info = types[at + 1]
            kind = info >> 24 & 31
            at += 3 + PER_ENTRY[kind] * (info & 0xFFFF) if kind in PER_ENTRY else WORDS.get(kind, 3)
            starts.append(at)
        return starts[number]

    def _name(self, at: int) -> str:
        return self._strings[at : self._strings.index(b"\0", at)].decode()
