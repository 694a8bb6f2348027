"""Where the frames of a capture file are: what the readers of each format produce and the decoder takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_FRAME = 262144
"""Bytes; a longer record is damage (Wireshark's limit, and libpcap's default snap length)."""


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
