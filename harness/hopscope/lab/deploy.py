"""Python modules of ours on a host that has not our files: one zip that its interpreter imports from.

The zip has the sources and, beside each, what our interpreter compiled of it: an interpreter of the same version starts
as fast as from files, any other compiles the sources.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import py_compile
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path

from hopscope.errors import EnvironmentFault
from hopscope.hosts.executor import Executor

EPOCH = (1980, 1, 1, 0, 0, 0)  # the same sources are the same zip

#: Zips that have been copied. A host's directory is its own, and has a name that is used once.
_THERE: set[str] = set()


def modules(argv: tuple[str, ...], python: str) -> tuple[str, ...]:
    """The package that a command runs by ``-m``, where it runs our interpreter."""
    return (argv[2].partition(".")[0],) if len(argv) > 2 and argv[0] == python and argv[1] == "-m" else ()


def put_module(executor: Executor, name: str) -> str:
    """Copy a module to the host as a zip, and return its path there, for PYTHONPATH. Each state of a module has a name
    of its own and is copied once: a comparison starts the same program twenty times.

    Raises EnvironmentFault where we have no such package either.
    """
    content = zipped(name)
    place = executor.directory / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.zip"
    if str(place) not in _THERE:
        with tempfile.NamedTemporaryFile(suffix=".zip") as file:
            file.write(content)
            file.flush()
            executor.put(Path(file.name), place.name)
        _THERE.add(str(place))
    return str(place)


def zipped(name: str) -> bytes:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        raise EnvironmentFault(f"there is no package {name} here to be copied to a host")
    folder = Path(spec.origin).parent
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".py", ".o"))  # and what the kernel is given
    return _zip(folder, tuple((file, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=4)
def _zip(folder: Path, files: tuple[tuple[Path, int], ...]) -> bytes:
    """Made once for each state of the files."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive, tempfile.TemporaryDirectory() as scratch:
        for file, _ in files:
            name = str(file.relative_to(folder.parent))
            archive.writestr(zipfile.ZipInfo(name, EPOCH), file.read_bytes())
            if file.suffix != ".py":
                continue
            unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
            compiled = py_compile.compile(str(file), str(Path(scratch, "c")), dfile=name, invalidation_mode=unchecked)
            archive.writestr(zipfile.ZipInfo(f"{name}c", EPOCH), Path(str(compiled)).read_bytes())
    return whole.getvalue()
