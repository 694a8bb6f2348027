"""Code blocks of the documentation: files that a page shows, commands that it tells the reader to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\S+)\n")
_ENDS = re.compile(r"#.*\bends with (\d+)")


@dataclass(frozen=True)
class Block:
    """A fenced block. Its first line may name the file that it is: ``# NAME``."""

    page: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        named = _FILE.match(self.text)
        return named[1] if named and self.language in ("python", "yaml") else None

    @property
    def commands(self) -> list[Command]:
        return list(commands(self.page, self.line + 1, self.text)) if self.language == "sh" else []

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One line that a reader types. ``ends`` is the exit code that its comment names, else 0."""

    page: str
    line: int
    argv: tuple[str, ...]
    ends: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {shlex.join(self.argv)}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(page.name, text.count("\n", 0, one.start()) + 1, one[1], one[2]) for one in _FENCED.finditer(text)]


def commands(page: str, line: int, text: str) -> Iterator[Command]:
    """The lines of ``text`` as commands; ``line`` is the number of its first."""
    for number, typed in enumerate(text.splitlines(), line):
        ends = _ENDS.search(typed)
        for part in typed.split(" && "):
            words = shlex.split(part, comments=True)
            argv = tuple(takewhile(lambda word: word not in ("|", ">"), words))
            if argv:
                yield Command(page, number, argv, int(ends[1]) if ends else 0)
