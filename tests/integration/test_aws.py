"""The provider aws and the command, on doubles: the chain's own tests run on it unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hopscope import data
from hopscope.aws.doubles.control import Control
from hopscope.cli import main
from hopscope.errors import EnvironmentFault, UsageError
from hopscope.providers.aws import AwsProvider
from hopscope.providers.registry import provider
from support import cloud, machine

ROOT = Path(__file__).parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="the rooms of instances need a lab built by root")
pytestmark = [pytest.mark.integration, pytest.mark.lab_uncaptured]

QUICK = ["tests/integration/test_ordering.py"]
FIRST = "test_five_connections_are_all_rewritten[stamp]"
CHAIN = [
    *QUICK,
    "tests/integration/test_checksums.py",
    "tests/integration/test_translation.py",
    "tests/integration/test_teardown.py",
    "tests/integration/test_ttfb_budget.py",
]


def session(tests: list[str], directory: Path, timeout: float) -> str:
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--lab-strict", "--timeout", str(timeout)]
    argv += ["--lab-provider", "aws", "--lab-aws-doubles", "--lab-run-dir", str(directory), *tests]
    told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def proven(directory: Path) -> None:
    """The run says where its hosts were, and has captures of both sides of every hop."""
    run = (directory / "latest").resolve()
    manifest = json.loads((run / "manifest.json").read_text())
    assert {lab["provider"] for lab in manifest["labs"]} == {"aws"}
    captures = [file for file in run.rglob("*.pcap*") if file.stat().st_size > 1000]
    assert {file.name.split(".")[0] for file in captures} >= {
        f"{host}-{port}"
        for host, port in [("client", "eth0"), ("clientnic", "eth0"), ("servernic", "eth1"), ("server", "eth0")]
    }


@AS_ROOT
@pytest.mark.timeout(300)
def test_a_test_of_the_chain_runs_unchanged_on_instances(tmp_path: Path) -> None:
    before = machine.links(), machine.named_namespaces()
    assert "1 passed" in session([f"{QUICK[0]}::{FIRST}"], tmp_path, 280)
    proven(tmp_path)
    assert (machine.links(), machine.named_namespaces()) == before


@AS_ROOT
@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_tests_of_the_chain_run_unchanged_on_instances(tmp_path: Path) -> None:
    assert "failed" not in session(CHAIN, tmp_path, 1700)
    proven(tmp_path)


def test_without_the_option_aws_means_aws_and_a_closed_door_is_told(tmp_path: Path) -> None:
    with (
        cloud.no_cloud(),
        pytest.raises(EnvironmentFault, match="is there a way to AWS from here") as caught,
    ):
        provider("aws").acquire(data.topology("chain"), directory=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "describe_vpcs" in str(caught.value)
    assert "is not gone whole: call again (hopscope aws reap" in (caught.value.evidence or "")


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


def test_the_command_from_nothing_to_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*argv: str) -> tuple[int, str]:
        code = main(["aws", *argv])
        return code, capsys.readouterr().out

    control = Control()
    try:
        with cloud.no_cloud(AWS_ENDPOINT_URL=control.url):
            code, text = told("provision", "mine", "--dry-run")
            assert code == 0
            assert "up to 0.82 USD in 2 h" in text
            assert told("audit", "mine", "--json")[0] == 2
            code, text = told("provision", "mine")
            assert (code, text.splitlines()[-1].endswith("FIXED")) == (0, True)
            code, text = told("audit", "mine", "--json")
            lines = json.loads(text)["lines"]
            assert (code, {line["status"] for line in lines}) == (0, {"OK"})
            ec2 = cloud.client("ec2")
            (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "tag:hopscope:run", "Values": ["mine"]}])["Vpcs"]
            (table,) = ec2.describe_route_tables(
                Filters=[{"Name": "tag:hopscope:key", "Values": ["table 10.1.1.0/24"]}]
            )["RouteTables"]
            ec2.delete_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="10.1.2.0/24")
            code, text = told("audit", "mine")
            assert code == 2
            assert "effect: traffic goes past servernic and nothing is tested" in text
            code, text = told("adopt", vpc["VpcId"], "--json")
            (resource,) = json.loads(text)["fragment"]["Resources"].values()
            assert (code, resource["Type"]) == (2, "AWS::EC2::Route")
            code, text = told("repair", "mine")
            assert (code, text.splitlines()[0][:5]) == (0, "FIXED")
            assert told("reap") == (0, "nothing has expired\n")
            assert told("reap", "--run", "mine")[0] == 0
            assert main(["aws", "repair", "mine"]) == 64
            assert main(["aws", "audit", "No/Name"]) == 64
    finally:
        control.close()
