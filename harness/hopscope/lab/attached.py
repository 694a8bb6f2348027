"""A lab that someone else holds: attached to by its state directory, and never ended from here."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hopscope.errors import LabFailed, UsageError
from hopscope.hosts.executor import Executor
from hopscope.lab import plan, state, staying
from hopscope.lab.adopted import AdoptedProcess
from hopscope.lab.lab import Lab
from hopscope.lab.setting import SettingRecord
from hopscope.model.document import from_document


def attach(directory: Path) -> Lab:
    """The lab whose state is in ``directory``, up already. Closing it ends what was started through it, and no more.

    Raises LabFailed where there is none, or it has gone.
    """
    known = state.read(directory)
    if known is None or not known.keeper.alive:
        raise LabFailed(f"lab {directory.name} has gone: nobody holds it any more")
    executors = staying.hands(directory, known)
    topology = from_document(known.topology)
    hosts: dict[str, Executor] = {host.name: executors[host.name] for host in topology.hosts}
    middles: dict[str, Executor] = {
        link.name: executors[plan.middle(link)] for link in topology.links if link.impairment.active
    }
    lab = Lab(known.name, topology, directory, hosts, known.mechanisms, middles)
    lab.settings += [SettingRecord(**record) for record in known.settings]
    for link, line in known.lines.items():
        folder = middles[link].directory
        lab.lines[link] = AdoptedProcess("line", line, folder / "line.out", folder / "line.err")
    for executor in executors.values():
        lab.on_close(executor.close)
    return lab


def claim(lab: Lab) -> None:
    """Be the only session that uses a lab, until it is closed. UsageError when another does."""
    descriptor = os.open(lab.directory / "use.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(f"lab {lab.name} is in use by another session") from None
    lab.on_close(lambda: os.close(descriptor))
