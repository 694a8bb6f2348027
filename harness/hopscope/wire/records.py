"""Where the frames of a capture file are: what the readers of each format produce and the decoder takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_FRAME = 262144
"""Bytes; a longer record is damage (Wireshark's limit, and libpcap's default snap length)."""

SPAN = 64 << 20
"""Bytes of a file that are read at a time."""

COLUMNS = ("offset", "caplen", "wirelen", "time", "interface", "linktype")


@dataclass(frozen=True, eq=False)
class Records:
    """One row for each record, in file order."""

    offset: NDArray[np.int64]
    """Where the frame's bytes start in the file."""
    caplen: NDArray[np.int64]
    wirelen: NDArray[np.int64]
    time: NDArray[np.int64]
    """ns since the epoch."""
    interface: NDArray[np.int32]
    linktype: NDArray[np.int32]
    """LINKTYPE_ number of the record's interface."""
    truncated: bool
    """The file ends, or is damaged, in the middle of a record."""

    def __len__(self) -> int:
        return len(self.offset)

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Records:
        return Records(**{name: getattr(self, name)[rows] for name in COLUMNS}, truncated=self.truncated)


def joined(parts: Sequence[Records]) -> Records:
    """Parts that follow each other as one."""
    if len(parts) == 1:
        return parts[0]
    none: dict[str, NDArray[Any]] = dict.fromkeys(COLUMNS, np.zeros(0, np.int64)) | dict.fromkeys(
        COLUMNS[4:], np.zeros(0, np.int32)
    )
    columns = {name: np.concatenate([none[name], *(getattr(part, name) for part in parts)]) for name in COLUMNS}
    return Records(**columns, truncated=any(part.truncated for part in parts))
