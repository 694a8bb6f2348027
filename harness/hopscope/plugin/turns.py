"""Who may load the machine: tests marked ``budget`` run one at a time on it, and alone among the workers of a session.

Two file locks, in a directory of the user's among the temporary files. The machine's is held by one budget test at a
time, whatever session it is of. A session that runs under pytest-xdist has one of its own besides, held by its tests
on a lab together and by a budget test alone; the gate in front of it keeps them from passing a budget test for ever.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from hopscope.errors import HarnessFault, WaitTimeout
from hopscope.hosts.wait import wait_until

T = TypeVar("T")

#: A budget test takes about a minute, and no more than a few sessions meet on one machine.
PATIENCE_S = 1800.0
#: The worker that has the hosts runs most of the tests.
HOSTS_PATIENCE_S = 2 * 3600.0
#: Told to child processes: a session that a budget test starts is part of that test.
HELD = "HOPSCOPE_BUDGET"


def directory() -> Path:
    """The directory of locks of this user. Raises HarnessFault when someone else made it."""
    path = Path(tempfile.gettempdir()) / f"hopscope-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if status.st_uid != os.getuid() or not path.is_dir() or path.is_symlink():
        raise HarnessFault(f"{path} is not a directory of ours: remove it")
    return path


class Turns:
    """``session`` names the locks of one session's workers, None where it has but one process. ``say`` tells a wait.
    ``alone`` is the name of a worker whose labs are hosts that only so many workers can have at the same time
    (``places``)."""

    def __init__(
        self, session: str | None, say: Callable[[str], None], *, alone: str | None = None, places: int = 1
    ) -> None:
        self._session = session
        self._say = say
        self._alone = alone
        self._places = places
        self._hosts = ExitStack()

    @contextmanager
    def turn(self, *, budget: bool, lab: bool) -> Iterator[None]:
        """Around one test: a budget test, another one on a lab, or neither. HarnessFault when the turn never comes."""
        if lab:
            self._take_hosts()
        with ExitStack() as stack:
            if self._session is not None and (budget or lab):
                kind = fcntl.LOCK_EX if budget else fcntl.LOCK_SH
                with ExitStack() as gate:
                    self._lock(gate, f"{self._session}.gate", fcntl.LOCK_EX, "a budget test of another worker")
                    self._lock(stack, f"{self._session}.room", kind, "tests of the other workers")
            # Last: a session that another worker's test has started may want it before that test can end.
            if budget and HELD not in os.environ:
                self._lock(stack, "budget.lock", fcntl.LOCK_EX, "a budget test of another session")
                os.environ[HELD] = str(os.getpid())
                stack.callback(os.environ.pop, HELD, None)
            yield

    def end(self) -> None:
        """No more tests come: the hosts are another worker's."""
        self._hosts.close()

    def _take_hosts(self) -> None:
        if self._session is None or self._alone is None:
            return
        with ExitStack() as stack:
            files = [directory() / f"{self._session}.hosts-{number}" for number in range(self._places)]
            descriptors = {file: os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for file in files}
            for descriptor in descriptors.values():
                stack.callback(os.close, descriptor)
            file = self._one_of(descriptors)
            file.write_text(self._alone)
            self._alone = None
            self._hosts = stack.pop_all()

    def _one_of(self, descriptors: Mapping[Path, int]) -> Path:
        """The first that could be taken."""

        def free() -> Path | None:
            return next((file for file, descriptor in descriptors.items() if _taken(descriptor, fcntl.LOCK_EX)), None)

        found = free()
        if found is None:
            others = " and ".join(file.read_text() or "another worker" for file in descriptors)
            whom = f"{others}, which {'has' if self._places == 1 else 'have'} the hosts"
            self._say(f"waiting for {whom}")
            found = _in_time(free, HOSTS_PATIENCE_S, whom)
        return found

    def _lock(self, stack: ExitStack, name: str, kind: int, whom: str) -> None:
        descriptor = os.open(directory() / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, descriptor)
        if _taken(descriptor, kind):
            return
        self._say(f"waiting for {whom}")
        _in_time(lambda: _taken(descriptor, kind), PATIENCE_S, whom)


def _in_time(condition: Callable[[], T | None], patience_s: float, whom: str) -> T:
    try:
        met = wait_until(condition, timeout=patience_s, interval=0.1, what=whom)
    except WaitTimeout as late:
        raise HarnessFault(f"its turn did not come: {late.message}") from None
    assert met is not None
    return met


def forget(session: str) -> None:
    """Remove the locks of a session whose workers have ended."""
    for kind in ("gate", "room"):
        (directory() / f"{session}.{kind}").unlink(missing_ok=True)
    for place in directory().glob(f"{session}.hosts-*"):
        place.unlink(missing_ok=True)


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
