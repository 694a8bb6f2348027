"""Memory that is no longer used goes back to the system at once.

The C library keeps what arrays of up to 32 MiB leave free, in pieces that later arrays do not fit into: half as much
again, for captures of a million packets.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def give_back() -> None:
    """Have the C library return freed arrays of a megabyte or more; nothing happens where it is another one."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_TRIM_THRESHOLD, 1 << 17)
    mallopt(_M_MMAP_THRESHOLD, 1 << 20)
