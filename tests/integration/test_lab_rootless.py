"""A plain user builds the chain too: in a user namespace, with a packet line where /dev/net/tun is closed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import hopscope

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.getuid() != 0, reason="as a plain user every other test is this test"),
]

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

PROGRAM = """
import json, os, sys
from pathlib import Path
from hopscope import data
from hopscope.lab.rtt import check_rtt
from hopscope.providers.netns import NetnsProvider

provider = NetnsProvider(roots=())
with provider.acquire(data.topology("chain"), directory=Path(sys.argv[1])) as lab:
    ping = lab.hosts["client"].run(["ping", "-n", "-c", "2", "-i", "0.1", "10.1.2.10"]).text
    nft = lab.hosts["clientnic"].run(["nft", "add", "table", "inet", "mine"]).returncode
    answer = {"uid": os.getuid(), "ping": ping, "rtt_ns": check_rtt(lab), "mechanism": dict(lab.mechanism), "nft": nft}
print(json.dumps(answer | {"left": os.listdir(sys.argv[1]), "leaks": provider.leaks()}))
"""


def command(folder: Path) -> list[str]:
    """An interpreter that a plain user may run, with all that the lab needs copied to where it may be read."""
    site = folder / "site"
    shutil.copytree(Path(hopscope.__file__).parent, site / "hopscope", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(hopscope.__file__).parents[2] / "fixtures", site / "hopscope" / "_fixtures")
    packages = next(entry for entry in sys.path if (Path(entry) / "pyroute2").is_dir())
    for python in (sys.executable, shutil.which("python3", path="/usr/bin") or ""):
        entry = [*NOBODY, "env", f"PYTHONPATH={site}:{packages}", "PYTHONDONTWRITEBYTECODE=1", "HOME=/", python]
        probe = (
            "import pydantic_core, pyroute2, subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
        )
        if (
            python
            and subprocess.run([*entry, "-c", probe], capture_output=True, timeout=30, check=False).returncode == 0
        ):
            return entry
    pytest.skip("a plain user can run no interpreter here that has the lab's libraries")


def check(entry: list[str], labs: Path) -> dict[str, object]:
    result = subprocess.run(
        [*entry, "-c", PROGRAM, str(labs)], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert result.returncode == 0, result.stderr
    answer: dict[str, object] = json.loads(result.stdout)
    assert " 0% packet loss" in str(answer["ping"])
    assert 19_000_000 < int(str(answer["rtt_ns"])) < 21_000_000
    assert answer["nft"] == 0
    assert (answer["left"], answer["leaks"]) == ([], [])
    return answer


def test_root_without_privilege_has_a_chain(tmp_path: Path) -> None:
    """As in a container: user 0 that may do nothing here, but everything in a user namespace of its own."""
    bare = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all", sys.executable]
    answer = check(bare, tmp_path)
    assert answer["uid"] == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that a plain user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="hopscope-rootless-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_plain_user_has_a_chain(folder: Path) -> None:
    entry = command(folder)
    labs = folder / "labs"
    labs.mkdir()
    os.chown(labs, 65534, 65534)
    answer = check(entry, labs)
    assert answer["uid"] == 65534
    assert isinstance(answer["mechanism"], dict)
    assert set(answer["mechanism"].values()) & {"netem", "packet-line", "tap-line"}
