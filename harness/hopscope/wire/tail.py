"""A capture that is being written: each reading gives the packets that have come since the last one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hopscope.wire import decode, pcap
from hopscope.wire.packets import Packets

_FILE_HEADER = 24


class Tail:
    """Reads a pcap file as it grows. ``seen`` counts the packets so far; frame numbers are those of the file."""

    def __init__(self, path: Path) -> None:
        self.seen = 0
        self._path = path
        self._offset = _FILE_HEADER

    def read(self) -> Packets:
        """What is whole and new; nothing is lost that is still being written. HarnessFault for what is no capture."""
        with self._path.open("rb") as file:
            head = file.read(_FILE_HEADER)
            file.seek(self._offset)
            data = np.frombuffer(head + file.read(), np.uint8)
        if len(head) < _FILE_HEADER:
            data = np.frombuffer(_EMPTY, np.uint8)
        records = pcap.index(self._path, data)
        packets = decode.columns(str(self._path), data, records)
        if len(packets):
            end = int(packets.offset[-1]) + int(packets.caplen[-1])
            self._offset += end - _FILE_HEADER
        packets.frame[:] += self.seen
        self.seen += len(packets)
        return packets


#: The header of a nanosecond capture on Ethernet, for as long as the program has not written its own.
_EMPTY = bytes.fromhex("4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000")
