"""A small session of the plugin as a child process, with a lab of its own, into which a fault is put at a phase.

The child notes its phases in its run directory, as every session does. Where a fault has to be there before the phase
goes on (a disk that is full, a tool that has gone), the child stands still at its beginning until it is told to go on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hopscope.hosts.wait import wait_until
from hopscope.run import phase
from hopscope.run.phase import Phase
from support import kept, machine

TEST = """
import pytest

@pytest.mark.integration
def test_loads(traffic, trace):
    assert traffic.connections(count=10, rate=40).completed == 10
    trace().expect(placement="stamp")
"""

CONFTEST = """
import os, time
from pathlib import Path
from hopscope.run.rundir import Run

enter, halt = Run.enter, os.environ["HALT_AT"]

def entered(self, begins):
    enter(self, begins)
    if str(begins) == halt:
        Path("halted").touch()
        deadline = time.monotonic() + 20
        while not Path("go").exists() and time.monotonic() < deadline:
            time.sleep(0.002)

Run.enter = entered
"""

TOOLS = ("ip", "tc", "nft", "ethtool", "ping", "sysctl", "nsenter", "ss")
"""What the harness calls by name on a host."""


@dataclass
class Child:
    """A session that runs. Its working directory (``work``, as it is reached from here), its TMPDIR and what its PATH
    leads to are its own."""

    process: subprocess.Popen[str]
    home: Path
    work: Path
    seen: set[int] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=set)

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"

    @property
    def tools(self) -> Path:
        return self.home / "bin"

    @property
    def run(self) -> Path | None:
        """Its run directory, or that of its first worker."""
        found = sorted(self.work.glob("runs/2*"))
        return found[0] if found else None

    @property
    def phase(self) -> Phase | None:
        return None if self.run is None else phase.last(self.run)

    def workers(self) -> list[int]:
        """Processes of pytest-xdist's workers."""
        return self.named(b"exec(eval(sys.stdin.readline()))")

    def look(self) -> None:
        """Remember which processes and namespaces it has."""
        below = machine.descendants(self.process.pid)
        self.seen |= below
        for pid in self.keepers():
            with suppress(OSError):
                self.namespaces |= kept.belongings(pid)

    def keepers(self) -> list[int]:
        """PID 1 of each lab, as numbered here."""
        own = os.readlink("/proc/self/ns/pid")
        found = []
        for pid in machine.descendants(self.process.pid):
            with suppress(OSError):
                if b"keeper.py" in _command(pid) and os.readlink(f"/proc/{pid}/ns/pid") != own:
                    found.append(pid)
        return found

    def named(self, word: bytes) -> list[int]:
        """Processes below it with a word in their command line."""
        return [pid for pid in machine.descendants(self.process.pid) if word in _command(pid)]

    def reaches(self, wanted: Phase, *, halted: bool) -> None:
        def there() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the session ended before {wanted}: {self.process.communicate()[0]}")
            return (self.work / "halted").exists() if halted else self.phase == wanted

        wait_until(there, timeout=120, interval=0.003, what=f"the session to be {wanted}")
        if wanted is Phase.BUILDING and not halted:
            wait_until(self.keepers, timeout=60, interval=0.01, what="the keeper of its lab")
        self.look()

    def goes_on(self) -> None:
        (self.work / "go").touch()

    def ends(self, timeout: float = 60) -> tuple[int, str]:
        """Exit code and all that it said."""
        output, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, output


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@contextmanager
def small_disk(home: Path) -> Iterator[tuple[Path, tuple[str, ...], int]]:
    """A disk of its own for ``home/work``, in a mount namespace that nobody else sees: as it is reached from here, what
    a command has to begin with to be on it, and the process that keeps it."""
    mounted = 'mount -t tmpfs -o size=600m tmpfs "$1" && echo mounted && exec cat'
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounted, "sh", str(home / "work")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeps:
        assert keeps.stdout is not None
        assert keeps.stdout.readline() == "mounted\n"
        there = ("sh", "-c", 'cd "$0" && exec "$@"', str(home / "work"))
        yield (
            Path(f"/proc/{keeps.pid}/root{home}/work"),
            ("nsenter", "--mount", f"--target={keeps.pid}", *there),
            keeps.pid,
        )
        keeps.communicate()


def fill(work: Path, keeps: int) -> None:
    """From now on nothing more fits on the disk: it is made as small as what is on it."""
    used = os.statvfs(work)
    size = (used.f_blocks - used.f_bfree) * used.f_frsize
    where = str(work).removeprefix(f"/proc/{keeps}/root")
    subprocess.run(["nsenter", "--mount", f"--target={keeps}", "mount", "-o", f"remount,size={size}", where],
                   check=True, timeout=10)  # fmt: skip


@contextmanager
def session(
    home: Path,
    *,
    halt_at: Phase | None = None,
    work: Path | None = None,
    prefix: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
) -> Iterator[Child]:
    """``prefix`` runs before the interpreter; ``more`` are further arguments of pytest."""
    work = work or home / "work"
    (home / "tmp").mkdir()
    _link_tools(home / "bin")
    (work / "test_loads.py").write_text(TEST)
    (work / "conftest.py").write_text(CONFTEST)
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:sugar", "-q",
            "-ra", "--lab-topology", "chain-lan", "--lab-sut", "stamp", "--lab-strict", "--lab-run-dir", "runs",
            "--rootdir", ".", "test_loads.py", *more]  # fmt: skip
    wanted = {
        "HALT_AT": str(halt_at or ""),
        "TMPDIR": str(home / "tmp"),
        "PATH": str(home / "bin"),
        "PYTEST_ADDOPTS": "-p no:hypothesispytest",
    }
    process = subprocess.Popen(
        [*prefix, *argv], cwd=home if prefix else work, env=os.environ | wanted, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    child = Child(process, home, work)
    try:
        yield child
    finally:
        for pid in {process.pid, *machine.descendants(process.pid)}:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        process.wait(timeout=10)
        assert process.stdout is not None
        process.stdout.close()


def _link_tools(folder: Path) -> None:
    folder.mkdir()
    for each in os.environ["PATH"].split(":"):
        for tool in Path(each).glob("*") if Path(each).is_dir() else ():
            if not (folder / tool.name).is_symlink():
                (folder / tool.name).symlink_to(tool)
