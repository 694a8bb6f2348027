"""Jobs of one host, detached from whoever asks for them. A program of its own, run on the host by path: standard
library, Python >= 3.9, Linux. What is heavy is imported where it is needed: it is started for every question.

    python3 -I -S ssm_job.py REQUEST        base64 of one JSON object, or @FILE, a file with the object in it

Output: one line, a JSON object. ``do`` says what is asked, ``root`` is the session's directory. A job has a folder,
``root/runs/TOKEN`` (``root/jobs/TOKEN`` where it stays), with its output in ``out`` and ``err``, ``pid`` once it has
begun, and ``end`` once it has ended. It is the child of a supervisor of its own, so nothing of it hangs on the pipes of
this program: whoever reads those sees their end at once. The supervisor ends a job at its limit, and one that stays
when nobody has asked about it for too long.
"""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import sys
import time
import zlib
from contextlib import suppress
from typing import Any

TICK = 0.02
WATCH_SECONDS = 0.2
OTHERS_SECONDS = 0.25
GRACE_SECONDS = 2.0
SILENCE_SECONDS = 60
BLOCK = 1 << 20
STAYS = "stays-"


def folder(asked: dict[str, Any], token: str) -> str:
    """Those that stay are kept apart: whoever waits for news of them is not woken by every command."""
    return os.path.join(asked["root"], "jobs" if token.startswith(STAYS) else "runs", token)


def write_whole(path: str, text: str) -> None:
    with open(path + ".part", "w") as file:
        file.write(text)
    os.replace(path + ".part", path)


def load(path: str) -> dict[str, Any] | None:
    try:
        with open(path) as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return None


def alive(asked: dict[str, Any]) -> str:
    """The file whose age is how long nobody has asked."""
    path = os.path.join(asked["root"], "alive")
    with open(path, "a"):
        os.utime(path)
    return path


def kill(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def packed(path: str, offset: int, most: int) -> tuple[str, int]:
    """What a file has from ``offset``, compressed, in at most ``most`` characters of base64; and how many bytes."""
    with suppress(FileNotFoundError), open(path, "rb") as file:
        file.seek(offset)
        data = file.read(16 * most)
        while data:
            text = base64.b64encode(zlib.compress(data, 1)).decode()
            if len(text) <= most:
                return text, len(data)
            data = data[: min(len(data) // 2, len(data) * most // len(text))]
    return "", 0


# -- a job and its supervisor -----------------------------------------------------------------------------------------


def start(asked: dict[str, Any]) -> dict[str, Any]:
    for token in asked["over"]:
        forget(folder(asked, token))
    path = folder(asked, asked["token"])
    os.makedirs(path, 0o700)
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            supervise(asked, path, write)
        os._exit(0)
    os.close(write)
    os.wait()
    said = b""
    until = time.monotonic() + asked["wait"]
    while b"\n" not in said or not said.endswith(b"ended\n"):  # the pid, and then perhaps the end
        left = until - time.monotonic() if b"\n" in said else SILENCE_SECONDS
        if left <= 0 or not select.select([read], [], [], left)[0]:
            break
        data = os.read(read, 100)
        if not data:
            break
        said += data
    return tell(asked, asked["token"], (0, 0), asked["most"])


def forget(path: str) -> None:
    """The files of a job whose end is known."""
    for name in ("/out", "/err", "/pid", "/end", ".in"):
        with suppress(OSError):
            os.unlink(path + name)
    with suppress(OSError):
        os.rmdir(path)


def supervise(asked: dict[str, Any], path: str, pipe: int) -> None:
    import subprocess

    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # what is ignored here a job would ignore as well
    started = time.monotonic()
    outputs = open(path + "/out", "wb"), open(path + "/err", "wb")  # noqa: SIM115  two names are enough for Python 3.9
    with open(asked["stdin"] or os.devnull, "rb") as source, outputs[0] as out, outputs[1] as err:
        child = subprocess.Popen(asked["argv"], stdin=source, stdout=out, stderr=err, start_new_session=True, cwd="/")
    write_whole(path + "/pid", json.dumps({"pid": child.pid}))
    os.write(pipe, b"begun\n")
    why = watch(asked, path, child, started)
    if why == "unheard":
        kill(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
    if why or asked["stays"]:
        kill(child.pid, signal.SIGKILL)  # while it has not been reaped its number is nobody else's
    code = child.wait()
    sizes = {name: os.path.getsize(f"{path}/{name}") for name in ("out", "err")}
    end = {"code": code, "why": why, "seconds": time.monotonic() - started, **sizes}
    write_whole(path + "/end", json.dumps(end))
    with suppress(BrokenPipeError):
        os.write(pipe, b"ended\n")


def watch(asked: dict[str, Any], path: str, child: Any, started: float) -> str:
    """Until the job has ended. Why it has to be ended (``late``, ``output``, ``unheard``), or nothing."""
    heard = alive(asked)
    pidfd = os.pidfd_open(child.pid)
    while True:
        left = WATCH_SECONDS
        if asked["limit"] is not None:
            left = min(left, started + asked["limit"] - time.monotonic())
        if select.select([pidfd], [], [], max(0.0, left))[0]:
            return ""
        if asked["limit"] is not None and time.monotonic() >= started + asked["limit"]:
            return "late"
        if asked["stays"]:
            with suppress(FileNotFoundError):
                if time.time() - os.path.getmtime(heard) > asked["stays"]:
                    return "unheard"
        elif sum(os.path.getsize(f"{path}/{name}") for name in ("out", "err")) > asked["largest"]:
            return "output"


# -- asking about jobs ------------------------------------------------------------------------------------------------


def tell(asked: dict[str, Any], token: str, offsets: tuple[int, int], most: int) -> dict[str, Any]:
    path = folder(asked, token)
    end = load(path + "/end")  # before the sizes: what it wrote last is in them then
    answer: dict[str, Any] = {**(load(path + "/pid") or {}), "end": end}
    for name, offset in zip(("out", "err"), offsets):  # noqa: B905  (Python 3.9)
        text, count = packed(f"{path}/{name}", offset, most // 2)
        answer[name] = {"data": text, "bytes": count}
        with suppress(FileNotFoundError):
            answer[name]["size"] = os.path.getsize(f"{path}/{name}")
    return answer


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """What is new of several jobs; waits for it up to ``wait`` seconds. ``known`` are the jobs that stay and
    have ended, as the asker knows: where there are others, the wait is short, as the next question will be about those
    too."""
    alive(asked)
    began = time.monotonic()

    def news() -> bool:
        for token, offsets in asked["jobs"].items():
            path = folder(asked, token)
            if os.path.exists(path + "/end") or not os.path.isdir(path):
                return True
            if offsets is None:  # its end alone is asked for
                continue
            if [os.path.getsize(f"{path}/{name}") for name in ("out", "err")] != list(offsets):
                return True
        waited = time.monotonic() - began
        return waited >= asked["wait"] or (waited >= OTHERS_SECONDS and others(asked))

    while not news():
        select.select([], [], [], TICK)
    most = asked["most"] // max(1, len(asked["jobs"]))
    return {"jobs": {token: tell(asked, token, offsets or (0, 0), most) for token, offsets in asked["jobs"].items()}}


def others(asked: dict[str, Any]) -> bool:
    """There are jobs that stay and are not asked about."""
    with suppress(FileNotFoundError):
        known = asked["known"]
        return known is not None and not {*known, *asked["jobs"]}.issuperset(
            os.listdir(os.path.join(asked["root"], "jobs"))
        )
    return False


def send_signal(asked: dict[str, Any]) -> dict[str, Any]:
    """To the group of a job, or to its first process alone; nothing happens once it has ended."""
    path = folder(asked, asked["token"])
    begun = load(path + "/pid")
    if begun is not None and load(path + "/end") is None:
        with suppress(ProcessLookupError):
            (os.killpg if asked["group"] else os.kill)(begun["pid"], asked["signal"])
            if asked["group"] and asked["signal"] != signal.SIGKILL:
                os.killpg(begun["pid"], signal.SIGCONT)  # one that is stopped would not hear it
    return {}


def holders(asked: dict[str, Any]) -> dict[str, Any]:
    """Processes that hold a pipe open for writing, by the pipe's name (``pipe:[4711]``)."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") not in asked["pipes"]:
                    continue
                with open(f"/proc/{pid}/fdinfo/{fd}") as file:
                    flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
                if flags & os.O_ACCMODE != os.O_RDONLY:
                    with open(f"/proc/{pid}/cmdline") as file:
                        found[pid] = file.read().replace("\0", " ").strip()
    return {"holders": found}


# -- files ------------------------------------------------------------------------------------------------------------


def digest(path: str) -> str:
    import hashlib

    total = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            total.update(block)
    return total.hexdigest()


def describe(asked: dict[str, Any]) -> dict[str, Any]:
    return {"size": os.path.getsize(asked["path"]), "sha256": digest(asked["path"])}


def read(asked: dict[str, Any]) -> dict[str, Any]:
    text, count = packed(asked["path"], asked["offset"], asked["most"])
    return {"data": text, "bytes": count}


def write(asked: dict[str, Any]) -> dict[str, Any]:
    """A piece of a file; the last one has its hash and mode, and puts it in its place."""
    os.makedirs(os.path.dirname(asked["path"]), exist_ok=True)
    part = asked["path"] + ".part"
    with open(part, "ab" if asked["offset"] else "wb") as file:
        if file.tell() != asked["offset"]:
            raise OSError(f"{file.tell()} bytes are there, and the next are {asked['offset']}")
        file.write(zlib.decompress(base64.b64decode(asked["data"])))
    return place(asked, part) if "sha256" in asked else {}


def place(asked: dict[str, Any], part: str) -> dict[str, Any]:
    seen = digest(part)
    if seen != asked["sha256"]:
        os.unlink(part)
        raise OSError(f"sha256 is {seen}, and should be {asked['sha256']}")
    os.chmod(part, asked["mode"])
    os.replace(part, asked["path"])
    return {}


def fetch(asked: dict[str, Any]) -> dict[str, Any]:
    """A file from a URL that was signed for it."""
    from urllib.request import urlopen

    os.makedirs(os.path.dirname(asked["path"]), exist_ok=True)
    part = asked["path"] + ".part"
    with urlopen(asked["url"], timeout=SILENCE_SECONDS) as source, open(part, "wb") as file:  # noqa: S310
        for block in iter(lambda: source.read(BLOCK), b""):
            file.write(block)
    return place(asked, part)


def send(asked: dict[str, Any]) -> dict[str, Any]:
    """The first ``size`` bytes of a file in parts, each to a URL that was signed for it. Their tags."""
    import hashlib
    from urllib.request import Request, urlopen

    tags = []
    total = hashlib.sha256()
    left = asked["size"]
    with open(asked["path"], "rb") as file:
        for url in asked["urls"]:
            data = file.read(min(asked["part"], left))
            left -= len(data)
            total.update(data)
            request = Request(url, data, {"Content-Type": ""}, method="PUT")  # noqa: S310
            with urlopen(request, timeout=SILENCE_SECONDS) as answer:  # noqa: S310
                tags.append(answer.headers["ETag"])
    return {"tags": tags, "sha256": total.hexdigest()}


ASKED = {
    "start": start,
    "look": look,
    "signal": send_signal,
    "holders": holders,
    "describe": describe,
    "read": read,
    "write": write,
    "fetch": fetch,
    "send": send,
}


def main() -> None:
    given = sys.argv[1]
    if given.startswith("@"):
        with open(given[1:]) as file:
            asked = json.load(file)
        os.unlink(given[1:])
    else:
        asked = json.loads(base64.b64decode(given))
    try:
        answer = ASKED[asked["do"]](asked)
    except OSError as error:
        answer = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
