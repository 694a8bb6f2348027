"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

Ones' complement addition of 16-bit words is addition modulo 65535, because 2^16 ≡ 1. So the sum of a whole packet is
one big integer modulo 65535, and the update for a changed field is the difference of its values, modulo 65535. The one
pitfall is the two representations of zero: a sum over data that is not all zero is never 0, it is 0xFFFF.
"""

from __future__ import annotations

from typing import Union

Octets = Union[bytes, bytearray, memoryview]


def checksum(data: Octets, initial: int = 0) -> int:
    """Checksum field of `data` (16-bit), `initial` being a sum to begin with, such as that of the pseudo header."""
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8
    total += initial
    return 0xFFFF - (total % 0xFFFF or 0xFFFF) if total else 0xFFFF


def is_valid(data: Octets, initial: int = 0) -> bool:
    """Whether `data`, its checksum field included, sums up as RFC 1071 asks (and is not all zero)."""
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8
    total += initial
    return total != 0 and total % 0xFFFF == 0


def adjust(field: int, difference: int) -> int:
    """Checksum field after the covered data grew by `difference` (new minus old, any sign; RFC 1624 equation 3).

    For a field of 16 or 32 bits at an even offset the difference is that of the values. At an odd offset its bytes
    stand in the other halves of the words: multiply by 256 (`weight`).
    """
    return 0xFFFF - ((0xFFFF - field + difference) % 0xFFFF or 0xFFFF)


def weight(offset: int) -> int:
    """Factor of a 32-bit field that begins at `offset` from the start of the covered data."""
    return 256 if offset & 1 else 1


def pseudo_header(source: Octets, destination: Octets, protocol: int, length: int) -> int:
    """Sum of an IPv4 pseudo header (RFC 9293 section 3.1) from packed addresses; `length` is header plus payload."""
    return int.from_bytes(source, "big") + int.from_bytes(destination, "big") + protocol + length
