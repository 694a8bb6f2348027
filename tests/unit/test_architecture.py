"""The arrows of docs/architecture.md, proven from the imports."""

from __future__ import annotations

import ast
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


def imports(file: Path) -> set[str]:
    """Absolute dotted names of all that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "hopscope" and len(parts) > 1 else None


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_arrows_point_down(file: Path) -> None:
    own = file.relative_to(ROOT).parts[0].removesuffix(".py")
    if own == "__init__":
        assert not {room(name) for name in imports(file)} - {None}
        return
    assert own in LEVEL, f"{own} is in no level: add it to docs/architecture.md and here"
    for name in imports(file):
        other = room(name)
        if other in (None, own, "__version__"):
            continue
        assert other in LEVEL, f"{file}: {name}"
        assert LEVEL[other] < LEVEL[own] or (own, other) in NEIGHBOURS, f"{own} may not import {other} ({name})"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_judge_shares_no_code_with_the_judged(file: Path) -> None:
    assert not {name for name in imports(file) if name.split(".")[0] == "hopscope_nic"}


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
