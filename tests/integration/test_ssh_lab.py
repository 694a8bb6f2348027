"""`hopscope lab up --ssh`, and the suite's own tests on it: what they say does not depend on where their hosts are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopscope.hosts.ssh import SshExecutor
from hopscope.lab.wait import wait_until
from hopscope.model.document import load_inventory
from hopscope.providers.inventory import target

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an SSH server needs a lab built by root")

SESSION = """
import sys
from pathlib import Path
from hopscope import data
from hopscope.providers.inventory import InventoryProvider

inventory, topology, labs = sys.argv[1:]
lab = InventoryProvider(Path(inventory), ttl=3).acquire(data.topology(topology), directory=Path(labs), name="killed")
print(lab.mechanism[lab.topology.wan.name], flush=True)
sys.stdin.read()
"""
#: What a session has in the middle of a link: its delay line, or its bridge.
MADE = "ip -br link show type bridge; grep -als delayline[.]py /proc/[0-9]*/cmdline"

ROOT = Path(__file__).parents[2]
#: One on a link without a delay, which the box in the middle bridges; one on a link that it delays.
UNCHANGED = ("test_ordering.py::test_five_connections_are_all_rewritten[stamp]", "test_refused.py")


def call(*argv: str, timeout: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The inventory of a lab with doors."""
    folder = tmp_path_factory.mktemp("doors")
    labs, hosts = str(folder / "labs"), folder / "hosts.yaml"
    up = ["up", "chain", "--name", "doors", "--labs", labs, "--ssh", str(hosts), "--ttl", "5m"]
    done = call("hopscope", "lab", *up, timeout=60)
    assert done.returncode == 0, done.stderr
    yield hosts
    down = call("hopscope", "lab", "down", "doors", "--labs", labs, timeout=60)
    assert down.returncode == 0, down.stderr


def suite(hosts: Path, runs: Path, *more: str) -> str:
    """What pytest says of tests on these hosts."""
    argv = ["-p", "no:cacheprovider", "-q", "--lab-strict", "--lab-run-dir", str(runs)]
    argv += ["--lab-provider", "inventory", "--lab-inventory", str(hosts)]
    done = call("pytest", *argv, *more, timeout=120)
    return done.stdout + done.stderr


def test_the_same_tests_are_green_over_ssh(hosts: Path, tmp_path: Path) -> None:
    told = suite(hosts, tmp_path, *(f"tests/integration/{each}" for each in UNCHANGED))
    assert "3 passed" in told, told
    captures = list(tmp_path.rglob("client-eth0.pcap"))
    assert captures
    assert all(each.stat().st_size > 24 for each in captures)


@pytest.mark.nightly
def test_of_two_workers_one_has_the_hosts_and_the_other_waits_for_it(hosts: Path, tmp_path: Path) -> None:
    told = suite(hosts, tmp_path, "-n", "2", "tests/integration/test_refused.py")
    assert "2 passed" in told, told
    assert re.search(r"hopscope: \[gw(\d)\] waiting for (?!gw\1)\w+.*, which has the hosts of the inventory", told), (
        told
    )
    assert len(set(re.findall(r"\[(gw\d)\] \S+ is up", told))) == 2, told


@pytest.mark.parametrize(("topology", "mechanism"), [("chain", "packet-line"), ("chain-lan", "bridge")])
def test_the_box_in_the_middle_is_as_before_when_the_session_is_killed(
    hosts: Path, tmp_path: Path, topology: str, mechanism: str
) -> None:
    box = SshExecutor("wan0", target(load_inventory(hosts).hosts["wan0"]), Path("/tmp/wan0"), tmp_path)
    argv = [sys.executable, "-c", SESSION, str(hosts), topology, str(tmp_path)]
    try:
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            made = child.stdout.readline()
            there = box.run(["sh", "-c", MADE], check=False).text
            child.kill()
        assert (made, bool(there)) == (f"{mechanism}\n", True)
        wait_until(lambda: not box.run(["sh", "-c", MADE], check=False).text, timeout=8, what="a box as it was")
    finally:
        box.close()
