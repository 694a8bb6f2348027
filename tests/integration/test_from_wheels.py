"""As a user has it: wheels in a fresh environment, and the YAML and the test of docs/bring-your-own.md elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?:yaml|python)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The Python of an environment with our two wheels; what they depend on is the locked packages of this one."""
    place = tmp_path_factory.mktemp("user")
    wheels = place / "wheels"
    for source in (ROOT, ROOT / "nic"):
        argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
        subprocess.run(argv, cwd=source, check=True, capture_output=True, timeout=60)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "env")], check=True, timeout=60)
    python = place / "env" / "bin" / "python"
    argv = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-index", "--no-deps"]
    argv += ["--disable-pip-version-check", *map(str, sorted(wheels.glob("*.whl")))]
    subprocess.run(argv, check=True, timeout=120)
    # A plain path: .pth files in there, those of editable installs, are not followed.
    (site_packages(python) / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def site_packages(python: Path) -> Path:
    return next(python.parents[1].glob("lib/python*/site-packages"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with what the page shows, and nothing else."""
    place = tmp_path_factory.mktemp("elsewhere")
    blocks = dict(BLOCK.findall((ROOT / "docs" / "bring-your-own.md").read_text()))
    assert set(blocks) == {"clamp.yaml", "test_clamp.py"}
    for name, text in blocks.items():
        (place / name).write_text(text)
    return place


def run(python: Path, folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", *argv]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)


def test_what_runs_is_what_was_installed(installed, folder):
    for name in ("hopscope", "hopscope_nic"):
        argv = [str(installed), "-c", f"import {name}; print({name}.__file__)"]
        found = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout
        assert Path(found.strip()).is_relative_to(site_packages(installed)), found


def test_one_yaml_and_one_test(installed, folder):
    ended = run(installed, folder, "pytest", "-p", "no:cacheprovider", "--lab-strict", "--lab-sut", "clamp")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout
    (manifest,) = [json.loads(file.read_text()) for file in folder.glob(".hopscope/runs/2*/manifest.json")]
    box = manifest["tests"][0]["suts"]["clamp@clientnic"]
    assert "maxseg size set 1200" in box["nft"]
    assert run(installed, folder, "hopscope", "judge", ".hopscope/runs/latest").returncode == 0


def test_a_repository_of_ones_own_has_a_test_that_passes(installed, tmp_path):
    assert run(installed, tmp_path, "hopscope", "init", "own").returncode == 0
    ended = run(installed, tmp_path / "own", "pytest", "-p", "no:cacheprovider")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout
    shown = run(installed, tmp_path / "own", "hopscope", "report", "latest")
    assert shown.returncode == 0, shown.stderr
    assert "1 passed" in (tmp_path / "own" / shown.stdout.strip()).read_text()


def test_a_built_in_and_a_mix_find_the_other_wheel(installed, folder):
    """The page's claim of plain TCP is then wrong, which proves that the rewriters were there."""
    ended = run(installed, folder, "pytest", "-p", "no:cacheprovider", "--lab-sut", "stamp,servernic=stamp")
    assert ended.returncode == 1
    assert "claimed plain; seen: 50 stamp" in ended.stdout


def test_a_name_that_there_is_not(installed, folder):
    ended = run(installed, folder, "pytest", "-p", "no:cacheprovider", "--lab-sut", "clmp")
    assert ended.returncode == 4
    assert "--lab-sut clmp: no suts file 'clmp', did you mean 'clamp'?" in ended.stderr
