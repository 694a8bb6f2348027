"""The SSM agent of one instance, as it really behaves; its instance is a host of a local lab.

What people trip over is kept: a command is ``sh`` on a script file, as root in /usr/bin, with an empty standard input
and neither HOME nor USER; five run at a time; a command ends when *both* its pipes are at end-of-file, so that a
background process that kept one holds it; a timeout kills its process group, which a ``setsid`` child has left;
a code of 137 reads as TimedOut, and 194 asks for a reboot after which the script runs again.
"""

from __future__ import annotations

import os
import queue
import selectors
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hopscope.hosts.netns import NetnsExecutor
from hopscope.hosts.netns_process import entered, signal_group
from hopscope.hosts.process import Process
from hopscope.hosts.ready import LogLine

WORKERS = 5
STDOUT_CHARACTERS, STDERR_CHARACTERS = 24_000, 8_000
TRUNCATED = "--output truncated--"
STOPPED, REBOOT = 137, 194
LEAST_SECONDS, MOST_SECONDS, OTHER_SECONDS = 5, 172_800, 3600
TICK_SECONDS = 0.02
ROOM = Path(__file__).with_name("room.sh")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass
class Invocation:
    """One command on one instance, with what ``GetCommandInvocation`` tells of it. Times are seconds since the epoch;
    ``code`` is -1 until it has ended."""

    command: str
    instance: str
    script: str
    working_directory: str
    execution_seconds: float
    delivery_seconds: float
    sent: float = field(default_factory=time.time)
    status: str = "Pending"
    details: str = "Pending"
    code: int = -1
    stdout: str = ""
    stderr: str = ""
    started: float | None = None
    ended: float | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        return self.ended is not None

    def end(self, status: str, details: str, code: int = -1) -> None:
        self.status, self.details, self.code, self.ended = status, details, code, time.time()
        self.done.set()


def execution_seconds(asked: str) -> float:
    """The agent's reading of ``executionTimeout``: what is no number of 5 to 172800 silently becomes an hour."""
    return int(asked) if asked.isdecimal() and LEAST_SECONDS <= int(asked) <= MOST_SECONDS else OTHER_SECONDS


def cut(text: bytes, most: int) -> str:
    """Output as the service keeps it: characters beyond ``most`` are gone, and the last say so."""
    whole = text.decode(errors="replace")
    return whole if len(whole) <= most else whole[: most - len(TRUNCATED)] + TRUNCATED


class Agent:
    """The agent on ``host``. ``reachable`` cleared is an instance that has lost its way to the service; what lies in
    ``directory / "sbin"`` is a program of this instance, before all others."""

    def __init__(self, instance: str, host: NetnsExecutor, region: str, directory: Path) -> None:
        self.instance = instance
        self.host = host
        self.reboots = 0
        self.reachable = threading.Event()
        self.reachable.set()
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._environment = ENVIRONMENT | {"AWS_SSM_INSTANCE_ID": instance, "AWS_SSM_REGION_NAME": region}
        self.room: Process = host.spawn(
            [
                *("unshare", "--mount", "--propagation", "private", "--", "sh", str(ROOM), str(directory)),
                *("sh", "-c", "echo up; exec sleep infinity"),
            ],
            name="agent",
            ready=LogLine("^up$", "stdout"),
        )
        self._queue: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(WORKERS)]
        for worker in self._workers:
            worker.start()

    def accept(self, invocation: Invocation) -> None:
        """Queue a command. It is Delayed while the instance cannot be reached."""
        self._queue.put(invocation)

    def close(self) -> None:
        for _ in self._workers:
            self._queue.put(None)
        self.room.stop(timeout=1.0)

    def _work(self) -> None:
        while (invocation := self._queue.get()) is not None:
            with suppress(OSError):  # a lab that has gone
                if self._delivered(invocation):
                    self._run(invocation)

    def _delivered(self, invocation: Invocation) -> bool:
        """False for a command that was cancelled, or was not delivered in its time."""
        while not invocation.cancelled.is_set():
            if time.time() >= invocation.sent + invocation.delivery_seconds:
                invocation.end("TimedOut", "DeliveryTimedOut")
                return False
            if self.reachable.wait(TICK_SECONDS):
                return True
            invocation.status = invocation.details = "Delayed"
        invocation.end("Cancelled", "Cancelled")
        return False

    def _run(self, invocation: Invocation) -> None:
        invocation.started = time.time()
        invocation.status = invocation.details = "InProgress"
        deadline = time.monotonic() + invocation.execution_seconds
        while True:
            why, code, out, err = self._execute(invocation, deadline)
            if code != REBOOT or why:
                break
            self.reboots += 1
        invocation.stdout, invocation.stderr = cut(out, STDOUT_CHARACTERS), cut(err, STDERR_CHARACTERS)
        if why == "cancelled":
            invocation.end("Cancelled", "Cancelled", STOPPED)
        elif why == "late" or code == STOPPED:
            invocation.end("TimedOut", "ExecutionTimedOut", STOPPED)
        elif code == 0:
            invocation.end("Success", "Success", 0)
        else:
            invocation.end("Failed", "Failed", max(code, -1))

    def _execute(self, invocation: Invocation, deadline: float) -> tuple[str, int, bytes, bytes]:
        """Why it was ended by us (or nothing), its code, and both outputs."""
        script = self.directory / f"{invocation.command}.sh"
        script.write_text(invocation.script)
        script.chmod(0o700)
        # Executed itself only for the sake of its first line: a file written a moment ago may be busy (ETXTBSY).
        shell = ("sh", "-c") if invocation.script.startswith("#!") else ("sh",)
        directory = invocation.working_directory or "/usr/bin"
        values = [f"{name}={value}" for name, value in self._environment.items()]
        child = subprocess.Popen(
            [
                *("nsenter", f"--target={self.room.pid}", "--mount", "--pid", "--net", "--"),
                *("setsid", "env", "-i", f"--chdir={directory}", *values, *shell, f"/run/agent/{script.name}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        outputs: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        try:
            why = _read(child, outputs, deadline, invocation.cancelled)
            if why and child.poll() is None:
                inside = entered(child.pid)
                if inside is not None:
                    signal_group(inside, signal.SIGKILL)
                else:
                    child.kill()
            code = child.wait()
        finally:
            for stream in (child.stdout, child.stderr):
                if stream:
                    stream.close()
            script.unlink(missing_ok=True)
        return why, STOPPED if code == -signal.SIGKILL else code, bytes(outputs[0]), bytes(outputs[1])


def _read(
    child: subprocess.Popen[bytes],
    outputs: tuple[bytearray, bytearray],
    deadline: float,
    cancelled: threading.Event,
) -> str:
    """Read both pipes to their ends. Why that was given up, or nothing."""
    assert child.stdout is not None
    assert child.stderr is not None
    with selectors.DefaultSelector() as selector:
        for stream, output in zip((child.stdout, child.stderr), outputs, strict=True):
            selector.register(stream, selectors.EVENT_READ, output)
        while selector.get_map():
            if cancelled.is_set():
                return "cancelled"
            if time.monotonic() >= deadline:
                return "late"
            for key, _ in selector.select(TICK_SECONDS):
                data = os.read(key.fd, 65536)
                key.data.extend(data)
                if not data:
                    selector.unregister(key.fileobj)
    return ""
