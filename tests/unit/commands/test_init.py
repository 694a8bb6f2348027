"""A repository of one's own: what is written can be read by what reads it, and nothing is ever overwritten."""

from __future__ import annotations

import configparser
import re

import pytest

from hopscope import cli, data
from hopscope.commands.init import FILES
from hopscope.model.document import load_sut, load_topology

pytest_plugins = ["pytester"]


@pytest.fixture
def own(tmp_path, capsys):
    assert cli.main(["init", str(tmp_path / "own")]) == 0
    assert capsys.readouterr().out.endswith(f"next: cd {tmp_path / 'own'} && pytest\n")
    return tmp_path / "own"


def test_its_documents_are_ours(own):
    assert load_topology(own / "topology.yaml").name == "chain"
    assert load_sut(own / "mine.yaml").name == "mine"
    keys = configparser.ConfigParser()
    keys.read(own / "pytest.ini")
    assert (own / keys["pytest"]["lab_topology"]).is_file()
    assert keys["pytest"]["lab_sut"] == "mine"
    assert {str(file.relative_to(own)) for file in own.rglob("*") if file.is_file()} == set(FILES)


def test_a_program_of_ones_own_is_shown_as_it_is_written(own):
    shown, _, below = (own / "mine.yaml").read_text().partition("    # A program of your own")
    program = re.sub(r"^    # ", "    ", below.partition("\n")[2], flags=re.MULTILINE)
    (own / "mine.yaml").write_text(shown + program)
    box = load_sut(own / "mine.yaml").boxes["clientnic"]
    assert box.argv == ("{host_dir}/rewriter",)
    assert box.ready is not None


def test_its_tests_are_collected_with_its_own_ini_file(own, pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.chdir(own)
    options = ["--rootdir", str(own), "-c", str(own / "pytest.ini"), "--collect-only", "-q", "-W", "error"]
    result = pytester.runpytest_subprocess("-p", "hopscope.plugin", *options, timeout=60)
    assert result.ret == 0, str(result.stdout) + str(result.stderr)
    result.stdout.fnmatch_lines(["*test_every_connection_completes_and_nothing_else_is_changed*"])


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_there_stays_as_it_is(tmp_path, capsys, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    assert cli.main(["init", str(tmp_path)]) == 64
    assert f"has {name} already" in capsys.readouterr().err
    assert [file.read_text() for file in tmp_path.rglob("*") if file.is_file()] == ["mine"]


def test_a_place_that_cannot_be_written_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["init", str(tmp_path / "file" / "own")]) == 64
    assert "cannot be written" in capsys.readouterr().err


def test_here_is_where_it_writes_by_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init"]) == 0
    assert capsys.readouterr().out.endswith("next: pytest\n")
    assert (tmp_path / "tests" / "test_mine.py").read_text() == data.path("init/test_mine.py").read_text()
