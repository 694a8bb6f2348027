"""What a machine tells whoever works for it further down: the kernel, in the bpf datapath.

It may have usual flows to itself from their SYN to their end, of which the machine then never hears; of the others it
crosses ordinary segments once they are open, which the machine does not receive any more, and neither counts nor times.
All other segments it does receive: the first FIN or RST, for one, with which the flow is taken back. When it receives a
segment of a flow that it does not know, it asks for it, and has the flow from then on.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Protocol, Tuple

from hopscope_nic.core.flow import Flow
from hopscope_nic.core.segment import Segment


class Adopted(NamedTuple):
    """A flow that was an offload's. Open if it has a translation; waiting otherwise."""

    flow: Flow
    syn: Segment
    """The client's, as it came."""
    early: Optional[Segment]
    """What the client has said before the server had answered: it is held."""
    over: bool
    began: float
    """When the SYN came, on the clock of `now`."""


class Offload(Protocol):
    """A machine calls these while it decides about a segment, before what it decides is carried out."""

    def adopt(self, key: bytes, now: float) -> Optional[Adopted]:
        """A flow that the machine does not know and has to know from here on; None: there is none."""

    def begin(self, flow: Flow) -> None:
        """A new or adopted flow: the machine wants to see all of it. Where it only passes it has crossed by then."""

    def take(self, flow: Flow) -> None:
        """`flow.steady` may be done elsewhere, once what has come of this flow before has been carried out."""

    def take_back(self, flow: Flow) -> None:
        """At once: the machine does the rest of this flow; where it only passes, it need not see it."""

    def forget(self, flow: Flow) -> None:
        """The flow has gone. It need not have been here."""

    def crossed(self, flow: Flow) -> Tuple[Optional[float], Optional[float]]:
        """When the last segments from client and server crossed elsewhere, on the clock of `now`; None: none did."""
