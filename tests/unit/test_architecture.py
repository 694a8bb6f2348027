"""The arrows of docs/architecture.md, proven from the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import hopscope

ROOT = Path(hopscope.__file__).parent
NIC = ROOT.parents[1] / "nic" / "hopscope_nic"

# From the ground up. A room may import rooms on lower levels, and those named as its neighbours on its own level.
LEVELS = [
    {"errors"},
    {"model"},
    {"wire", "data", "draw"},
    {"checks"},
    {"run", "hosts"},
    {"lab"},
    {"capture", "traffic", "aws"},
    {"providers"},
    {"report"},
    {"lastmile", "page"},
    {"commands"},
    {"cli", "plugin", "__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
NEIGHBOURS = {("__main__", "cli")}

PURE = {"model", "wire", "checks", "draw"}
IMPURE_MODULES = {"subprocess", "socket", "pytest", "asyncio", "pyroute2", "scapy", "pyshark", "boto3", "botocore"}


@cache
def imports(file: Path) -> frozenset[str]:
    """Absolute dotted names of all that a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def room(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "hopscope" and len(parts) > 1 else None


FILES = sorted(ROOT.rglob("*.py"))


def test_arrows_point_down() -> None:
    assert [told for file in FILES for told in upward(file)] == []


def upward(file: Path) -> Iterator[str]:
    """What a file imports that its room may not."""
    own = file.relative_to(ROOT).parts[0].removesuffix(".py")
    others = {name: other for name in imports(file) if (other := room(name)) not in (None, own, "__version__")}
    if own != "__init__" and own not in LEVEL:
        yield f"{own} is in no level: add it to docs/architecture.md and here"
        return
    for name, other in others.items():
        if own == "__init__" or other not in LEVEL:
            yield f"{file}: {name}"
        elif LEVEL[other] >= LEVEL[own] and (own, other) not in NEIGHBOURS:
            yield f"{file}: {own} may not import {other} ({name})"


def test_the_judge_shares_no_code_with_the_judged() -> None:
    assert [file for file in FILES if any(name.split(".")[0] == "hopscope_nic" for name in imports(file))] == []


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_rooms_do_no_io(name: str) -> None:
    for file in (ROOT / name).rglob("*.py"):
        assert not {n.split(".")[0] for n in imports(file)} & IMPURE_MODULES, file


def test_the_rewriters_core_does_no_io_and_needs_only_the_standard_library() -> None:
    for file in NIC.rglob("*.py"):
        tops = {name.split(".")[0] for name in imports(file)}
        assert "hopscope" not in tops, file
        if file.parent.name == "core":
            assert not tops & (IMPURE_MODULES | {"select", "os", "fcntl"}), file


def test_the_table_in_the_documentation_is_this_one() -> None:
    text = (ROOT.parents[1] / "docs" / "architecture.md").read_text()
    for rooms in LEVELS:
        for name in rooms - {"__main__"}:
            assert f"`{name}" in text, f"docs/architecture.md does not name {name}"
