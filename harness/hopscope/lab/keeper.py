"""The keeper: what a lab hangs on. Run by path as ``python -I -S keeper.py``, standard library alone.

The process unshares PID and mount namespace (and user namespace when not root) and forks PID 1 of them. PID 1 makes
the anonymous network namespaces, holds them open as file descriptors, starts the builder, and then waits for the end
of its standard input, the life-line. Whoever holds the write end keeps the lab; when it is gone, by whatever death,
PID 1 exits and the kernel takes processes, namespaces, links, nft and tc with it.

Conversation, one JSON document a line: the keeper says ``{"keeper": PID, "own_user_namespace": BOOL}``; it is told
``{"namespaces": [NAME...], "builder": [ARG...]}`` and says ``{"namespaces": {NAME: FD}}``; after that the builder has
the pipes and the keeper only watches for the hang-up. Any failure is said as ``{"error": TEXT}``.
"""

import ctypes
import json
import os
import select
import signal
import sys

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 1 << 14, 1 << 18
LIFE_LINE = 0

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def unshare(flags: int, what: str) -> None:
    check(libc.unshare(flags), f"unshare {what}")


def say(message: dict[str, object]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def read_line() -> bytes:
    """One line of standard input, byte by byte: what follows belongs to the builder. Empty at the end of the pipe."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(LIFE_LINE, 1)
        if not byte:
            return b""
        line += byte
    return line


def enter_new_world() -> bool:
    """New mount and PID namespaces for what is forked from here; without privilege (a plain user, or root of a
    container) inside a user namespace of our own. Returns whether it came to that."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        try:
            unshare(CLONE_NEWNS | CLONE_NEWPID, "mount and PID namespace")
        except PermissionError:
            pass
        else:
            return False
    unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID, "user, mount and PID namespace")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        try:
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        except OSError as error:
            raise OSError(error.errno, f"write {text!r} to /proc/self/{name}: {error.strerror}") from error
    return True


def mount_proc() -> None:
    """A /proc of this PID namespace, seen by nobody outside."""
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "make mounts private")
    check(libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None), "mount /proc")


def new_namespaces(names: list[str]) -> dict[str, int]:
    """One network namespace per name, each held by a descriptor. The keeper itself ends in one that is nobody's."""
    held = {}
    for name in names:
        unshare(CLONE_NEWNET, "network namespace")
        held[name] = os.open("/proc/self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET, "network namespace")
    return held


def start_builder(argv: list[str]) -> None:
    """The builder inherits both pipes; this process lets go of the answering one. An empty list is none."""
    if os.fork() == 0:
        os.execv(argv[0], argv)  # noqa: S606
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def watch() -> None:
    """Reap whatever ends, until the life-line hangs up."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    poller = select.poll()
    poller.register(LIFE_LINE, 0)  # only the hang-up, which is always reported: the data is the builder's
    poller.register(read, select.POLLIN)
    while True:
        reap()
        for fd, _ in poller.poll():
            if fd == LIFE_LINE:
                return
            os.read(read, 4096)


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def init() -> None:
    """PID 1 of the lab."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plan = read_line()
    if not plan:
        return
    try:
        request = json.loads(plan)
        mount_proc()
        say({"namespaces": new_namespaces(request["namespaces"])})
        if request["builder"]:
            start_builder(request["builder"])
    except OSError as error:
        say({"error": str(error)})
        return
    watch()


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the harness's: it closes the life-line
    try:
        own_user_namespace = enter_new_world()
        child = os.fork()
    except OSError as error:
        say({"error": str(error)})
        return 1
    if child == 0:
        try:
            init()
        finally:
            os._exit(0)
    say({"keeper": child, "own_user_namespace": own_user_namespace})
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
