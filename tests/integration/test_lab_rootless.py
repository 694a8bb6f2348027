"""A plain user builds the chain too: in a user namespace, with a packet line where /dev/net/tun is closed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hopscope
import pytest

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
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
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


def test_a_plain_user_has_a_chain(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("rootless")
    entry = command(folder)
    labs = folder / "labs"
    labs.mkdir()
    os.chown(labs, 65534, 65534)
    result = subprocess.run(
        [*entry, "-c", PROGRAM, str(labs)], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["uid"] == 65534
    assert " 0% packet loss" in answer["ping"]
    assert 19_000_000 < answer["rtt_ns"] < 21_000_000
    assert answer["nft"] == 0
    assert (answer["left"], answer["leaks"]) == ([], [])
    wan = answer["mechanism"]["clientnic:eth1--servernic:eth0"]
    assert wan in ("netem", "packet-line") or os.access("/dev/net/tun", os.R_OK | os.W_OK)
