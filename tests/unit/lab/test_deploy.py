from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hopscope.errors import EnvironmentFault
from hopscope.lab import deploy


def test_what_runs_by_our_interpreter_is_copied_and_nothing_else() -> None:
    assert deploy.modules(("py", "-m", "hopscope_nic.cli", "x"), "py") == ("hopscope_nic",)
    assert deploy.modules(("other", "-m", "hopscope_nic"), "py") == ()
    assert deploy.modules(("py", "program.py"), "py") == ()


def test_a_zip_is_all_that_another_interpreter_needs(tmp_path: Path) -> None:
    file = tmp_path / "nic.zip"
    file.write_bytes(deploy.zipped("hopscope_nic"))
    argv = [sys.executable, "-S", "-m", "hopscope_nic", "--version"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(file)}
    told = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=20, check=True, cwd=tmp_path)
    assert "0." in told.stdout


def test_the_same_sources_are_the_same_zip() -> None:
    first = deploy.zipped("hopscope_nic")
    deploy._zip.cache_clear()
    assert deploy.zipped("hopscope_nic") == first


def test_a_package_that_we_have_not_is_told() -> None:
    with pytest.raises(EnvironmentFault, match="no package no_such_module"):
        deploy.zipped("no_such_module")
