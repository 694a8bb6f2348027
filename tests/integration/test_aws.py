"""The provider aws on doubles: the chain's own tests run on it unchanged, and what makes no sense is told."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import EnvironmentFault, UsageError
from hopscope.lab.wait import wait_until
from hopscope.providers.aws import AwsProvider
from hopscope.providers.registry import provider
from support import aws_session, cloud, machine

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="the rooms of instances need a lab built by root")
pytestmark = [pytest.mark.integration, pytest.mark.lab_uncaptured]

CHAIN = [
    "tests/integration/test_ordering.py",
    "tests/integration/test_checksums.py",
    "tests/integration/test_translation.py",
    "tests/integration/test_teardown.py",
    "tests/integration/test_ttfb_budget.py",
]


@AS_ROOT
@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_tests_of_the_chain_run_unchanged_on_instances(tmp_path: Path) -> None:
    before = machine.links(), machine.named_namespaces()
    assert "failed" not in aws_session.run(CHAIN, tmp_path, 3500, "--lab-aws-doubles")
    aws_session.proven(tmp_path)
    assert (machine.links(), machine.named_namespaces()) == before


CONTROL = """
import sys
from hopscope.aws.doubles.control import Control

control = Control()
print("up", flush=True)
sys.stdin.read()
"""
WHOLE = """
import sys
from pathlib import Path
from hopscope import data
from hopscope.providers.aws import AwsProvider

lab = AwsProvider(doubles=True).acquire(data.topology("chain-lan"), directory=Path(sys.argv[1]), name="chain-killed")
print("up", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "program", [CONTROL, pytest.param(WHOLE, marks=[AS_ROOT, pytest.mark.nightly])], ids=["control", "whole"]
)
def test_kill_9_leaves_nothing(program: str, tmp_path: Path) -> None:
    labs, temporary = tmp_path / "labs", tmp_path / "t"
    for each in (labs, temporary):
        each.mkdir()
    argv = [sys.executable, "-c", program, str(labs)]
    with (
        cloud.no_cloud(TMPDIR=str(temporary)),
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child,
    ):
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        assert list(temporary.iterdir()) != []
        child.kill()
    wait_until(lambda: not [*labs.iterdir(), *temporary.iterdir()], timeout=15, what="the end of what it made")
    here = str(tmp_path).encode()
    wait_until(lambda: not named_by(here), timeout=15, what="the end of its processes")


def named_by(word: bytes) -> list[str]:
    """Processes whose command line has this in it."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if word in file.read_bytes():
                found.append(str(file))
    return found


def test_without_the_option_aws_means_aws_and_a_closed_door_is_told(tmp_path: Path) -> None:
    with (
        cloud.no_cloud(),
        pytest.raises(EnvironmentFault, match="is there a way to AWS from here") as caught,
    ):
        provider("aws").acquire(data.topology("chain"), directory=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "describe_vpcs" in str(caught.value)
    assert caught.value.evidence is None, "nothing was made that would have to go"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"doubles": True, "source": "find", "run": "x"}, "there is nothing to find or adopt"),
        ({"source": "find"}, "--lab-aws-run"),
        ({"source": "borrow"}, "build, find, adopt"),
    ],
)
def test_what_makes_no_sense_is_told(given, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        AwsProvider(**given)


def test_a_run_that_may_not_cost_that_much_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"and 0\.10 were allowed"):
        AwsProvider(doubles=True, max_usd=0.1).acquire(data.topology("chain"), directory=tmp_path)
    assert list(tmp_path.iterdir()) == []
