"""What a machine tells whoever works for it further down: the kernel, in the bpf datapath.

It may answer and forward a new SYN, of which the machine then hears afterwards; learn from the server's answer, which
the machine hears as well; and cross ordinary segments of open flows, which the machine does not receive any more, and
neither counts nor times. All other segments of those flows it does receive: the first FIN or RST, for one, with which
the flow is taken back.
"""

from __future__ import annotations

from typing import List, Optional, Protocol, Tuple

from hopscope_nic.core.flow import Flow
from hopscope_nic.core.translation import Translation


class Offload(Protocol):
    """A machine calls these while it decides about a segment, before what it decides is carried out."""

    def greeted(self, key: bytes, client_isn: int) -> Optional[int]:
        """V, where this SYN has been forwarded already, on ClientNIC also answered."""

    def begin(self, flow: Flow) -> None:
        """A new flow: the machine wants to see all of it. Where it only passes it has crossed by then."""

    def take(self, flow: Flow) -> None:
        """`flow.steady` may be done elsewhere, once what has come of this flow before has been carried out."""

    def take_back(self, flow: Flow) -> None:
        """At once: the machine does the rest of this flow; where it only passes, it need not see it."""

    def forget(self, flow: Flow) -> None:
        """The flow has gone. It need not have been here."""

    def crossed(self, flow: Flow) -> Tuple[Optional[float], Optional[float]]:
        """When the last segments from client and server crossed elsewhere, on the clock of `now`; None: none did."""

    def learnt(self, flow: Flow, now: float) -> Optional[Translation]:
        """What has been learnt of a flow that began so long before `now` that the machine should know it as well."""

    def strangers(self, now: float) -> List[Flow]:
        """Open flows that began so long before `now` that the machine should know of them, and does not."""
