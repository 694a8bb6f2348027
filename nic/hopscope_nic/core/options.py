"""TCP options: read without ever failing, built as Linux lays them out.

Options of a segment are whatever arrived; the reader stops at the first thing that makes no sense (RFC 9293 section
3.1 asks for no more) and never raises.
"""

from __future__ import annotations

import struct
from typing import Iterator, NamedTuple, Optional, Tuple, Union

END = 0
NOP = 1
MSS = 2
WINDOW_SCALE = 3
SACK_PERMITTED = 4
SACK = 5
TIMESTAMPS = 8
MD5 = 19
AUTHENTICATION = 29
SIGNED = (MD5, AUTHENTICATION)
MAX_WINDOW_SCALE = 14  # RFC 7323 section 2.3: a larger one is taken as 14

_MSS = struct.Struct("!BBH")
_PAIR = struct.Struct("!BBBBII")
_TIMESTAMPS = struct.Struct("!II")
_LINUX = struct.Struct("!HHIIxxxxHBB")  # MSS, SACK permitted and time stamps, window scale: what Linux sends
_LINUX_KINDS = (0x0204, 0x0402080A, 0x0103, 3)


def walk(data: Union[bytes, bytearray], start: int, end: int) -> Iterator[Tuple[int, int, int]]:
    """(kind, offset of the kind octet in `data`, whole length) of each option but NOP in data[start:end]."""
    at = start
    while at < end:
        kind = data[at]
        if kind == END:
            return
        if kind == NOP:
            at += 1
            continue
        if at + 1 >= end:
            return
        length = data[at + 1]
        if length < 2 or at + length > end:
            return
        yield kind, at, length
        at += length


class SynOptions(NamedTuple):
    """What a SYN or SYN-ACK offers. None: not offered. `signed`: covered by MD5 (RFC 2385) or TCP-AO (RFC 5925)."""

    mss: Optional[int]
    window_scale: Optional[int]
    sack_permitted: bool
    tsval: Optional[int]
    signed: bool


def read_syn(data: Union[bytes, bytearray], start: int, end: int) -> SynOptions:
    """The options of a SYN in data[start:end]; of a repeated option the last one counts."""
    if end - start == _LINUX.size:
        mss_head, mss, pair, tsval, scale_head, scale_length, scale = _LINUX.unpack_from(data, start)
        if (mss_head, pair, scale_head, scale_length) == _LINUX_KINDS:
            return SynOptions(mss, min(scale, MAX_WINDOW_SCALE), True, tsval, False)
    return _read_any_syn(data, start, end)


def _read_any_syn(data: Union[bytes, bytearray], start: int, end: int) -> SynOptions:
    mss = window_scale = tsval = None
    sack_permitted = signed = False
    for kind, at, length in walk(data, start, end):
        if kind == MSS and length == 4:
            mss = data[at + 2] << 8 | data[at + 3]
        elif kind == WINDOW_SCALE and length == 3:
            window_scale = min(data[at + 2], MAX_WINDOW_SCALE)
        elif kind == SACK_PERMITTED and length == 2:
            sack_permitted = True
        elif kind == TIMESTAMPS and length == 10:
            tsval = _TIMESTAMPS.unpack_from(data, at + 2)[0]
        elif kind in SIGNED:
            signed = True
    return SynOptions(mss, window_scale, sack_permitted, tsval, signed)


def build_syn(
    mss: int,
    window_scale: Optional[int] = None,
    sack_permitted: bool = False,
    timestamps: Optional[Tuple[int, int]] = None,
) -> bytes:
    """Options of a SYN or SYN-ACK, a multiple of 4 octets; `timestamps` is (TSval, TSecr)."""
    parts = [_MSS.pack(MSS, 4, mss)]
    if timestamps is not None:
        lead = (SACK_PERMITTED, 2) if sack_permitted else (NOP, NOP)
        parts.append(_PAIR.pack(lead[0], lead[1], TIMESTAMPS, 10, timestamps[0], timestamps[1]))
    elif sack_permitted:
        parts.append(bytes((NOP, NOP, SACK_PERMITTED, 2)))
    if window_scale is not None:
        parts.append(bytes((NOP, WINDOW_SCALE, 3, window_scale)))
    return b"".join(parts)


def build_timestamps(tsval: int, tsecr: int) -> bytes:
    """The 12 octets of timestamps in a segment that is no SYN."""
    return _PAIR.pack(NOP, NOP, TIMESTAMPS, 10, tsval, tsecr)
