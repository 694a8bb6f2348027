"""The IAM policy allows every call that is made, and names no other: both are read from the source."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

import hopscope
from hopscope import data

ROOT = Path(hopscope.__file__).parent
PLACES = [
    *(ROOT / "aws").glob("*.py"),
    ROOT / "hosts" / "ssm_command.py",
    ROOT / "hosts" / "ssm_files.py",
    ROOT / "providers" / "aws.py",
]
POLICY = json.loads(data.path("aws/policy.json").read_text())
CALL = re.compile(
    r'"((?:describe|create|delete|modify|attach|detach|associate|disassociate|allocate|release|authorize|revoke|replace|'
    r"run|start|terminate|get|put|list|tag|add|remove|send|cancel|upload|complete|abort|head)_[a-z_0-9]+)\""
)
OTHER_NAMES = {
    "list_objects_v2": "ListBucket",
    "get_public_access_block": "GetBucketPublicAccessBlock",
    "put_public_access_block": "PutBucketPublicAccessBlock",
    "get_bucket_lifecycle_configuration": "GetLifecycleConfiguration",
    "put_bucket_lifecycle_configuration": "PutLifecycleConfiguration",
    "create_multipart_upload": "PutObject",
    "upload_part": "PutObject",
    "complete_multipart_upload": "PutObject",
}
WITHOUT_A_CALL = {"iam:PassRole", "s3:TagResource", "route53:AssociateVPCWithHostedZone"}


def calls() -> set[str]:
    """Actions by their names without the service."""
    names = {name for file in PLACES for name in CALL.findall(file.read_text())}
    return {OTHER_NAMES.get(name, "".join(word.capitalize() for word in name.split("_"))) for name in names}


def actions() -> set[str]:
    return {action for each in POLICY["Statement"] if each["Effect"] == "Allow" for action in each["Action"]}


def test_every_call_is_allowed_and_nothing_else_is() -> None:
    assert len(calls()) > 50
    assert calls() == {action.partition(":")[2] for action in actions() - WITHOUT_A_CALL}


def test_nothing_is_changed_without_a_condition_or_a_name_of_ours() -> None:
    unbound = {"Look", "Image", "MakeInOurVpc", "NamesOfEndpoints", "CancelOurs", "CommandsByOneDocument"}
    for each in POLICY["Statement"]:
        resources = [each["Resource"]] if isinstance(each["Resource"], str) else each["Resource"]
        ours = all("hopscope-" in resource for resource in resources)
        assert each["Sid"] in unbound or "Condition" in each or ours, each["Sid"]
        assert set(each) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert not any("*" in action for action in each["Action"])


def test_the_types_that_may_be_started_are_those_with_a_price() -> None:
    (deny,) = (each for each in POLICY["Statement"] if each["Sid"] == "NoLargeInstances")
    allowed = deny["Condition"]["StringNotEquals"]["ec2:InstanceType"]
    assert allowed == list(yaml.safe_load(data.path("aws/prices.yaml").read_text())["instances"])
