"""The guardian of one session's lease of a host. Run on the host by path, standard library, Python >= 3.9:

    python3 -I -S guardian.py LOCK UNDO TTL_S OWNER...

It holds the lock file LOCK, which has OWNER in it, for as long as the session has the host. It says ``{"event":
"held"}`` once it does; where another session does, it names that one and exits with 3. Signals: USR1 is a sign of life,
USR2 the end of the lease, the host being as it was found. When its connection ends without that, or no sign of life has
come for TTL_S seconds, it brings the host back by itself: the connection's processes end with it, then the commands in
the file UNDO are run, the last one first (JSON, one a line: ``{"argv": [...], "stdin": TEXT}``), and the
session's scratch directory, the folder of UNDO, is removed. What could not be done is in LOCK.log.

It is two processes: one that the connection can end, and one in a session of its own that learns of that by a pipe.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

ALIVE, RELEASED = b"a", b"r"
COMMAND_SECONDS = 10.0


def take(path: str, owner: str) -> int:
    """The descriptor that holds the lock. SystemExit(3) where another process does."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(json.dumps({"event": "taken", "by": os.read(lock, 1000).decode(errors="replace")}), flush=True)
        raise SystemExit(3) from None
    os.ftruncate(lock, 0)
    os.write(lock, owner.encode())
    return lock


def connection() -> int:
    """The process of the SSH server that this session runs under, the nearest sshd above us; 0 where there is none."""
    pid = os.getppid()
    while pid > 1:
        with open(f"/proc/{pid}/stat") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
        if name.startswith("sshd"):
            return pid
        pid = int(rest.split()[1])
    return 0


def watch(pipe: int, seconds: float) -> str:
    """Why the lease has ended: ``released``, or in words why nobody released it."""
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return f"no sign of life for {seconds:g} s"
        if select.select([pipe], [], [], left)[0]:
            data = os.read(pipe, 4096)
            if RELEASED in data:
                return "released"
            if not data:
                return "its connection has ended"
            deadline = time.monotonic() + seconds


def restore(undo: str) -> list[str]:
    """Run the commands, the last one first. What could not be undone, in words."""
    try:
        with open(undo) as file:
            commands = [json.loads(line) for line in file if line.endswith("\n")]
    except OSError:
        return []
    failed = []
    for command in reversed(commands):
        try:
            subprocess.run(
                command["argv"],
                input=command["stdin"].encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=COMMAND_SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            failed.append(f"{' '.join(command['argv'])}: {error}")
    return failed


def guard(pipe: int, lock: str, undo: str, seconds: float, above: int) -> None:
    """The process that outlives the connection."""
    os.setsid()
    why = watch(pipe, seconds)
    if why == "released":
        os.unlink(lock)
        return
    if above:
        with suppress(ProcessLookupError):
            os.kill(above, signal.SIGKILL)  # what was started through it has its life-line there
    failed = restore(undo)
    shutil.rmtree(os.path.dirname(undo), ignore_errors=True)
    with open(f"{lock}.log", "w") as log:
        log.write("\n".join([f"{time.strftime('%Y-%m-%d %H:%M:%S')} lease ended: {why}", *failed, ""]))
    os.unlink(lock)


def main() -> int:
    path, undo, seconds, *owner = sys.argv[1:]
    take(path, " ".join(owner))
    read, write = os.pipe()
    above = connection()
    if os.fork() == 0:
        os.close(write)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        guard(read, path, undo, float(seconds), above)
        return 0
    os.close(read)
    signal.signal(signal.SIGUSR1, lambda number, frame: os.write(write, ALIVE) and None)
    ended = []
    signal.signal(signal.SIGUSR2, lambda number, frame: ended.append(os.write(write, RELEASED)))
    print(json.dumps({"event": "held"}), flush=True)
    while not ended:
        signal.pause()
    os.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
