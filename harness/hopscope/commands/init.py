"""``hopscope init``: a repository of one's own, with a lab, something on its path, and a test that passes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopscope import data
from hopscope.errors import UsageError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[Any]

FILES = {
    "README.md": "init/README.md",
    "pytest.ini": "init/pytest.ini",
    "topology.yaml": "topologies/chain.yaml",
    "mine.yaml": "init/mine.yaml",
    "tests/test_mine.py": "init/test_mine.py",
    ".gitignore": "init/gitignore",
}
"""File of the new repository, and the built-in one that it is a copy of."""


def add(commands: Subparsers) -> None:
    parser = commands.add_parser("init", help="start a repository of your own, with a test that passes")
    parser.add_argument("directory", metavar="DIR", type=Path, nargs="?", default=Path(), help="default: here")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Writes all of it or nothing: a file that is there already is never touched."""
    directory: Path = arguments.directory
    there = [name for name in FILES if (directory / name).exists() or (directory / name).is_symlink()]
    if there:
        raise UsageError(f"{directory} has {', '.join(there)} already: name a new folder, or move them away")
    try:
        for name, source in FILES.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            with (directory / name).open("x") as file:
                file.write(data.path(source).read_text())
    except OSError as error:
        raise UsageError(f"{directory}: {error.filename} cannot be written: {error.strerror}") from None
    print("\n".join(f"wrote {directory / name}" for name in FILES))
    print(f"next: {'' if directory == Path() else f'cd {directory} && '}pytest")
    return 0
