"""A transfer over loopback through the real program, and what is made of reports that do not agree."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hopscope.traffic import transfer as module
from hopscope.traffic.transfer import TransferReport, transfer
from support.fakehost import FakeHost, FakeProcess

SAID = {"sent": 10, "sent_sha256": "a", "received": 10, "received_sha256": "b"}
BACK = {"sent": 10, "sent_sha256": "b", "received": 10, "received_sha256": "a"}


def test_both_programs_send_and_hash_both_ways() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-I", "-S", str(Path(module.__file__).with_name("copier.py"))]
    end = ["127.0.0.1", str(port), "300000", "10"]
    with subprocess.Popen([*program, "serve", *end], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stderr.readline() == b"listening\n"
        client = subprocess.run([*program, "connect", *end], capture_output=True, timeout=20, check=True)
        here, there = json.loads(client.stdout), json.loads(server.communicate(timeout=20)[0])
    assert (here["sent"], there["received"], here["received"], there["sent"]) == (300000,) * 4
    assert (here["sent_sha256"], here["received_sha256"]) == (there["received_sha256"], there["sent_sha256"])
    assert here["sent_sha256"] != here["received_sha256"]


def report(tmp_path: Path, here: Any, there: Any) -> TransferReport:
    def serving(process: FakeProcess, sig: int) -> None:
        if sig == 0:
            process.say(there if isinstance(there, str) else json.dumps(there), "stdout")
            process.code = 0

    text = here if isinstance(here, str) else json.dumps(here)
    client = FakeHost("left", tmp_path / "left", answers={sys.executable: text.encode()})
    return transfer(client, FakeHost("right", tmp_path / "right", serving), "10.9.0.2", bytes=10)


def test_what_arrives_as_it_was_sent_is_well(tmp_path) -> None:
    found = report(tmp_path, SAID, BACK)
    assert found.ok
    assert [(way.host, way.to, way.received) for way in found.ways] == [("left", "right", 10), ("right", "left", 10)]


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (SAID, BACK | {"received_sha256": "c"}, "left to right: 10 of 10 bytes arrived, the hashes differ"),
        (SAID | {"received_sha256": "c"}, BACK, "right to left: 10 of 10 bytes arrived, the hashes differ"),
        (SAID, BACK | {"received": 7}, "left to right: 7 of 10 bytes arrived"),
        ({"error": "connect: timed out"}, BACK, "left: connect: timed out"),
        ("", BACK, "left: it said nothing"),
        (SAID, "Traceback", "right: it said nothing"),
    ],
)
def test_what_does_not_is_told(tmp_path, here, there, words) -> None:
    found = report(tmp_path, here, there)
    assert not found.ok
    assert words in str(found)
