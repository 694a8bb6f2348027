"""What a machine tells whoever can cross ordinary segments without it: the kernel, in the bpf datapath.

Ordinary segments of a flow that is taken are not received any more, and neither counted nor timed here. All others of
that flow are: the first FIN or RST, for one, with which the flow is given back.
"""

from __future__ import annotations

from typing import Optional, Protocol

from hopscope_nic.core.flow import Flow


class Offload(Protocol):
    """A machine calls these while it decides about a segment, before what it decides is carried out."""

    def take(self, flow: Flow) -> None:
        """`flow.steady` may be done elsewhere, once this segment's actions have been carried out."""

    def watch(self, flow: Flow) -> None:
        """Cross everything of this flow but SYNs as it is, and let the machine see it besides."""

    def give_back(self, flow: Flow) -> None:
        """At once: this flow is neither taken nor watched any more. It need not have been."""

    def seen(self, flow: Flow) -> Optional[float]:
        """When the last segment crossed elsewhere, on the clock of `now`; None: none did."""
