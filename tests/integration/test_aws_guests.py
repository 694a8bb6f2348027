"""A stack by the command, and its hosts from inside: damaged in every way that is known, found out, mended, read back;
and a session that finds it by its tags."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope import data
from hopscope.aws.audit import Line, Status
from hopscope.aws.desired import Request, legal
from hopscope.aws.doubles.cloud import Doubles
from hopscope.aws.guests import Guests
from hopscope.aws.repair import Stack
from hopscope.cli import main
from hopscope.providers.netns import NetnsProvider
from support import aws_session, cloud, intruder
from support.intruder import Intruder
from support.vandal import MIDDLE, SERVER, Vandal
from support.vandal import SABOTAGES as OF_THE_CLOUD

pytestmark = [
    pytest.mark.integration,
    pytest.mark.lab_uncaptured,
    pytest.mark.skipif(os.geteuid() != 0, reason="the rooms of instances need a lab built by root"),
]
CHAIN = legal(data.topology("chain-lan"))
RUN = "chain-guests"
TOPOLOGY = ["--topology", "chain-lan"]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A stack that the command has built, whose instances are hosts of a lab, and somebody with hands of their own on
    these."""
    folder = tmp_path_factory.mktemp("guests")
    with cloud.no_cloud() as patch, Doubles() as doubles:
        patch.setenv("AWS_ENDPOINT_URL", doubles.control.url)
        patch.setenv("AWS_ENDPOINT_URL_SSM", doubles.ssm.url)
        assert main(["aws", "provision", RUN, *TOPOLOGY]) == 0
        stack = Stack(doubles.cloud, CHAIN, Request(RUN, "me", datetime.now(UTC) + timedelta(hours=1)))
        actual = stack.look()
        lab = NetnsProvider().acquire(doubles.plane(CHAIN, actual), directory=folder, name="plane", offloads=True)
        doubles.populate(lab, actual, folder / "agents")
        agents = {agent.host.name: agent for agent in doubles.agents.values()}
        with Guests(stack, folder / "logs") as guests:
            yield SimpleNamespace(
                stack=stack, guests=guests, doubles=doubles, lab=lab, agents=agents, hand=Intruder(lab, agents)
            )


def places(lines: tuple[Line, ...], *status: Status) -> dict[str, Line]:
    return {f"{line.key}: {line.aspect}": line for line in lines if line.status in status}


def wrong(lines: tuple[Line, ...]) -> dict[str, Line]:
    return places(lines, *(set(Status) - {Status.OK}))


def test_guests_of_a_stack_that_was_just_built_are_as_they_should_be(there) -> None:
    lines = there.guests.audit()
    assert wrong(lines) == {}
    assert len(lines) > 30
    assert len(OF_THE_CLOUD | intruder.SABOTAGES | intruder.WITH_CONSEQUENCES) >= 24


def found_and_mended(there, sabotages: dict[str, intruder.Sabotage], *, alone: bool) -> None:
    for act, _, _ in sabotages.values():
        act(there.hand)
    found = wrong(there.guests.audit())
    for name, (_, place, effect) in sabotages.items():
        assert found[place].status is Status.DRIFT, name
        assert effect in found[place].effect
    assert not alone or set(found) == {place for _, place, _ in sabotages.values()}
    told = there.guests.repair()
    assert [str(line) for line in wrong(told).values() if line.status is not Status.FIXED] == []
    assert set(places(told, Status.FIXED)) == set(found), "all that was found, and nothing else"
    there.hand.run("client", "ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1472", "10.1.2.10")


def test_sabotages_of_guests_are_all_found_with_their_effects_and_mended(there) -> None:
    """All at once; that each shows in its own line and in no other is asked at night."""
    found_and_mended(there, intruder.SABOTAGES | intruder.WITH_CONSEQUENCES, alone=False)


@pytest.mark.nightly
@pytest.mark.parametrize("name", intruder.SABOTAGES)
def test_a_sabotage_of_a_guest_by_itself_shows_in_its_line(there, name: str) -> None:
    found_and_mended(there, {name: intruder.SABOTAGES[name]}, alone=True)


@pytest.mark.nightly
@pytest.mark.parametrize("name", intruder.WITH_CONSEQUENCES)
def test_one_that_takes_others_along_shows_in_its_line_too(there, name: str) -> None:
    found_and_mended(there, {name: intruder.WITH_CONSEQUENCES[name]}, alone=False)


def test_a_host_that_was_stopped_is_started_and_then_looked_at(there) -> None:
    there.stack.cloud.clients["ec2"].stop_instances(InstanceIds=[there.stack.look().ids["instance server"]])
    there.doubles.forget()
    found = wrong(there.guests.audit())
    line = found["agent server: state"]
    assert (line.status, line.seen) == (Status.MANUAL, "not registered")
    assert {line.status for line in found.values() if line.key == "guest server"} == {Status.UNKNOWN}
    assert list(places(there.stack.repair(), Status.FIXED)) == ["instance server: state"]
    there.doubles.forget()
    assert wrong(there.guests.repair()) == {}


def test_an_agent_that_has_lost_its_way_is_left_to_a_person(there) -> None:
    there.agents["client"].reachable.clear()
    try:
        found = wrong(there.guests.repair(patience=0.1))
    finally:
        there.agents["client"].reachable.set()
    assert found["agent client: state"].seen == "ConnectionLost"
    assert "then reboot it" in found["agent client: state"].remedy
    assert found["guest client: clock"].status is Status.UNKNOWN


@pytest.mark.nightly
def test_what_a_command_that_failed_has_said_stands_in_the_line(there) -> None:
    """The clock is wrong, and chrony does not run."""
    there.hand.clock("server", -60)
    sbin = there.agents["server"].directory / "sbin"
    (sbin / "chronyc").write_text("#!/bin/sh\necho 506 Cannot talk to daemon; exit 1\n")
    line = wrong(there.guests.repair())["guest server: clock"]
    (sbin / "python3").unlink()
    assert line.status is Status.DRIFT
    assert re.fullmatch(r"-(60|59|58) s off", line.seen), "how long asking took is left out"
    assert "506 Cannot talk to daemon" in line.remedy


@pytest.mark.nightly
def test_a_session_finds_the_stack_and_runs_a_test_of_the_chain_unchanged(there, tmp_path: Path) -> None:
    """By nothing but the endpoints in its environment: the code of a session on EC2."""
    told = aws_session.run([aws_session.FIRST], tmp_path, 280, "--lab-source", "find", "--lab-aws-run", RUN)
    assert "1 passed" in told
    aws_session.proven(tmp_path)
    assert wrong(there.guests.audit()) == {}, "it is left as it was found"


def test_the_command_from_an_audit_to_nothing(there, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*argv: str) -> tuple[int, str]:
        code = main(["aws", *argv])
        return code, capsys.readouterr().out

    there.hand.ip("client", "link set dev eth0 mtu 1400")
    vandal = Vandal(there.stack)
    vandal.no_row(MIDDLE, SERVER)
    code, text = told("audit", RUN, *TOPOLOGY)
    assert code == 2
    assert "effect: traffic goes past servernic and nothing is tested" in text
    assert "guest client: mtu eth0 is 1400, should be 1500; effect: large segments vanish" in text
    code, text = told("repair", RUN, *TOPOLOGY, "--json", "--cloud-only")
    fixed = [f"{line['key']}: {line['aspect']}" for line in json.loads(text)["lines"] if line["status"] == "FIXED"]
    assert (code, fixed) == (0, [f"table {MIDDLE}: route {SERVER}"])
    there.guests.close()
    assert told("reap") == (0, "nothing has expired\n")
    assert told("reap", "--run", RUN)[0] == 0
    assert told("repair", RUN)[0] == 64
    code, text = told("provision", RUN, *TOPOLOGY, "--dry-run")
    assert code == 0
    assert "up to 0.82 USD in 2 h" in text
