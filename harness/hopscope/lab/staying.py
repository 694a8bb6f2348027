"""Labs that stay: handed to a holder with a time to live, found and entered and ended by name.

The commands start with this module: what is heavy (topologies, and so pydantic) is imported where it is needed.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hopscope.errors import EnvironmentFault, LabFailed, UsageError
from hopscope.hosts.netns import NetnsExecutor
from hopscope.lab import state
from hopscope.lab.lifeline import PROGRAMS
from hopscope.lab.state import LabState
from hopscope.lab.wait import wait_until

if TYPE_CHECKING:
    from hopscope.lab.lab import Lab

HOLDER_SECONDS = 10.0
DOWN_SECONDS = 25.0
#: A directory without a state file belongs to a lab that is being built, which does not take this long, or was.
BUILDING_SECONDS = 600.0

# Their child processes run on; dropped objects of Popen would complain of that.
_handed_over: list[Lab] = []


def hand_over(lab: Lab, seconds: float, *, source: Path | None = None, sut: str | None = None) -> LabState:
    """Give the life-line of ``lab`` to a detached holder that keeps it for ``seconds``; the lab is no longer ours.

    ``source`` is the file of its topology and ``sut`` a SUT that was started to stay. Raises LabFailed when there is
    nothing to hand over or the holder did not start; the lab is still ours then.
    """
    known = state.read(lab.directory)
    if lab.closed or lab.life_line is None or known is None:
        raise LabFailed(f"lab {lab.name} has no life-line of ours to hand over")
    argv = [sys.executable, "-I", "-S", str(PROGRAMS / "holder.py")]
    argv += [str(lab.life_line.fileno()), str(lab.directory), str(known.keeper.pid), str(seconds)]
    try:
        told = subprocess.run(
            argv,
            pass_fds=(lab.life_line.fileno(),),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=HOLDER_SECONDS,
            check=True,
        )
        holder = state.identify(int(told.stdout))
    except (subprocess.SubprocessError, ValueError, ProcessLookupError) as error:
        evidence = getattr(error, "stderr", None) or b""
        raise LabFailed(f"the holder of lab {lab.name} did not start", evidence=evidence.decode()) from error
    held = replace(
        known,
        owner=holder,
        expires=time.time() + seconds,
        lines={link: state.identify(process.pid) for link, process in lab.lines.items()},
        settings=tuple(asdict(record) for record in lab.settings),
        source=None if source is None else str(source.absolute()),
        sut=sut,
    )
    held.write(lab.directory)
    lab.leave()
    _handed_over.append(lab)
    return held


def hands(directory: Path, known: LabState) -> dict[str, NetnsExecutor]:
    """The executor of each namespace of a lab that is up: hosts, and the middles of impaired links."""
    return {
        namespace: NetnsExecutor(
            namespace, directory / namespace, known.keeper.pid, descriptor, known.own_user_namespace
        )
        for namespace, descriptor in known.namespaces.items()
    }


def nearest() -> Path:
    """The directory of labs that commands mean: the nearest ``.hopscope/labs`` from here upwards, else one here."""
    here = Path.cwd()
    return next(
        (each / state.LABS for each in (here, *here.parents) if (each / state.LABS).is_dir()), here / state.LABS
    )


def typed(command: str, labs: Path, *arguments: str) -> str:
    """A command about a lab, as one types it here."""
    where = [] if labs.absolute() == nearest() else ["--labs", str(labs)]
    return shlex.join(["hopscope", "lab", command, *where, *arguments])


def find(root: Path, name: str) -> tuple[Path, LabState]:
    """A lab by its name. UsageError where none of that name is up, with those that are."""
    up = {path.name: (path, known) for path, known in state.labs(root) if known is not None and known.keeper.alive}
    if name not in up:
        from hopscope.model.topology import suggestion

        raise UsageError(f"no lab {name!r} is up{suggestion(name, up)}; see: hopscope lab list")
    return up[name]


def down(root: Path, name: str) -> None:
    """End a lab that stays, and wait until it has gone.

    Raises UsageError for a lab of a session that runs, which ends with it; LabFailed when it did not go.
    """
    directory, known = find(root, name)
    if not known.held and known.owner.alive:
        raise UsageError(f"lab {name} belongs to process {known.owner.pid}, which runs, and ends with it")
    if known.owner.alive:
        with suppress(ProcessLookupError):
            os.kill(known.owner.pid, signal.SIGTERM)
    else:
        _end_keeper(known)
    try:
        wait_until(
            lambda: not known.keeper.alive and (not known.owner.alive or not directory.exists()),
            timeout=DOWN_SECONDS,
            what=f"lab {name} to go",
        )
    except EnvironmentFault as late:
        raise LabFailed(late.message, evidence=f"keeper {known.keeper.pid}, holder {known.owner.pid}") from late
    shutil.rmtree(directory, ignore_errors=True)


def reap(root: Path) -> list[str]:
    """Remove what dead owners left below ``root``, and nothing else; one line for each thing removed."""
    removed = []
    for directory, known in state.labs(root):
        if known is None:
            if _abandoned(directory):
                shutil.rmtree(directory, ignore_errors=True)
                removed.append(f"{directory.name}: left by a lab that was never up")
        elif known.keeper.alive and known.owner.alive:
            continue
        elif known.keeper.alive:
            _end_keeper(known)
            shutil.rmtree(directory, ignore_errors=True)
            removed.append(f"{known.name}: its keeper {known.keeper.pid} ran, its owner {known.owner.pid} has gone")
        else:
            shutil.rmtree(directory, ignore_errors=True)
            removed.append(f"{known.name}: the state of a lab that has gone")
    return removed


def _end_keeper(known: LabState) -> None:
    """KILL to PID 1 of the lab, and wait until it has gone. The descriptor names the process, not just its number."""
    with suppress(ProcessLookupError):
        keeper = os.pidfd_open(known.keeper.pid)
        try:
            if known.keeper.alive:
                signal.pidfd_send_signal(keeper, signal.SIGKILL)
            select.select([keeper], [], [], DOWN_SECONDS)
        finally:
            os.close(keeper)


def _abandoned(directory: Path) -> bool:
    """What a builder that died leaves: its log, and no state. A lab that is being built is younger than that."""
    try:
        return time.time() - (directory / "keeper.err").stat().st_mtime > BUILDING_SECONDS
    except OSError:
        return False
