"""The CloudFormation of every line that a template can hold, as its own linter sees it."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hopscope import data
from hopscope.aws.audit import Actual, Line, Status
from hopscope.aws.desired import EXISTS, Request, facts, legal, of_others
from hopscope.aws.fragment import fragment

CFN_LINT = "cfn-lint>=1.40,<2"
RUN = "from cfnlint.runner import main; main()"
PREFIXES = {"vpc": "vpc", "subnet": "subnet", "table": "rtb", "eni": "eni", "group": "sg", "instance": "i"}
MISTAKES: dict[str, Callable[[dict[str, Any]], None]] = {
    "Table1011024Route1012024": lambda properties: properties.pop("RouteTableId"),
    "GroupRuleService": lambda properties: properties.pop("IpProtocol"),
    "EniClientnicEth0SourceDestCheck": lambda properties: properties.update(SourceDestCheck="perhaps"),
    "Table1011024Subnet": lambda properties: properties.update(VpcId="vpc-0"),
}


def whole() -> dict[str, Any]:
    """Of a stack made elsewhere in which nothing is as it should be."""
    every = facts(legal(data.topology("chain")), Request("run", "me", datetime.now(UTC) + timedelta(hours=1)))
    wanted = of_others(every)
    ids = {fact.key: f"{PREFIXES[fact.kind]}-{n:017x}" for n, fact in enumerate(wanted)}
    seen = {(fact.key, EXISTS): fact.wanted for fact in every if fact.aspect == EXISTS}
    lines = [Line(Status.DRIFT, fact.key, fact.aspect, fact.wanted, "missing", fact.effect) for fact in wanted]
    return fragment(lines, Actual(ids=ids, seen=seen))


def test_every_line_that_a_template_can_hold_has_its_resource() -> None:
    kinds = [resource["Type"].rpartition("::")[2] for resource in whole()["Resources"].values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "SecurityGroupIngress": 3,
        "NetworkInterface": 4,
        "SubnetRouteTableAssociation": 3,
        "Route": 6,
    }
    assert set(MISTAKES) <= set(whole()["Resources"])


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_cfn_lint_has_nothing_against_it_and_sees_mistakes(tmp_path: Path) -> None:
    """It is large, and installed for this test alone. What it knows of CloudFormation comes with it."""
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), CFN_LINT]
    subprocess.run(pip, check=True, timeout=400)

    def lint(document: dict[str, Any]) -> tuple[int, str]:
        template = tmp_path / "template.json"
        template.write_text(json.dumps(document))
        argv = [sys.executable, "-c", RUN, "-t", str(template), "--regions", "eu-central-1"]
        environment = os.environ | {"PYTHONPATH": str(site), "HOME": str(tmp_path)}
        told = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
        return told.returncode, told.stdout + told.stderr

    assert lint(whole()) == (0, "")
    for name, mistake in MISTAKES.items():
        wrong = copy.deepcopy(whole())
        mistake(wrong["Resources"][name]["Properties"])
        code, text = lint(wrong)
        assert code != 0, name
        assert "E" in text, text
