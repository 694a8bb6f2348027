"""What the pages tell a reader to type and write is understood by what reads it. On a lab: test_tutorial, nightly."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hopscope import cli, data
from hopscope.model.document import load_sut
from support.pages import DOCS, Block, Command, blocks, commands

pytest_plugins = ["pytester"]

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
STEPS = [DOCS / name for name in ("tutorial.md", "how-to.md")]
BLOCKS = [block for page in PAGES for block in blocks(page)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _indented(page: Path) -> list[Command]:
    """Commands in blocks that are set off by four blanks, as the older pages have them."""
    found = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if re.match(r"    (hopscope|pytest|make|nox|python (bench|scripts)/\S+) ?", line):
            found += commands(page.name, number, line.strip())
    return found


TYPED = [command for block in BLOCKS for command in block.commands] + [c for page in PAGES for c in _indented(page)]


def test_there_is_something_to_look_at():
    assert len(TYPED) > 80
    assert {block.language for block in BLOCKS} == {"python", "sh", "yaml"}
    assert {block.page for block in BLOCKS} >= {page.name for page in STEPS}


@pytest.mark.parametrize("command", [c for c in TYPED if c.argv[0] == "hopscope"], ids=str)
def test_the_command_understands_it(command):
    cli.parser().parse_args(command.argv[1:])


@pytest.mark.parametrize("command", [c for c in TYPED if c.argv[0] == "pytest"], ids=str)
def test_pytest_understands_it(command, pytestconfig):
    known, unknown = pytestconfig._parser.parse_known_and_unknown_args([*command.argv[1:]])
    assert not [word for word in unknown if word.startswith("-")]
    paths = [path.partition("::")[0] for path in known.file_or_dir if path.startswith("tests/integration")]
    assert all((ROOT / path).exists() for path in paths)


@pytest.mark.parametrize("command", [c for c in TYPED if c.argv[0] == "make"], ids=str)
def test_make_has_the_target(command):
    assert {word for word in command.argv[1:] if "=" not in word} <= TARGETS


@pytest.mark.parametrize("command", [c for c in TYPED if c.argv[0].endswith("python")], ids=str)
def test_the_program_is_there(command):
    assert "NAME" in command.argv[1] or (ROOT / command.argv[1]).is_file()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "sh"], ids=str)
def test_a_line_to_type_is_of_a_kind_that_is_looked_at(block: Block):
    assert {command.argv[0] for command in block.commands} <= {"hopscope", "pytest", "make", "cd", "nox"}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=str)
def test_yaml_is_a_system_under_test(block: Block, tmp_path):
    name = block.file
    assert name is not None
    (tmp_path / name).write_text(block.text)
    for other in BLOCKS:
        if other.page == block.page and other.language == "python" and other.file and "/" not in other.file:
            (tmp_path / other.file).write_text(other.text)
    sut = load_sut(tmp_path / name)
    assert sut.name == Path(name).stem
    assert all((tmp_path / local).exists() for box in sut.boxes.values() for local in box.files.values())


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=str)
def test_python_is_python(block: Block):
    assert block.file is not None
    ast.parse(block.text)


@pytest.mark.parametrize("page", STEPS, ids=lambda page: page.name)
def test_tests_of_a_page_are_collected(page, pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    shown = {block.file: block for block in blocks(page) if block.language == "python"}
    for name, block in shown.items():
        target = pytester.path / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(block.text)
    result = pytester.runpytest_subprocess(
        "-p", "hopscope.plugin", "--strict-markers", "-W", "error", "--import-mode=importlib", "--collect-only", "-q",
        timeout=60,
    )  # fmt: skip
    assert result.ret == 0, str(result.stdout) + str(result.stderr)
    written = [node.name for block in shown.values() for node in ast.parse(block.text).body
               if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]  # fmt: skip
    assert written
    for name in written:
        result.stdout.fnmatch_lines([f"*::{name}*"])


def test_topologies_and_systems_that_commands_name_are_there():
    shown = {Path(block.file).stem for block in BLOCKS if block.language == "yaml" and block.file}
    for page in STEPS:
        for command in (each for block in blocks(page) for each in block.commands):
            words = dict(zip(command.argv, command.argv[1:], strict=False))
            if "--lab-sut" in words:
                assert words["--lab-sut"] in shown or data.path(f"suts/{words['--lab-sut']}.yaml").is_file()
            if "--lab-topology" in words:
                assert data.path(f"topologies/{words['--lab-topology']}").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, place = target.partition("#")
        if "://" in target:
            continue
        there = page.parent / file if file else page
        assert there.is_file(), target
        if place:
            heads = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            assert place in {_anchor(head) for head in heads}, target


def _anchor(head: str) -> str:
    """A heading's name in links, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")


def test_the_index_has_every_page():
    linked = set(re.findall(r"\(([\w-]+\.md)[)#]", (DOCS / "index.md").read_text()))
    assert linked == {page.name for page in DOCS.glob("*.md")} - {"index.md"}
