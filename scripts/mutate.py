"""Changes one thing at a time in the pure rooms `checks` and `wire`, and asks their tests whether they notice.

    python scripts/mutate.py run [--count 1000] [--seed 1] [--minutes M]   # goes on where it was ended
    python scripts/mutate.py again [--wide]          # what nobody noticed: by today's tests, or by all of both rooms
    python scripts/mutate.py report                  # score, and the mutants that nobody noticed

Each mutant runs in a process forked from one that has imported all but those rooms, with the tests of its
module, until one fails; more than its time is a failure too. Results are lines of JSON in `.hopscope/mutants/`.
Mutants that change nothing that anybody could see are listed in `tests/equivalent_mutants.txt`, each with its reason,
and do not count.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "harness" / "hopscope"
ROOMS = ("checks", "wire")
RESULTS = ROOT / ".hopscope" / "mutants"
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.txt"
TESTS = ("tests/unit/checks", "tests/unit/wire")
CPU_SECONDS = 60
#: For a mutant that waits for ever. Its own clock is the processor's: the machine may be busy.
SECONDS = 600
MEMORY = 6 * 2**30

#: Imported before the fork. Nothing of it imports the rooms.
IMPORTED = ("numpy", "yaml", "pydantic", "hypothesis", "hopscope.errors", "hopscope.model.topology", "hopscope.data")

COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
BINARY = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True)
class Site:
    """One change: ``number`` counts the nodes of the module in the order of a walk."""

    module: str
    number: int
    operator: str
    line: int
    where: str
    before: str

    @property
    def key(self) -> str:
        """The same for as long as the function keeps this piece of code, wherever it stands."""
        return f"{self.module} | {self.where} | {self.before} | {self.operator}"


def _operator(node: ast.AST) -> str | None:
    """How a node is changed, or None."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARE:
            return f"{type(op).__name__} to {COMPARE[type(op)].__name__}"
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in BINARY:
            return f"{type(op).__name__} to {BINARY[type(op)].__name__}"
        case ast.BoolOp(op=op):
            return "And to Or" if isinstance(op, ast.And) else "Or to And"
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub()):
            return "unary gone"
        case ast.Constant(value=bool()):
            return "other truth"
        case ast.Constant(value=int()):
            return "one more"
        case ast.IfExp():
            return "branches swapped"
        case ast.If() | ast.While():
            return "condition negated"
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Continue() | ast.Break():
            return "statement gone"
    return None


def changed(node: Any) -> ast.AST:
    """The node that stands in the place of one that ``_operator`` names. The node itself is not kept."""
    match node:
        case ast.Compare():
            node.ops = [COMPARE[type(node.ops[0])]()]
        case ast.BinOp() | ast.AugAssign():
            node.op = BINARY[type(node.op)]()
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.UnaryOp():
            return ast.copy_location(node.operand, node)
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant():
            node.value += 1
        case ast.IfExp():
            node.body, node.orelse = node.orelse, node.body
        case ast.If() | ast.While():
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
        case _:
            return ast.copy_location(ast.Pass(), node)
    return node


def walk(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    """Every node that is code, with its parent and the names of what it is in; annotations, docstrings and the texts of
    f-strings are none."""

    def visit(node: ast.AST, where: str) -> Iterator[tuple[ast.AST, ast.AST, str]]:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_comment", "format_spec"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, ast.AST) or isinstance(child, ast.Import | ast.ImportFrom):
                    continue
                within = where
                if isinstance(child, ast.FunctionDef | ast.ClassDef):
                    within = f"{where}.{child.name}".lstrip(".")
                yield child, node, within
                yield from visit(child, within)

    yield from visit(tree, "")


def sites(module: str) -> list[Site]:
    source = file_of(module).read_text()
    lines = source.encode().splitlines()
    found = []
    for number, (node, _, where) in enumerate(walk(ast.parse(source))):
        if (operator := _operator(node)) is not None:
            before = " ".join(_segment(lines, node).split())
            shown = before.partition(":")[0] if isinstance(node, ast.If | ast.While) else before
            line: int = node.lineno  # type: ignore[attr-defined]
            found.append(Site(module, number, operator, line, where or "-", shown[:90]))
    return found


def _segment(lines: list[bytes], node: Any) -> str:
    """The source of a node; ``ast.get_source_segment`` splits the whole file for each."""
    piece = lines[node.lineno - 1 : node.end_lineno]
    piece[-1] = piece[-1][: node.end_col_offset]
    piece[0] = piece[0][node.col_offset :]
    return b"\n".join(piece).decode()


def mutated(site: Site) -> CodeType:
    file = file_of(site.module)
    tree = ast.parse(file.read_text())
    node, parent, _ = next(each for number, each in enumerate(walk(tree)) if number == site.number)
    for name, value in ast.iter_fields(parent):
        if isinstance(value, list) and any(each is node for each in value):
            value[next(index for index, each in enumerate(value) if each is node)] = changed(node)
            break
        if value is node:
            setattr(parent, name, changed(node))
            break
    return compile(ast.fix_missing_locations(tree), str(file), "exec")


def file_of(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")


def modules() -> list[str]:
    return [
        f"hopscope.{room}.{file.stem}"
        for room in ROOMS
        for file in sorted((PACKAGE / room).glob("*.py"))
        if file.stem != "__init__"
    ]


# -- which tests are asked


#: Whole traces through all checks: they are asked about every module.
COMMON = ("tests/unit/checks/test_golden.py", "tests/unit/checks/test_mutations.py")


@cache
def _imported_by(file: Path) -> frozenset[str]:
    """Dotted names of what a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def tests_of(module: str, *, wide: bool) -> list[str]:
    """Test files in the order in which they are asked: the module's own, those that import it, those of modules that
    import it, those of whole traces; ``wide`` are all of both rooms, for what survived those."""
    files = [file for folder in TESTS for file in sorted((ROOT / folder).glob("test_*.py"))]
    own = f"test_{module.rpartition('.')[2]}.py"
    users = {f"test_{each.rpartition('.')[2]}.py" for each in modules() if module in _imported_by(file_of(each))}
    near = [file for file in files if file.name in {own, *users} or module in _imported_by(file)]
    named = [str(file.relative_to(ROOT)) for file in sorted(near, key=lambda file: file.name != own)]
    more = [str(file.relative_to(ROOT)) for file in files] if wide else list(COMMON)
    return list(dict.fromkeys([*named, *more]))


# -- running mutants


class Instead:
    """Finds one module, as a mutant."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self._site.module:
            return None
        code = mutated(self._site)

        class Loader(importlib.machinery.SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                return code

        file = str(file_of(name))
        return importlib.util.spec_from_file_location(name, file, loader=Loader(name, file))


def judge(site: Site | None, tests: list[str]) -> tuple[str, str]:
    """What became of a mutant: ``killed``, ``timeout``, ``survived``; and the test that noticed. None is no mutant."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _become(site, tests, write)
    os.close(write)
    deadline = time.monotonic() + SECONDS
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(read)
            return "timeout", ""
        time.sleep(0.02)
    with os.fdopen(read) as said:
        state, _, by = said.read().partition(" ")
    if state.startswith("broken"):
        raise RuntimeError(f"pytest ended with {state} and no test had failed: {site}")
    return state or ("timeout" if ended[1] in (signal.SIGXCPU, signal.SIGKILL) else "killed"), by


def _become(site: Site | None, tests: list[str], write: int) -> None:
    import pytest

    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    os.environ["HYPOTHESIS_PROFILE"] = "default"
    if site is not None:
        sys.meta_path.insert(0, Instead(site))  # type: ignore[arg-type]

    class Noticed:
        by = ""

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                self.by = self.by or report.nodeid

        pytest_collectreport = pytest_runtest_logreport

    noticed = Noticed()
    argv = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "--timeout", "0",
            "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]  # fmt: skip
    code = pytest.main(argv, plugins=[noticed])
    state = "survived" if code == pytest.ExitCode.OK else "killed" if noticed.by else f"broken:{code}"
    os.write(write, f"{state} {noticed.by}".encode())
    os._exit(0)


def run(count: int, seed: int, minutes: float, *, again: bool = False, wide: bool = False) -> int:
    """Judge what has not been judged yet; ``again`` what nobody noticed as well."""
    for name in ("pytest", "_pytest.assertion.rewrite", *IMPORTED):
        importlib.import_module(name)
    assert not [name for name in sys.modules if name.startswith(tuple(f"hopscope.{room}" for room in ROOMS))]
    os.chdir(ROOT)
    RESULTS.mkdir(parents=True, exist_ok=True)
    known, file = equivalents(), RESULTS / f"seed-{seed}.jsonl"
    latest = {(each["key"], each["number"]): each["state"] for each in results(file)}
    ends = time.monotonic() + minutes * 60
    if (whole := judge(None, [*COMMON])) != ("survived", ""):
        raise RuntimeError(f"without any mutant: {whole}")
    for site in sample(count, seed):
        state = latest.get((site.key, site.number))
        if site.key in known or (state != "survived" if again else state is not None):
            continue
        if time.monotonic() > ends:
            break
        began = time.monotonic()
        state, by = judge(site, tests_of(site.module, wide=wide))
        told = {"key": site.key, **asdict(site), "state": state, "by": by}
        with file.open("a") as out:
            out.write(json.dumps(told | {"seconds": round(time.monotonic() - began, 1)}) + "\n")
    return report(count, seed)


def sample(count: int, seed: int) -> list[Site]:
    """The first of all sites in an order of chance: a larger sample has all of a smaller one."""
    every = [site for module in modules() for site in sites(module)]
    random.Random(seed).shuffle(every)  # noqa: S311
    return every[:count]


def results(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def equivalents() -> dict[str, str]:
    """Reasons by key: a line is ``module | where | code | operator | reason``."""
    lines = EQUIVALENT.read_text().splitlines() if EQUIVALENT.is_file() else []
    parts = [line.rpartition(" | ") for line in lines if line and not line.startswith("#")]
    return {key: reason for key, _, reason in parts}


def report(count: int, seed: int) -> int:
    known = equivalents()
    wanted = {(site.key, site.number) for site in sample(count, seed)}
    # The last result of a mutant counts: survivors are run again when tests have come.
    latest = {(each["key"], each["number"]): each for each in results(RESULTS / f"seed-{seed}.jsonl")}
    judged = [each for key, each in latest.items() if key in wanted and each["key"] not in known]
    noticed = [each for each in judged if each["state"] != "survived"]
    for each in sorted(judged, key=lambda one: (one["module"], one["line"])):
        if each["state"] == "survived":
            print(f"{each['key']}  (line {each['line']})")
    left_out = sum(key in known for key, _ in wanted)
    share = len(noticed) / len(judged) if judged else 0.0
    print(
        f"{len(noticed)} of {len(judged)} noticed: {share:.1%}; "
        f"{left_out} of {len(wanted)} change nothing that can be seen"
    )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "again", "report"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--wide", action="store_true")
    asked = parser.parse_args()
    if asked.command == "report":
        return report(asked.count, asked.seed)
    return run(asked.count, asked.seed, asked.minutes, again=asked.command == "again", wide=asked.wide)


if __name__ == "__main__":
    sys.exit(main())
