"""The provider aws on doubles: the chain's own tests run on it unchanged, and what makes no sense is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import EnvironmentFault, UsageError
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
