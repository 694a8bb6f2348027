"""Links over which everything came out as it went in, packet by packet and byte by byte: nothing on them can be wrong.

That is soon seen, and spares the checks of a link to match its segments one by one. Where it is not so (a loss, packets
that overtook each other, another byte) they do.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from hopscope.checks.stretch import Stretch
from hopscope.wire import identity
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

_known: WeakKeyDictionary[Trace, dict[tuple[Position, bool], bool]] = WeakKeyDictionary()


def alike(trace: Trace, way: Stretch, up: bool) -> bool:
    """Whether the packets of all flows went over a link in one direction in their order and as they were, from the IP
    header on, none later in than out; never true of a box.
    """
    if way.boxes:
        return False
    known = _known.setdefault(trace, {})
    if (way.near, up) not in known:
        known[way.near, up] = _alike(trace, way, up)
    return known[way.near, up]


def _alike(trace: Trace, way: Stretch, up: bool) -> bool:
    source, target = (trace.rows[at] for at in ((way.near, way.far) if up else (way.far, way.near)))
    went, came = (np.flatnonzero((side.flow >= 0) & (side.to_server == up)) for side in (source, target))
    if len(went) != len(came) or not np.array_equal(source.flow[went], target.flow[came]):
        return False
    before, after = source.packets, target.packets
    if trace.same_clock and (before.time[went] > after.time[came]).any():
        return False
    sizes = []
    for packets, rows in ((before, went), (after, came)):
        start = packets.offset[rows] - packets.l3_offset[rows]
        sizes.append((packets.caplen[rows] + start, packets.wirelen[rows] + start))
    (kept, size), (kept_after, size_after) = sizes
    if not (np.array_equal(kept, kept_after) and np.array_equal(size, size_after)):
        return False
    return bool(identity.same(before.data, before.l3_offset[went], after.data, after.l3_offset[came], kept).all())
