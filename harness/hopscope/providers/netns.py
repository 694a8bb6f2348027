"""Hosts built as network namespaces of this machine: no privilege needed, gone with whoever made them."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from hopscope.errors import UsageError
from hopscope.lab import state
from hopscope.lab.assemble import assemble
from hopscope.lab.lab import Lab
from hopscope.lab.plan import Mechanism
from hopscope.model.topology import Topology

LABS = state.LABS
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class NetnsProvider:
    """``roots`` are the directories of labs that ``leaks`` looks at, besides those that labs were acquired in."""

    def __init__(self, roots: Iterable[Path] = (LABS,)) -> None:
        self._roots = {root.absolute() for root in roots}

    def acquire(
        self,
        topology: Topology,
        *,
        directory: Path = LABS,
        name: str | None = None,
        offloads: bool = False,
        mechanism: Mechanism | None = None,
    ) -> Lab:
        """Build the topology in namespaces, its state in ``directory/NAME`` (the default name is one of a kind).

        ``offloads`` leaves checksum and segmentation offload on, for throughput runs; ``mechanism`` forces how
        impaired links are made (``netem``, ``tap-line``, ``packet-line``) instead of the best that there is.
        """
        if name is None:
            name = f"{topology.name}-{os.getpid()}-{secrets.token_hex(3)}"
        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name for a lab: letters, digits, dot, dash and underscore, at most 64")
        root = directory.absolute()
        self._roots.add(root)
        state.sweep(root)
        return assemble(topology, root / name, name, offloads=offloads, mechanism=mechanism)

    def release(self, lab: Lab) -> None:
        lab.close()

    def leaks(self) -> list[str]:
        """Labs whose keeper lives and whose owner does not. State left by labs that have gone is removed here."""
        found = []
        for root in sorted(self._roots):
            state.sweep(root)
            for path, lab in state.labs(root):
                if lab is not None and not lab.owner.alive:
                    found.append(
                        f"lab {lab.name}: keeper {lab.keeper.pid} runs, its owner {lab.owner.pid} has gone ({path})"
                    )
        return found
