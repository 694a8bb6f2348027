"""Where built-in data is: in a checkout below ``fixtures/``, in a wheel below ``hopscope/_fixtures/``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from hopscope.errors import UsageError
from hopscope.model.document import load_sut, load_topology
from hopscope.model.sut import Sut
from hopscope.model.topology import Topology, suggestion

_PACKAGE = Path(__file__).resolve().parent
_ROOTS = (_PACKAGE / "_fixtures", _PACKAGE.parents[1] / "fixtures")


def path(name: str) -> Path:
    """The built-in file or folder ``name`` ("topologies/chain.yaml"). UsageError when there is none."""
    for root in _ROOTS:
        if (root / name).exists():
            return root / name
    kind = Path(name).parent
    near = [str(kind / each) for root in _ROOTS for each in _names(root / kind)]
    raise UsageError(f"no built-in {name}{suggestion(name, near)}")


def find(
    kind: str,
    name: str,
    *,
    beside: Path | None = None,
    root: Path | None = None,
    folders: Iterable[Path] = (),
    known: Iterable[str] = (),
) -> Path:
    """The YAML file that ``name`` means: a path, a file beside the asker, at the root, or a built-in of this kind.

    ``name`` may lack its ``.yaml``. UsageError names the nearest built-in, or the nearest of what else is ``known``.
    """
    names = [name] if Path(name).suffix in (".yaml", ".yml") else [f"{name}.yaml", f"{name}.yml"]
    for folder in (Path.cwd(), beside, root, *folders):
        for each in names:
            candidate = folder / each if folder is not None else None
            if candidate is not None and candidate.is_file():
                return candidate
    for each in names:
        for base in _ROOTS:
            if (base / kind / each).is_file():
                return base / kind / each
    there = sorted({Path(each).stem for base in _ROOTS for each in _names(base / kind)} | set(known))
    beside_us = {Path(each).stem for folder in (Path.cwd(), *folders) for each in _names(folder / Path(name).parent)}
    there += difflib.get_close_matches(Path(name).stem, beside_us - set(there))
    raise UsageError(f"no {kind} file {name!r}{suggestion(Path(name).stem, there)}")


def topology(name: str, *, beside: Path | None = None, root: Path | None = None) -> Topology:
    """The topology of a file or built-in name."""
    return load_topology(find("topologies", name, beside=beside, root=root))


def sut(name: str, topology: Topology | None = None, *, folders: Iterable[Path] = ()) -> Sut:
    """The SUT of this name: of the topology's own, of a file (here or in ``folders``), or built in."""
    own = {} if topology is None else topology.suts
    if name in own:
        return own[name]
    return load_sut(find("suts", name, folders=folders, known=own))


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.suffix in (".yaml", ".yml")) if folder.is_dir() else []
