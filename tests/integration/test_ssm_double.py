"""The double of Run Command behaves as the agent on an instance does, with boto3 itself as its client.

Each broken form is one that people have lost an afternoon to; the form that works stands beside it.
"""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.aws.doubles import agent
from hopscope.aws.doubles.agent import TRUNCATED, WORKERS
from hopscope.lab.wait import wait_until
from support import cloud

pytestmark = [
    pytest.mark.integration,
    pytest.mark.lab_uncaptured,
    pytest.mark.skipif(os.geteuid() != 0, reason="the rooms of instances need a lab built by root"),
]

INSTANCE = "i-client"
BROKEN = {
    "nohup and &": "nohup sleep 30 &",
    "& without the pipes": "sleep 30 & echo started",
    "one pipe kept": "sleep 30 </dev/null >/dev/null &",
    "setsid sudo": "setsid sudo sleep 30 >/dev/null &",
    "started and checked in one call": "nohup sleep 30 >/tmp/log & sleep 0.1; grep -c ready /tmp/log || true",
}
WORKS = "setsid sh -c 'echo $$ >/tmp/pid; exec sleep 30' </dev/null >/tmp/log 2>&1 &"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory):
    with cloud.instances(tmp_path_factory.mktemp("ssm")) as (_, agents, double):
        yield SimpleNamespace(agents=agents, double=double, ssm=cloud.client("ssm"))


def send(service: Any, script: str, **given: Any) -> str:
    parameters = {"commands": [script], **{key: [str(value)] for key, value in given.items()}}
    answer = service.ssm.send_command(DocumentName="AWS-RunShellScript", InstanceIds=[INSTANCE], Parameters=parameters)
    return str(answer["Command"]["CommandId"])


def look(service: Any, command: str) -> dict[str, Any]:
    try:
        return dict(service.ssm.get_command_invocation(CommandId=command, InstanceId=INSTANCE))
    except service.ssm.exceptions.InvocationDoesNotExist:
        return {"Status": "not there yet"}


def over(service: Any, command: str, timeout: float = 15) -> dict[str, Any]:
    """The invocation once it has ended."""

    def ended() -> dict[str, Any] | None:
        seen = look(service, command)
        return seen if seen["Status"] in ("Success", "Failed", "Cancelled", "TimedOut") else None

    seen = wait_until(ended, timeout=timeout, what="the command to end")
    assert seen is not None
    return seen


def said(service: Any, script: str, **given: Any) -> str:
    return str(over(service, send(service, script, **given))["StandardOutputContent"]).strip()


@pytest.mark.parametrize("form", BROKEN)
def test_a_form_that_never_returns(service, form: str) -> None:
    command = send(service, BROKEN[form].replace("sudo ", ""))
    wait_until(lambda: look(service, command)["Status"] == "InProgress", timeout=5, what="its beginning")
    until = time.monotonic() + 0.5
    wait_until(lambda: time.monotonic() > until, timeout=5, what="half a second")
    assert look(service, command)["Status"] == "InProgress", form
    service.ssm.cancel_command(CommandId=command)
    assert over(service, command)["Status"] == "Cancelled"


def test_the_form_that_works_returns_at_once_and_what_it_started_lives_on(service) -> None:
    started = time.monotonic()
    assert over(service, send(service, WORKS))["Status"] == "Success"
    assert time.monotonic() - started < 5
    assert said(service, "kill $(cat /tmp/pid) && echo was alive") == "was alive"


def test_what_a_command_finds(service) -> None:
    script = 'echo "${HOME-none} ${USER-none} $(pwd) $(id -u) $(readlink /proc/self/fd/0) $AWS_SSM_INSTANCE_ID"'
    assert said(service, script) == f"none none /usr/bin 0 /dev/null {INSTANCE}"
    assert said(service, "pwd", workingDirectory="/var") == "/var"
    assert said(service, "#!/bin/bash\necho ${BASH_VERSION:+bash}") == "bash"


def test_instances_share_no_scratch_files(service) -> None:
    said(service, "echo here >/tmp/mine; echo here >/run/mine")
    answer = service.ssm.send_command(
        DocumentName="AWS-RunShellScript",
        InstanceIds=["i-server"],
        Parameters={"commands": ["ls /tmp/mine /run/mine"]},
    )
    command = answer["Command"]["CommandId"]
    wait_until(lambda: service.double.invocations[command, "i-server"].over, timeout=5, what="its end")
    assert service.double.invocations[command, "i-server"].code == 2


def test_output_is_cut(service) -> None:
    seen = over(service, send(service, "head -c 30000 /dev/zero | tr '\\0' x; head -c 9000 /dev/zero | tr '\\0' y >&2"))
    for key, most in (("StandardOutputContent", 24_000), ("StandardErrorContent", 8_000)):
        assert len(seen[key]) == most
        assert seen[key].endswith(TRUNCATED)


@pytest.mark.parametrize(
    ("script", "status", "details", "code"),
    [
        ("exit 0", "Success", "Success", 0),
        ("exit 3", "Failed", "Failed", 3),
        ("exit 137", "TimedOut", "ExecutionTimedOut", 137),
    ],
)
def test_codes(service, script: str, status: str, details: str, code: int) -> None:
    seen = over(service, send(service, script))
    assert (seen["Status"], seen["StatusDetails"], seen["ResponseCode"]) == (status, details, code)


@pytest.mark.parametrize("how", ["Cancelled", "TimedOut"])
def test_an_end_that_was_forced_reaches_the_group_and_not_a_child_that_has_left_it(service, monkeypatch, how) -> None:
    monkeypatch.setattr(agent, "LEAST_SECONDS", 1)
    script = "setsid sh -c 'echo $$ >/tmp/left; exec sleep 60' & sleep 60 & echo $! >/tmp/stayed; wait"
    command = send(service, script, executionTimeout=1)
    wait_until(lambda: look(service, command)["Status"] == "InProgress", timeout=5, what="its beginning")
    if how == "Cancelled":
        service.ssm.cancel_command(CommandId=command)
    seen = over(service, command)
    assert (seen["Status"], seen["ResponseCode"]) == (how, 137)
    left = "kill -0 $(cat /tmp/left) && echo left lives; kill -0 $(cat /tmp/stayed) || echo stayed died"
    assert said(service, left) == "left lives\nstayed died"
    said(service, "kill $(cat /tmp/left)")


@pytest.mark.parametrize(
    ("asked", "seconds"), [("5", 5), ("172800", 172800), ("4", 3600), ("172801", 3600), ("x", 3600)]
)
def test_a_timeout_outside_its_bounds_becomes_an_hour(asked: str, seconds: int) -> None:
    assert agent.execution_seconds(asked) == seconds


def test_a_code_of_194_reboots_and_the_script_runs_again(service) -> None:
    before = service.agents[INSTANCE].reboots
    assert said(service, "[ -e /tmp/once ] && echo again && exit 0; touch /tmp/once; exit 194") == "again"
    assert service.agents[INSTANCE].reboots == before + 1


def test_five_run_at_a_time(service) -> None:
    commands = [send(service, "sleep 30") for _ in range(WORKERS + 1)]
    sent = [service.double.invocations[command, INSTANCE] for command in commands]
    wait_until(lambda: [each.status for each in sent].count("InProgress") == WORKERS, timeout=15, what="five to run")
    assert [each.status for each in sent].count("Pending") == 1
    for command in commands:
        service.ssm.cancel_command(CommandId=command)
    wait_until(lambda: all(each.status == "Cancelled" for each in sent), timeout=15, what="their ends")


def test_an_instance_that_cannot_be_reached(service) -> None:
    reachable = service.agents[INSTANCE].reachable
    reachable.clear()
    try:
        late, cancelled, delayed = (send(service, "echo here") for _ in range(3))
        service.double.invocations[late, INSTANCE].delivery_seconds = 0.1
        assert over(service, late)["StatusDetails"] == "DeliveryTimedOut"
        wait_until(lambda: look(service, delayed)["Status"] == "Delayed", timeout=5, what="a delay")
        service.ssm.cancel_command(CommandId=cancelled)
        assert over(service, cancelled)["Status"] == "Cancelled"
    finally:
        reachable.set()
    assert over(service, delayed)["Status"] == "Success"


def test_right_after_it_was_sent_an_invocation_does_not_exist(service) -> None:
    service.double.weather.unseen_seconds = 0.3
    try:
        command = send(service, "true")
        assert look(service, command)["Status"] == "not there yet"
        assert over(service, command)["Status"] == "Success"
    finally:
        service.double.weather.unseen_seconds = 0.02


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"InstanceIds": ["i-nobody"]}, "InvalidInstanceId"),
        ({"DocumentName": "AWS-RunShellScripts"}, "InvalidDocument"),
        ({"Parameters": {"command": ["true"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["x" * 100_000]}}, "MaxDocumentSizeExceeded"),
    ],
)
def test_what_is_refused(service, given: dict[str, Any], code: str) -> None:
    from botocore.exceptions import ClientError

    right = {"InstanceIds": [INSTANCE], "DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
    with pytest.raises(ClientError) as caught:
        service.ssm.send_command(**(right | given))
    assert caught.value.response["Error"]["Code"] == code


def test_throttling_is_waited_out_by_botocore(service) -> None:
    service.double.weather.errors["SendCommand"] = ["ThrottlingException"]
    assert said(service, "echo through") == "through"
    assert service.double.weather.errors["SendCommand"] == []
