"""Connections that are not on the path: metadata queries, management, what a host talks about with others.

A connection is on the path when its client and server (addresses, in that direction) were seen together at the tap
nearest to the client and at taps of at least two hosts. Link-local servers (169.254.169.254) never are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hopscope.wire.flows import Connections, Segments
from hopscope.wire.number import number
from hopscope.wire.packets import V4_MAPPED
from hopscope.wire.taps import Position

_LINK_LOCAL = V4_MAPPED | 0xA9FE0000


def on_path(positions: Sequence[Position], segments: Sequence[Segments], found: Connections) -> NDArray[np.bool_]:
    """For each connection whether it is one to judge; positions and segments go together, from client to server."""
    count = len(found.began)
    pair = number(*found.client[:, :2].T, *found.server[:, :2].T)
    routable = (found.server[:, 0] != 0) | (found.server[:, 1] & np.uint64(0xFFFFFFFF0000) != np.uint64(_LINK_LOCAL))

    hosts: dict[str, NDArray[np.bool_]] = {}
    nearest: NDArray[np.bool_] | None = None
    for position, flow_of in zip(positions, found.flow_of, strict=True):
        seen = np.zeros(count, np.bool_)
        seen[pair[flow_of]] = True  # by pair: there are no more pairs than connections
        hosts[position.host] = hosts.get(position.host, np.zeros(count, np.bool_)) | seen
        if nearest is None and routable[flow_of].any():
            nearest = seen
    if nearest is None:
        return np.zeros(count, np.bool_)
    everywhere = np.sum(list(hosts.values()), axis=0) >= min(2, len(hosts))
    kept = routable & (nearest & everywhere)[pair]
    # Nothing reached a second host: then what the first tap saw is what there is to judge.
    return kept if kept.any() else np.asarray(routable & nearest[pair])
