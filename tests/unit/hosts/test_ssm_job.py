"""The program that looks after jobs, run here as it is run on an instance."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from hopscope.hosts.ssm import JOB
from hopscope.lab.wait import wait_until

START = {"stdin": None, "limit": 20, "stays": 0, "wait": 5, "most": 20_000, "largest": 1 << 20, "over": []}


@pytest.fixture
def ask(tmp_path: Path):
    def put(do: str, **given: Any) -> dict[str, Any]:
        text = json.dumps({"do": do, "root": str(tmp_path), **(START if do == "start" else {}), **given})
        argv = [sys.executable, "-I", "-S", str(JOB), base64.b64encode(text.encode()).decode()]
        return dict(json.loads(subprocess.run(argv, capture_output=True, timeout=30, check=True).stdout))

    return put


def data(told: dict[str, Any], stream: str = "out") -> bytes:
    return zlib.decompress(base64.b64decode(told[stream]["data"])) if told[stream]["bytes"] else b""


def test_a_brief_job_is_told_whole(ask) -> None:
    told = ask("start", token="a", argv=["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (data(told), data(told, "err"), told["end"]["code"], told["end"]["why"]) == (b"out\n", b"err\n", 3, "")


def test_nothing_of_a_job_hangs_on_the_pipes_of_who_started_it(ask) -> None:
    """``ask`` reads both pipes to their ends."""
    started = time.monotonic()
    told = ask("start", token="a", argv=["sleep", "30"], wait=0)
    assert time.monotonic() - started < 10
    assert told["end"] is None
    os.killpg(told["pid"], signal.SIGKILL)


def test_a_look_waits_for_news_and_tells_only_what_is_new(ask) -> None:
    ask("start", token="a", argv=["sh", "-c", "echo one; sleep 0.3; echo two"], wait=0)
    wait_until(
        lambda: ask("look", jobs={"a": [0, 0]}, wait=1, most=1000, known=None)["jobs"]["a"]["out"]["bytes"],
        timeout=5,
        what="one",
    )
    told = ask("look", jobs={"a": [4, 0]}, wait=5, most=1000, known=None)["jobs"]["a"]
    assert data(told) == b"two\n"


@pytest.mark.parametrize(
    ("given", "script", "why"),
    [
        ({"limit": 0.3}, "sleep 60 & echo $!; wait", "late"),
        ({"largest": 1000}, "echo $$; while :; do echo more; done", "output"),
        ({"limit": None, "stays": 0.3}, "trap '' TERM; sleep 60 & echo $!; wait; wait", "unheard"),
    ],
)
def test_a_job_is_ended_with_its_group(ask, given: dict[str, Any], script: str, why: str) -> None:
    told = ask("start", token="a", argv=["sh", "-c", script], wait=10, **given)
    assert told["end"]["why"] == why
    pid = int(data(told).split()[0])
    wait_until(lambda: not Path(f"/proc/{pid}/exe").exists(), timeout=5, what="its end")


def test_a_look_is_brief_where_a_job_has_begun_that_it_does_not_know_of(ask) -> None:
    """It began while its predecessor was looking: what it says must not wait for the end of a long look, even where
    another job has gone for it, so that there are as many as before."""
    tokens = [f"stays-{letter}" for letter in "ab"]
    pids = [ask("start", token=token, argv=["sleep", "60"], stays=60, limit=None, wait=0)["pid"] for token in tokens]
    started = time.monotonic()
    ask("look", jobs={tokens[0]: [0, 0]}, wait=30, most=1000, known=["stays-over"])
    assert 0.2 < time.monotonic() - started < 10
    for jobs, known in ((tokens, []), (tokens[:1], tokens[1:])):
        started = time.monotonic()
        ask("look", jobs={token: [0, 0] for token in jobs}, wait=0.5, most=1000, known=known)
        assert time.monotonic() - started >= 0.5
    for pid in pids:
        os.killpg(pid, signal.SIGKILL)


def test_a_signal_goes_to_the_first_process_or_to_the_group(ask) -> None:
    ask("start", token="a", argv=["sh", "-c", "trap 'echo heard' USR1; sleep 60 & wait; wait"], wait=0.2)
    ask("signal", token="a", signal=signal.SIGUSR1.value, group=False)
    assert data(ask("look", jobs={"a": [0, 0]}, wait=5, most=1000, known=None)["jobs"]["a"]) == b"heard\n"
    ask("signal", token="a", signal=signal.SIGKILL.value, group=True)
    told = ask("look", jobs={"a": None}, wait=5, most=1000, known=None)["jobs"]["a"]
    assert told["end"]["code"] == -signal.SIGKILL
    assert ask("signal", token="a", signal=signal.SIGKILL.value, group=True) == {}


def test_much_output_comes_in_pieces_that_fit(ask) -> None:
    told = ask("start", token="a", argv=["head", "-c", "100000", "/dev/urandom"])
    assert len(told["out"]["data"]) <= START["most"] / 2
    assert told["out"]["bytes"] < told["end"]["out"] == 100_000


def test_who_holds_a_pipe_is_found_and_not_who_reads_it(ask) -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo up; wait"], stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = ask("holders", pipes=[os.readlink(f"/proc/self/fd/{child.stdout.fileno()}")])["holders"]
        os.killpg(child.pid, signal.SIGKILL)
    assert "sleep 60" in found.values()
    assert str(os.getpid()) not in found


def test_a_file_is_placed_when_its_hash_is_right_and_only_then(ask, tmp_path: Path) -> None:
    blob, place = os.urandom(1000), tmp_path / "below" / "file"
    piece = {"path": str(place), "mode": 0o750}
    halves = [base64.b64encode(zlib.compress(half)).decode() for half in (blob[:600], blob[600:])]
    ask("write", offset=0, data=halves[0], path=str(place))
    assert "600 bytes are there" in ask("write", offset=500, data=halves[1], path=str(place))["failed"]
    ask("write", offset=600, data=halves[1], sha256=hashlib.sha256(blob).hexdigest(), **piece)
    assert (place.read_bytes(), place.stat().st_mode & 0o777) == (blob, 0o750)
    assert "sha256 is" in ask("write", offset=0, data=halves[0], sha256="0" * 64, **piece)["failed"]
    assert place.read_bytes() == blob
