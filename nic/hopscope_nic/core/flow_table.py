"""All flows of a machine: found from either direction, bounded, and looked at again when their time comes.

When the table is full, a new flow takes the place of one that is over (the one that has been over longest), or else of
the oldest that is embryonic: one of its ends has not been heard, as a SYN flood leaves them. A connection that both
ends have spoken on never makes room.
"""

from __future__ import annotations

import heapq
from typing import Dict, Iterator, List, Optional, Tuple

from hopscope_nic.core.flow import CLOSING, GONE, REFUSED, Flow

_SLACK = 1024  # schedule entries that no longer count and may stay


class FlowTable:
    """At most `limit` flows."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.by_client: Dict[bytes, Flow] = {}
        """By the 4-tuple of client→server segments."""
        self.by_server: Dict[bytes, Flow] = {}
        """By the 4-tuple of server→client segments."""
        self._embryonic: Dict[bytes, Flow] = {}
        self._over: Dict[bytes, Flow] = {}
        self._schedule: List[Tuple[float, int, Flow]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self.by_client)

    def __iter__(self) -> Iterator[Flow]:
        return iter(self.by_client.values())

    def snapshot(self) -> Dict[str, int]:
        """Flows that go on, and flows that are over and remembered for their last segments, as the events tell them."""
        return {"flows": len(self.by_client) - len(self._over), "lingering": len(self._over)}

    def add(self, flow: Flow) -> None:
        """Take in a waiting flow; there must be room (`make_room`) and none with its 4-tuple."""
        if flow.key in self.by_client or len(self.by_client) >= self.limit:
            raise AssertionError("no room for this flow")
        self.by_client[flow.key] = flow
        self.by_server[flow.back_key] = flow
        self._embryonic[flow.key] = flow

    def victim(self) -> Optional[Flow]:
        """The flow that has to go before another can be added: None while there is room, or nobody may go."""
        if len(self.by_client) < self.limit:
            return None
        for candidates in (self._over, self._embryonic):
            for flow in candidates.values():
                return flow
        return None

    @property
    def full(self) -> bool:
        """No room for another one."""
        return len(self.by_client) >= self.limit

    def move(self, flow: Flow, state: str) -> None:
        """Change a flow's state and with it its rank in eviction."""
        flow.move(state)
        if state in (CLOSING, REFUSED):
            self._embryonic.pop(flow.key, None)
            self._over[flow.key] = flow

    def establish(self, flow: Flow) -> None:
        """Both ends of this flow have been heard: it no longer makes room for others."""
        self._embryonic.pop(flow.key, None)

    def remove(self, flow: Flow) -> None:
        """Forget a flow. Its held segments are the caller's to give back."""
        flow.move(GONE)
        del self.by_client[flow.key]
        del self.by_server[flow.back_key]
        self._embryonic.pop(flow.key, None)
        self._over.pop(flow.key, None)

    def schedule(self, flow: Flow, when: float) -> None:
        """Look at this flow at `when` (seconds); only the last time given counts."""
        if len(self._schedule) > 2 * len(self.by_client) + _SLACK:
            self._schedule = [entry for entry in self._schedule if _is_current(entry)]
            heapq.heapify(self._schedule)
        flow.due = when
        self._serial += 1
        heapq.heappush(self._schedule, (when, self._serial, flow))

    def next_deadline(self) -> Optional[float]:
        """When `due` has something to give, None when never."""
        schedule = self._schedule
        while schedule:
            if _is_current(schedule[0]):
                return schedule[0][0]
            heapq.heappop(schedule)
        return None

    def due(self, now: float) -> List[Flow]:
        """Flows whose time has come; each must be scheduled again or removed."""
        ready = []
        schedule = self._schedule
        while schedule and schedule[0][0] <= now:
            entry = heapq.heappop(schedule)
            if _is_current(entry):
                flow = entry[2]
                flow.due = 0.0
                ready.append(flow)
        return ready


def _is_current(entry: Tuple[float, int, Flow]) -> bool:
    """Whether a schedule entry is its flow's last one."""
    when, _, flow = entry
    return flow.state != GONE and flow.due == when
