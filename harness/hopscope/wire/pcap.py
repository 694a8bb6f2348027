"""Read captures: pcap (draft-ietf-opsawg-pcap) here, pcapng through its own module, both into Packets.

``read`` gives a whole file, ``windows`` one stretch of it after the other, for what needs no more in memory. Damaged
input has a defined result: rows up to the damage and ``Packets.truncated``. Only a file that is no capture, or cannot
be opened, raises.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hopscope.errors import HarnessFault
from hopscope.wire import chain, decode, gather, pcapng, records
from hopscope.wire.packets import Packets
from hopscope.wire.records import LARGEST_FRAME, SPAN, Records

MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""First four bytes → byte order, and ns in one unit of the time's fraction."""

_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd", b"\x04\x22": "lz4", b"\xfd\x37": "xz", b"BZ": "bzip2"}

_SMALL = 2 << 20
"""Bytes of all captures of a folder that are read together."""

_FILE_HEADER = 24
_RECORD_HEADER = 16


def read(path: Path) -> Packets:
    """Columns of a capture file. Raises HarnessFault for a file that cannot be read or is no capture."""
    data = mapped(path)
    return decode.columns(str(path), data, index(path, data))


def every(paths: Sequence[Path]) -> Iterator[Packets]:
    """Columns of one capture file after the other, as ``read`` gives them; of small ones all at once."""
    files = [(path, mapped(path)) for path in paths]
    if sum(len(data) for _, data in files) > _SMALL:
        yield from (decode.columns(str(path), data, index(path, data)) for path, data in files)
    elif files:
        yield from decode.together([(str(path), data, index(path, data)) for path, data in files])


def windows(path: Path, span: int = SPAN) -> Iterator[Packets]:
    """Columns of a capture file, some ``span`` bytes of it at a time; frame numbers are those of the whole file.

    The last one says whether the file is truncated. Raises as ``read`` does.
    """
    data = mapped(path)
    before = 0
    for part in spans(path, data, span):
        yield decode.columns(str(path), data, part, before=before)
        before += len(part.offset)


def mapped(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file, mapped read-only. Raises HarnessFault when it cannot be read."""
    try:
        size = path.stat().st_size
        return np.memmap(path, np.uint8, "r").view(np.ndarray) if size else np.zeros(0, np.uint8)
    except (OSError, ValueError) as error:
        raise HarnessFault(f"{path}: cannot be read: {error}") from error


def index(path: Path, data: NDArray[np.uint8]) -> Records:
    """Find the records of a file by its magic number. Raises HarnessFault where it is no capture."""
    return records.joined(list(spans(path, data)))


def spans(path: Path, data: NDArray[np.uint8], span: int = SPAN) -> Iterator[Records]:
    """The records of a file, some ``span`` bytes of it at a time."""
    magic = data[:4].tobytes()
    if magic in MAGIC and len(data) >= _FILE_HEADER:
        return _spans(data, *MAGIC[magic], span)
    if magic == pcapng.MAGIC and pcapng.begins(data):
        return pcapng.spans(data, span)
    if not len(data):
        raise HarnessFault(f"{path}: empty: the capturing program wrote nothing")
    if magic[:2] in _COMPRESSED:
        raise HarnessFault(f"{path}: compressed ({_COMPRESSED[magic[:2]]}): unpack it first")
    raise HarnessFault(f"{path}: neither pcap nor pcapng (starts with {magic.hex()})")


def declared(data: NDArray[np.uint8]) -> int:
    """Link type that the header of a pcap file declares for all its records; Ethernet for a pcapng without any."""
    order = MAGIC.get(data[:4].tobytes(), ("", 0))[0]
    # The upper half of the field is for the length of a frame check sequence and flags.
    return struct.unpack(order + "I", data[20:24].tobytes())[0] & 0xFFFF if order else 1


def _spans(data: NDArray[np.uint8], order: str, unit: int, span: int) -> Iterator[Records]:
    linktype = declared(data)
    file = _Pcap(data, order, 1_000_000_000 // unit)
    at, damaged = _FILE_HEADER, False
    while at < len(data) and not damaged:
        heads, at, damaged = chain.follow(file, at, min(at + span, len(data)))
        seconds, fraction, caplen, wirelen = file.fields(heads)
        yield Records(
            offset=heads + _RECORD_HEADER,
            caplen=caplen,
            wirelen=np.maximum(wirelen, caplen),
            time=seconds * 1_000_000_000 + fraction * unit,
            interface=np.zeros(len(heads), np.int32),
            linktype=np.full(len(heads), linktype, np.int32),
            truncated=damaged,
        )


class _Pcap:
    """The chain of records of a pcap file."""

    mark = (8, LARGEST_FRAME)

    def __init__(self, data: NDArray[np.uint8], order: str, units: int) -> None:
        self.data, self.order = data, order
        self.units = units
        """Fractions in a second."""
        self._length = gather.everywhere(data, f"{order}u4")
        self._last = len(self._length) - 1

    def after(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        caplen = self._length[np.minimum(at + 8, self._last)].astype(np.int64)
        following = at + (caplen + _RECORD_HEADER)
        return np.where((caplen <= LARGEST_FRAME) & (following <= len(self.data)), following, -1)

    def after_one(self, at: int) -> int:
        if at + _RECORD_HEADER > len(self.data):
            return -1
        (caplen,) = struct.unpack_from(self.order + "I", self.data.data, at + 8)
        following = at + _RECORD_HEADER + int(caplen)
        return following if caplen <= LARGEST_FRAME and following <= len(self.data) else -1

    def likely(self, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        _, fraction, caplen, wirelen = self.fields(at)
        sized = (caplen > 0) & (caplen <= wirelen) & (wirelen <= LARGEST_FRAME)
        return np.asarray(sized & (fraction < self.units) & (at + _RECORD_HEADER <= len(self.data)))

    def fields(self, at: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        """Seconds, fraction, captured and wire length of the records that start at each offset."""
        head = gather.block(self.data, at, _RECORD_HEADER).view(self.order + "u4").astype(np.int64)
        return tuple(head.T)
