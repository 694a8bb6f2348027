"""What exactly ran: path, hash and git revision of the files that a result is about."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hopscope.errors import ToolMissing
from hopscope.hosts.executor import Executor

_GIT_S = 5.0
_HASH_S = 30.0


def identify(path: Path) -> dict[str, Any]:
    """Absolute path and sha256 of a file, and the revision of the checkout that it lies in, if it lies in one.

    ``git`` has ``+`` behind it where the file is not as it was committed. Empty where the file cannot be read.
    """
    try:
        status = path.stat()
        return dict(_identify(path.absolute(), status.st_mtime_ns, status.st_size))
    except OSError:
        return {}


def program(name: str, host: Executor) -> dict[str, Any]:
    """The program that a command word means on a host."""
    if not host.here:
        path = host.run(["sh", "-c", 'readlink -f "$(command -v "$1")"', "sh", name], check=False).text
        return _there([path], host).get(path, {}) if path else {}
    path = shutil.which(name) or ""
    return identify(Path(path)) if path else {}


def module(argv: Sequence[str], host: Executor) -> dict[str, Any]:
    """The package that Python runs by ``-m``, see ``package``; empty where a command is no such thing."""
    if len(argv) < 3 or argv[0] != host.python or argv[1] != "-m":
        return {}
    return package(argv[2])


def package(name: str) -> dict[str, Any]:
    """A Python package: its folder here, one hash over all its sources, its revision. A host that is not this machine
    runs a copy. Empty where there is none of this name."""
    spec = find_spec(name.partition(".")[0])
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.origin).parent
    whole = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        status = file.stat()
        whole.update(f"{file.relative_to(folder)} {_sha256(file, status.st_mtime_ns, status.st_size)}\n".encode())
    facts = {"name": name, "path": str(folder), "sha256": whole.hexdigest()}
    revision = _checkout(folder, facts["sha256"])
    return facts | ({"git": revision} if revision else {})


def checkout(folder: Path, host: Executor | None = None) -> str | None:
    """The revision of the checkout that a folder lies in, ``+`` behind it where a file of it has changed."""
    if host is not None and not host.here:
        return _checkout_there(folder, host)
    if not _git(folder, "ls-files", "--", "."):
        return None
    return _marked(folder, ".")


def scripts(words: Iterable[str], host: Executor) -> dict[str, dict[str, Any]]:
    """Arguments that are absolute paths of files: what an interpreter runs, and what a program is configured by."""
    found = {word: Path(word) for word in words if word.startswith("/")}
    if not host.here:
        return _there(list(found), host)
    return {word: identify(path) for word, path in found.items() if path.is_file()}


def _there(paths: Sequence[str], host: Executor) -> dict[str, dict[str, Any]]:
    """Path and sha256 of those that are files of a host."""
    lines = host.run(["sha256sum", "--", *paths], timeout=_HASH_S, check=False).text.splitlines() if paths else []
    pairs = (line.split(maxsplit=1) for line in lines if not line.startswith("\\"))
    return {path: {"path": path, "sha256": digest} for digest, path in pairs}


def _checkout_there(folder: Path, host: Executor) -> str | None:
    git = ["git", "-C", str(folder), "-c", "safe.directory=*"]
    try:
        revision = host.run([*git, "rev-parse", "HEAD"], check=False)
        changed = host.run([*git, "status", "--porcelain", "--", "."], check=False)
    except ToolMissing:
        return None
    return revision.text + ("+" if changed.text else "") if revision.returncode == 0 else None


@lru_cache(maxsize=32)
def _checkout(folder: Path, content: str) -> str | None:
    """``checkout``, asked once for each content of the folder."""
    return checkout(folder)


@lru_cache(maxsize=256)
def _identify(path: Path, mtime_ns: int, size: int) -> tuple[tuple[str, Any], ...]:
    """Kept for as long as the file does not change: a comparison starts the same program twenty times."""
    facts: dict[str, Any] = {"path": str(path), "sha256": _sha256(path, mtime_ns, size)}
    revision = _revision(path.resolve())
    return tuple((facts | ({"git": revision} if revision else {})).items())


@lru_cache(maxsize=256)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _revision(path: Path) -> str | None:
    """The revision of a tracked file's checkout; None for what is not tracked, or where there is no git."""
    if _git(path.parent, "ls-files", "--error-unmatch", "--", path.name) is None:
        return None
    return _marked(path.parent, path.name)


def _marked(folder: Path, name: str) -> str | None:
    revision = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--", name)
    return None if not revision else revision + ("+" if changed else "")


def _git(folder: Path, *words: str) -> str | None:
    # A checkout of another user is only read here, so git's refusal of those ("dubious ownership") does not concern us.
    argv = ["git", "-C", str(folder), "-c", "safe.directory=*", *words]
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=_GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
