"""What goes wrong between us and an instance, and what is done about it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hopscope.errors import ConnectionLost, EnvironmentFault
from hopscope.hosts.ready import LogLine
from hopscope.hosts.ssm import SsmExecutor
from hopscope.lab.wait import wait_until
from support import cloud

pytestmark = [
    pytest.mark.integration,
    pytest.mark.lab_uncaptured,
    pytest.mark.skipif(os.geteuid() != 0, reason="the rooms of instances need a lab built by root"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory):
    with cloud.instances(tmp_path_factory.mktemp("ssm")) as (_, agents, double):
        yield agents, double


@pytest.fixture
def host(service, tmp_path: Path):
    """Without a bucket: all goes by commands."""
    executor = cloud.hands("i-client", tmp_path)
    yield executor
    assert executor.close() == []


def weather(service, **errors: list[str]) -> None:
    service[1].weather.errors.update(errors)


def test_a_command_whose_pipes_are_held_is_named_cancelled_and_its_job_goes_on(service, host: SsmExecutor) -> None:
    host.prepare()
    host.api = host.commands.api = replace(host.api, pace=replace(host.api.pace, patience=0.3))
    service[1].weather.held = 1
    assert host.run(["sh", "-c", "sleep 0.5; echo done"], timeout=20).text == "done"
    (note,) = host.notes
    assert "`sleep 600`) holds its output; it was cancelled" in note
    held = [each for each in service[1].invocations.values() if each.script.startswith("sleep 600")]
    wait_until(lambda: held[-1].status == "Cancelled", timeout=5, what="the cancellation")


def test_throttling_is_waited_out_also_when_botocore_gives_up(service, host: SsmExecutor) -> None:
    host.prepare()
    weather(service, SendCommand=["ThrottlingException"] * 4, GetCommandInvocation=["ThrottlingException"])
    assert host.run(["echo", "through"]).text == "through"


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ExpiredTokenException", "log in again"),
        ("AccessDeniedException", "hopscope aws policy"),
        ("UnrecognizedClientException", "AWS_PROFILE"),
    ],
)
def test_what_is_refused_is_told_with_its_remedy(service, host: SsmExecutor, code: str, remedy: str) -> None:
    weather(service, SendCommand=[code])
    with pytest.raises(EnvironmentFault, match=remedy) as caught:
        host.run(["true"])
    assert caught.value.host == "client"


def test_an_instance_that_is_not_registered(service, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="not registered with Systems Manager"):
        cloud.hands("i-nobody", tmp_path).run(["true"])


def test_an_instance_that_is_delayed_is_told_from_one_that_is_slow(service, host: SsmExecutor) -> None:
    host.prepare()
    host.commands.api = replace(host.api, pace=replace(host.api.pace, patience=0.3))
    service[0]["i-client"].reachable.clear()
    try:
        with pytest.raises(ConnectionLost, match=r"not delivered to i-client: it is Delayed\. Is the instance running"):
            host.run(["true"])
    finally:
        service[0]["i-client"].reachable.set()


def test_a_command_that_somebody_else_cancels(service, host: SsmExecutor) -> None:
    host.prepare()
    command = host.commands.send("sleep 60", what="sleep", seconds=60)
    service[1].invocations[command, "i-client"].cancelled.set()
    seen = wait_until(
        lambda: (found := host.commands.look(command, "sleep"))["Status"] == "Cancelled" and found,
        timeout=5,
        what="its end",
    )
    with pytest.raises(EnvironmentFault, match="was cancelled, and not by us"):
        host.commands._conclude(seen, "sleep")


def test_files_go_in_pieces_where_there_is_no_bucket(host: SsmExecutor, tmp_path: Path) -> None:
    blob = os.urandom(90_000)
    (tmp_path / "file").write_bytes(blob)
    host.put(tmp_path / "file", "below/file")
    host.get("below/file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == blob
    assert len(host.run(["cat", "below/file"]).stdout) == len(blob)


def test_a_secret_is_in_no_message(host: SsmExecutor) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        host.run(["sh", "-c", "echo password=$DB_PASSWORD >&2; exit 1"], env={"DB_PASSWORD": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_secret_is_in_no_command_where_there_is_a_bucket(service, tmp_path: Path) -> None:
    """Commands stay in the account's history for 30 days."""
    with cloud.bucket(service[0]["i-server"].host, tmp_path) as given:
        executor = cloud.hands("i-server", tmp_path, **given)
        assert executor.run(["sh", "-c", "echo $DB_PASSWORD"], env={"DB_PASSWORD": "hunter2"}).text == "hunter2"
        scripts = "".join(each.script for each in service[1].invocations.values())
        assert "hunter2" not in cloud.readable(scripts)
        assert given["s3"].list_objects_v2(Bucket=cloud.BUCKET).get("Contents", []) == []
        assert executor.close() == []


def test_a_process_ends_when_nobody_asks_about_it_any_more(service, tmp_path: Path, host: SsmExecutor) -> None:
    executor = cloud.hands("i-client", tmp_path, ttl=1.0)
    process = executor.spawn(["sh", "-c", "echo up; sleep 60"], name="left", ready=LogLine("up"))
    executor._look = lambda jobs, wait, known=None: (_ for _ in ()).throw(EnvironmentFault("cut off"))  # type: ignore[method-assign]
    alive = ["grep", "-L", "^State:.Z", f"/proc/{process.pid}/status"]
    wait_until(lambda: host.run(alive, check=False).text == "", timeout=10, interval=0.2, what="its end on the host")
    with pytest.raises(ConnectionLost, match=r"nobody asked about it|nothing is heard of i-client"):
        process.wait(5)
