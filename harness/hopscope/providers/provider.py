"""What gives a lab."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hopscope.lab.lab import Lab
from hopscope.model.topology import Topology


class Provider(Protocol):
    """Builds, finds or adopts hosts for a topology. A provider is one file and one line in ``registry``."""

    def acquire(self, topology: Topology, *, directory: Path, name: str | None = None) -> Lab:
        """A lab that is up; its state directory is made below ``directory``. Raises EnvironmentFault."""
        ...

    def release(self, lab: Lab) -> None:
        """End a lab and all that belongs to it. Raises LabFailed with everything that went wrong."""
        ...

    def leaks(self) -> list[str]:
        """What is left of labs that nobody holds any more, one line each; empty is the normal answer."""
        ...
