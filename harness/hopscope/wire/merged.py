"""Several captures as one pcapng (draft-ietf-opsawg-pcapng): an interface with a name for each, merged by time.

Link types stay those of each capture, stamps are in nanoseconds. Packets of one capture keep the order of their file;
between captures the earlier stamp comes first. Memory does not grow with the captures: one packet of each is held.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from hopscope.errors import HarnessFault
from hopscope.wire import pcap, pcapng
from hopscope.wire.records import LARGEST_FRAME

_SECTION, _INTERFACE, _ENHANCED = 0x0A0D0D0A, 1, 6
_OPTION_END, _IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL = 0, 2, 3, 9
_NANOSECONDS = 9
"""if_tsresol: stamps count 10**-9 seconds."""
_NO_LENGTH = 0xFFFFFFFFFFFFFFFF

Packet = tuple[int, int, int, int, bytes]
"""Time in ns, interface within its capture, linktype, length on the wire, the frame as captured."""


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
        path = source.path
        try:
            with path.open("rb") as file:
                head = file.read(24)
        except OSError as error:
            raise HarnessFault(f"{path}: cannot be read: {error}") from error
        self._order, self._unit = pcap.MAGIC.get(head[:4], ("", 0))
        self.first = 0
        if self._unit and len(head) == 24:
            self.linktype = struct.unpack(self._order + "I", head[20:24])[0] & 0xFFFF
            return
        if head[:4] != pcapng.MAGIC:
            pcap.read(path)  # says what is wrong with it
            raise HarnessFault(f"{path}: neither pcap nor pcapng")
        self._unit = 0
        known = next(self._pcapng(), None)
        self.linktype = 1 if known is None else known[2]
        self.first = 0 if known is None else known[1]

    def packets(self, at: int) -> Iterator[tuple[int, int, int, int, int, bytes]]:
        """Packets that are to be kept, with ``at`` (which capture it is) behind the time."""
        frames = None if self.source.frames is None else frozenset(self.source.frames)
        for number, packet in enumerate(self._pcap() if self._unit else self._pcapng(), 1):
            if frames is None or number in frames:
                yield packet[0], at, *packet[1:]

    def _pcap(self) -> Iterator[Packet]:
        record = struct.Struct(self._order + "IIII")
        with self.source.path.open("rb") as file:
            file.seek(24)
            while len(head := file.read(record.size)) == record.size:
                seconds, fraction, caplen, wirelen = record.unpack(head)
                if caplen > LARGEST_FRAME or len(frame := file.read(caplen)) < caplen:
                    return
                yield seconds * 10**9 + fraction * self._unit, 0, self.linktype, max(wirelen, caplen), frame

    def _pcapng(self) -> Iterator[Packet]:
        data = np.memmap(self.source.path, np.uint8, "r").view(np.ndarray).data
        for offset, caplen, wirelen, time, interface, linktype in pcapng.walk(data):
            yield time, interface, linktype, max(wirelen, caplen), bytes(data[offset : offset + caplen])


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
