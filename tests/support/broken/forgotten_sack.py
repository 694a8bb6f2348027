"""ServerNIC forgets one SACK edge: the last edge of the first block that it ever translates stays as it is."""

from __future__ import annotations

import sys

from hopscope_nic import cli
from hopscope_nic.core import options
from hopscope_nic.core.checksum import weight
from hopscope_nic.core.segment import U32, Segment
from hopscope_nic.core.translation import Translation

shift = Translation._shift_sack
forgotten = False


def forgetful(self: Translation, segment: Segment) -> int:
    global forgotten
    difference = shift(self, segment)
    if not difference or forgotten:
        return difference
    for kind, start, length in options.walk(segment.buffer, segment.l4 + 20, segment.header_end):
        if kind == options.SACK:
            forgotten = True
            at = start + length - 4
            old = U32.unpack_from(segment.buffer, at)[0]
            new = (old + self.delta) % 2**32
            U32.pack_into(segment.buffer, at, new)
            return difference + (new - old) * weight(at - segment.l4)
    return difference


Translation._shift_sack = forgetful  # type: ignore[method-assign]
sys.exit(cli.main())
