"""docs/negative-tests.md is true: every check has its rows, and every test that is named there exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from hopscope.checks.expectation import standard
from hopscope.checks.tunnel import tunnel_checks
from support import broken, broken_tunnels

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "negative-tests.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("| ")]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)*)`", TEXT)))
CHECKS = list(dict.fromkeys([*(check.name for check in (*standard(), *tunnel_checks())), "placement"]))


@pytest.mark.parametrize("kind", ["unit", "integration"])
@pytest.mark.parametrize("check", CHECKS)
def test_every_check_has_a_negative_test_of_each_kind(check, kind):
    rows = [row for row in ROWS if row[:2] == [check, kind]]
    assert rows, f"docs/negative-tests.md has no {kind} row for {check}"
    assert all(re.search(r"`tests/" + kind, row[-1]) for row in rows)


def test_no_row_is_of_a_check_that_has_gone():
    assert {row[0] for row in ROWS if len(row) == 4 and row[1] in ("unit", "integration")} == set(CHECKS)


@cache
def functions(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_exists(name):
    file, _, function = name.partition("::")
    function = function.rpartition("::")[2]
    defined = functions(ROOT / file)
    assert not function or function in defined
    assert any(one.startswith("test_") for one in defined)


@pytest.mark.parametrize("name", sorted(broken.SUTS))
def test_a_broken_system_is_used_by_a_test(name):
    """Each is a row or a parameter of test_broken_suts, and its program is there."""
    assert f'"{name}"' in (ROOT / "tests" / "integration" / "test_broken_suts.py").read_text()
    for box in broken.SUTS[name].boxes.values():
        programs = [word.removeprefix("{host_dir}/") for word in box.argv if word.endswith(".py")]
        assert all(Path(box.files[program]).is_file() for program in programs)


def test_every_program_with_a_fault_is_a_system():
    used = {Path(word).stem for sut in broken.SUTS.values() for box in sut.boxes.values() for word in box.argv}
    programs = {path.stem for path in broken.HERE.glob("*.py")} - {"__init__", "noise"}
    assert programs <= used


@pytest.mark.parametrize("name", sorted(broken_tunnels.SUTS))
def test_a_broken_tunnel_is_used_by_a_test(name):
    assert f'"{name}"' in (ROOT / "tests" / "integration" / "test_broken_tunnels.py").read_text()
