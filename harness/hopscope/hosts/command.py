"""Run one local command to its end: all output, one deadline, and no waiting for what it left behind."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

CHUNK = 65536
DRAIN_SECONDS = 0.2
OUTPUT_LIMIT = 256 * 1024 * 1024
"""Bytes of output at which a command counts as run away; a capture is fetched as a file, never through a pipe."""


@dataclass
class Outcome:
    """How a command ended. ``returncode`` is None when it was killed: at the deadline, or at the output limit."""

    returncode: int | None = None
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    seconds: float = 0.0


def complete(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str],
    stdin: bytes | None,
    kill: Callable[[int], None],
) -> Outcome:
    """Run ``argv`` as a session of its own until it exits, or ``timeout`` seconds have passed.

    ``kill`` is given the child's process id and must end all of it. The end is the exit of the child, not the end of
    its output: a background grandchild may keep the pipes open for ever. What was written before the exit is in the
    pipe by then, so reading until it is empty loses nothing.
    """
    outcome = Outcome()
    started = time.monotonic()
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        start_new_session=True,
        bufsize=0,
    )
    try:
        if _pump(child, outcome, stdin, started + timeout):
            outcome.returncode = child.wait()
    finally:
        if child.poll() is None:
            kill(child.pid)
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream:
                stream.close()
    outcome.seconds = time.monotonic() - started
    return outcome


def _pump(child: subprocess.Popen[bytes], outcome: Outcome, stdin: bytes | None, deadline: float) -> bool:
    """Move bytes until the child has exited. False when the deadline or the output limit came first."""
    assert child.stdout is not None
    assert child.stderr is not None
    sinks = {child.stdout.fileno(): outcome.stdout, child.stderr.fileno(): outcome.stderr}
    pending = memoryview(stdin or b"")
    pidfd = os.pidfd_open(child.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pidfd, selectors.EVENT_READ)
            for fd in sinks:
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            if child.stdin:
                os.set_blocking(child.stdin.fileno(), False)
                selector.register(child.stdin, selectors.EVENT_WRITE)
            while True:
                events = selector.select(max(0.0, deadline - time.monotonic()))
                ready = {key.fd for key, _ in events}
                for fd in ready & sinks.keys():
                    if not _read(fd, sinks[fd]):
                        selector.unregister(fd)
                        del sinks[fd]
                if child.stdin and not child.stdin.closed and child.stdin.fileno() in ready:
                    pending = _write(child.stdin.fileno(), pending)
                    if not pending:
                        selector.unregister(child.stdin)
                        child.stdin.close()
                if pidfd in ready:
                    _drain(sinks)
                    return True
                if time.monotonic() >= deadline or len(outcome.stdout) + len(outcome.stderr) > OUTPUT_LIMIT:
                    return False
    finally:
        os.close(pidfd)


def _read(fd: int, sink: bytearray) -> bool:
    """One read; False at end-of-file."""
    try:
        data = os.read(fd, CHUNK)
    except BlockingIOError:
        return True
    sink += data
    return bool(data)


def _write(fd: int, pending: memoryview) -> memoryview:
    """Write what fits; the rest is returned, nothing when the reader is gone."""
    try:
        return pending[os.write(fd, pending[:CHUNK]) :]
    except BlockingIOError:
        return pending
    except BrokenPipeError:
        return memoryview(b"")


def _drain(sinks: dict[int, bytearray]) -> None:
    """Empty the pipes of a child that has exited; bounded, as a grandchild may go on writing into them."""
    until = time.monotonic() + DRAIN_SECONDS
    for fd, sink in sinks.items():
        size = -1
        while len(sink) != size and time.monotonic() < until:
            size = len(sink)
            _read(fd, sink)
