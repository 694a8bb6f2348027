"""The rewriters' own rules: a pure core, the standard library alone, Python 3.9."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import hopscope_nic

ROOT = Path(hopscope_nic.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
IMPURE = {"socket", "subprocess", "select", "os", "time", "signal", "ctypes", "threading"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file(path):
    ast.parse(path.read_text(), feature_version=(3, 9))
    names = imported(path)
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names) | {"hopscope_nic"}
    if path.parent.name == "core":
        assert not names & IMPURE
        assert not any(name.startswith("hopscope_nic.io") for name in names)
    assert len(path.read_text().splitlines()) < 400
    assert "from __future__ import annotations" in path.read_text() or path.name == "__init__.py"
