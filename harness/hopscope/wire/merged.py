"""Several captures as one pcapng (draft-ietf-opsawg-pcapng): an interface with a name for each, merged by time.

Link types stay those of each capture, stamps are in nanoseconds. Packets of one capture keep the order of their file;
between captures the earlier stamp comes first. Memory does not grow with the captures: of each a stretch is held.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from hopscope.wire import pcap
from hopscope.wire.records import LARGEST_FRAME, Records

_SECTION, _INTERFACE, _ENHANCED = 0x0A0D0D0A, 1, 6
_OPTION_END, _IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL = 0, 2, 3, 9
_NANOSECONDS = 9
"""if_tsresol: stamps count 10**-9 seconds."""
_NO_LENGTH = 0xFFFFFFFFFFFFFFFF

_SPAN = 1 << 18
"""Bytes of each capture whose records are held at a time."""


@dataclass(frozen=True)
class Source:
    """A capture and the name of its interface; ``frames`` are the numbers to keep, as Wireshark counts (None: all)."""

    name: str
    path: Path
    description: str = ""
    frames: Collection[int] | None = None


def write_merged(path: Path, sources: Iterable[Source], *, limit_bytes: int | None = None) -> bool:
    """Write the packets of all sources; False where some were left out, because the file would pass ``limit_bytes``.

    A capture that ends in the middle of a record gives what is whole. Raises HarnessFault for a file that is no
    capture or cannot be read.
    """
    chosen = list(sources)
    streams = [_Stream(source) for source in chosen]
    with path.open("wb") as file:
        file.write(_block(_SECTION, struct.pack("<IHHQ", 0x1A2B3C4D, 1, 0, _NO_LENGTH)))
        numbers: dict[tuple[int, int], int] = {}
        for at, stream in enumerate(streams):
            numbers[at, stream.first] = len(numbers)
            file.write(_interface(stream.source.name, stream.source.description, stream.linktype))
        for time, at, interface, linktype, wirelen, frame in heapq.merge(
            *(stream.packets(at) for at, stream in enumerate(streams)), key=itemgetter(0)
        ):
            if (at, interface) not in numbers:  # a capture of several ports: described where its first packet comes
                numbers[at, interface] = len(numbers)
                file.write(_interface(f"{chosen[at].name}#{interface}", chosen[at].description, linktype))
            block = _packet(numbers[at, interface], time, wirelen, frame)
            if limit_bytes is not None and file.tell() + len(block) > limit_bytes:
                return False
            file.write(block)
    return True


class _Stream:
    """A capture, read packet by packet. ``first`` and ``linktype`` are those of its first interface."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._data = pcap.mapped(source.path)
        known = next((part for part in self._spans() if len(part)), None)
        self.first = 0 if known is None else int(known.interface[0])
        self.linktype = pcap.declared(self._data) if known is None else int(known.linktype[0])

    def packets(self, at: int) -> Iterator[tuple[int, int, int, int, int, bytes]]:
        """Packets that are to be kept, with ``at`` (which capture it is) behind the time."""
        frames = None if self.source.frames is None else frozenset(self.source.frames)
        number = 0
        for part in self._spans():
            columns = (part.time, part.interface, part.linktype, part.wirelen, part.offset, part.caplen)
            for time, interface, linktype, wirelen, start, caplen in zip(*(c.tolist() for c in columns), strict=True):
                number += 1
                if frames is None or number in frames:
                    yield time, at, interface, linktype, wirelen, self._data[start : start + caplen].tobytes()

    def _spans(self) -> Iterator[Records]:
        return pcap.spans(self.source.path, self._data, _SPAN)


def _interface(name: str, description: str, linktype: int) -> bytes:
    options = _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, bytes([_NANOSECONDS]))
    if description:
        options += _option(_IF_DESCRIPTION, description.encode())
    options += struct.pack("<HH", _OPTION_END, 0)
    return _block(_INTERFACE, struct.pack("<HHI", linktype, 0, LARGEST_FRAME) + options)


def _packet(interface: int, time: int, wirelen: int, frame: bytes) -> bytes:
    stamp = max(time, 0)  # damage can make a stamp of before the epoch, which the format does not know
    head = struct.pack("<IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), wirelen)
    return _block(_ENHANCED, head + frame)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value.ljust(_padded(len(value)), b"\0")


def _block(kind: int, body: bytes) -> bytes:
    body = body.ljust(_padded(len(body)), b"\0")
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def _padded(length: int) -> int:
    return (length + 3) // 4 * 4
