"""The holder: keeps the life-line of a lab that is to stay. Run by path as ``python -I -S holder.py FD DIRECTORY KEEPER
SECONDS``, standard library alone; ``FD`` is the inherited write end of the life-line.

It detaches itself, says its process id on standard output, and waits for the first of: its time is up, TERM, the end of
the lab by another hand. Then it lets go, and the kernel takes the lab; the state directory goes last. Killed by any
other means it lets go as well: the lab never outlives it.
"""

import os
import select
import shutil
import signal
import sys
import time

KEEPER_SECONDS = 10.0
LONGEST_WAIT = 3600.0  # poll(2) counts milliseconds in an int


def detach(log: str) -> None:
    """A session of its own, without a terminal, a child of nobody who could wait for it."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    os.write(1, b"%d\n" % os.getpid())
    null = os.open(os.devnull, os.O_RDWR)
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, null), (1, null), (2, errors)):
        os.dup2(source, target)


def wait(life_line: int, seconds: float) -> None:
    """Until the time is up, TERM comes, or nobody reads the life-line any more (POLLERR, which is always reported)."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    poller = select.poll()
    poller.register(life_line, 0)
    poller.register(read, select.POLLIN)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if poller.poll(min(left, LONGEST_WAIT) * 1000):
            return


def end(life_line: int, keeper: int, directory: str) -> None:
    os.close(life_line)
    poller = select.poll()
    poller.register(keeper, select.POLLIN)
    if not poller.poll(KEEPER_SECONDS * 1000):
        signal.pidfd_send_signal(keeper, signal.SIGKILL)
        poller.poll(KEEPER_SECONDS * 1000)
    shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    life_line, directory, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[4])
    keeper = os.pidfd_open(int(sys.argv[3]))
    detach(os.path.join(directory, "holder.err"))
    wait(life_line, seconds)
    end(life_line, keeper, directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
