"""Read captures: pcap (draft-ietf-opsawg-pcap) here, pcapng through its own module, both into Packets.

``read`` is the one entrance. Damaged input has a defined result: rows up to the damage and ``Packets.truncated``. Only
a file that is no capture, or cannot be opened, raises.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hopscope.errors import HarnessFault
from hopscope.wire import decode, gather, pcapng
from hopscope.wire.packets import Packets
from hopscope.wire.records import LARGEST_FRAME, Records

MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""First four bytes → byte order, and ns in one unit of the time's fraction."""

_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd", b"\x04\x22": "lz4", b"\xfd\x37": "xz", b"BZ": "bzip2"}

_FILE_HEADER = 24
_RECORD_HEADER = 16


def read(path: Path) -> Packets:
    """Columns of a capture file. Raises HarnessFault for a file that cannot be read or is no capture."""
    try:
        size = path.stat().st_size
        data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r").view(np.ndarray) if size else np.zeros(0, np.uint8)
    except (OSError, ValueError) as error:
        raise HarnessFault(f"{path}: cannot be read: {error}") from error
    return decode.columns(str(path), data, index(path, data))


def index(path: Path, data: NDArray[np.uint8]) -> Records:
    """Find the records of a file by its magic number."""
    magic = data[:4].tobytes()
    if magic in MAGIC and len(data) >= _FILE_HEADER:
        return _index_pcap(data, *MAGIC[magic])
    if magic == pcapng.MAGIC:
        records = pcapng.index(data)
        if records is not None:
            return records
    if not len(data):
        raise HarnessFault(f"{path}: empty: the capturing program wrote nothing")
    if magic[:2] in _COMPRESSED:
        raise HarnessFault(f"{path}: compressed ({_COMPRESSED[magic[:2]]}): unpack it first")
    raise HarnessFault(f"{path}: neither pcap nor pcapng (starts with {magic.hex()})")


def _index_pcap(data: NDArray[np.uint8], order: str, unit: int) -> Records:
    (network,) = struct.unpack(order + "I", data[20:24].tobytes())
    heads, truncated = _chase(data, order)
    field = gather.u32 if order == ">" else _u32_little
    seconds, fraction = field(data, heads), field(data, heads + 4)
    caplen = field(data, heads + 8)
    return Records(
        offset=heads + _RECORD_HEADER,
        caplen=caplen,
        wirelen=np.maximum(field(data, heads + 12), caplen),
        time=seconds * 1_000_000_000 + fraction * unit,
        interface=np.zeros(len(heads), np.int32),
        # The upper half of the field is for the length of a frame check sequence and flags.
        linktype=np.full(len(heads), network & 0xFFFF, np.int32),
        truncated=truncated,
    )


def _chase(data: NDArray[np.uint8], order: str) -> tuple[NDArray[np.int64], bool]:
    """Offsets of the record headers, and whether the file ends in the middle of one: the only loop over records."""
    length = struct.Struct(order + "I").unpack_from
    view = data.data
    heads = []
    at, end = _FILE_HEADER, len(data)
    while at + _RECORD_HEADER <= end:
        (caplen,) = length(view, at + 8)
        following = at + _RECORD_HEADER + caplen
        if caplen > LARGEST_FRAME or following > end:
            break
        heads.append(at)
        at = following
    return np.array(heads, np.int64), at != end


def _u32_little(data: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.int64]:
    value = gather.u32(data, at)
    return np.asarray(value.astype(np.uint32).byteswap().astype(np.int64))
