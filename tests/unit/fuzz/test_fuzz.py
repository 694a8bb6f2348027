"""Whatever is read from outside, damaged: it is understood or refused in words, and never ends in anything else.

Few of each by day; the full number at night. A crash is a test of its own below, or beside what it was found in.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shlex
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hopscope import cli, data
from hopscope.checks.judge import judge_folder
from hopscope.errors import HopscopeError
from hopscope.hosts import redact, sftp
from hopscope.hosts.sftp import Sftp
from hopscope.hosts.ssh_stream import Heading
from hopscope.hosts.ssm import SsmExecutor
from hopscope.model import document
from hopscope.wire import pcap
from hopscope_nic.core.segment import HEADROOM, Segment
from support import golden_folders, pages
from support.fuzz import some_frames
from support.garble import damaged, garbled, many

FIXTURES = data.path("topologies").parent
TOPOLOGIES = [file.read_text() for file in sorted((FIXTURES / "topologies").glob("*.yaml"))]
SUTS = [file.read_text() for file in sorted((FIXTURES / "suts").glob("*.yaml"))]
INVENTORY = """
description: two machines
hosts:
  client: {address: 192.0.2.1, port: 22, user: me, sudo: true, ports: {"eth0": "02:00:00:00:00:01"}}
  server: {address: host.example, keys: [id_ed25519], fingerprint: "SHA256:%s", jump: {address: 192.0.2.9}}
links:
  "client:eth0--server:eth0": {host: server, ports: [eth1, eth2]}
""" % ("A" * 43)


SHARE = float(os.environ.get("HOPSCOPE_FUZZ_SHARE", "1"))
"""Of the number of a night: for a longer look by day."""


def counts(day: int, night: int) -> Any:
    long = pytest.param(int(night * SHARE), marks=[pytest.mark.nightly, pytest.mark.timeout(3600)], id="night")
    return pytest.mark.parametrize("count", [pytest.param(day, id="day"), long])


def refused(call: Any, *given: Any) -> int:
    """The exit code of the words in which it was refused; 0 where it was understood. Any other error goes on."""
    try:
        call(*given)
    except HopscopeError as error:
        return error.exit_code if str(error).strip() else -1
    return 0


@counts(60, 100_000)
@pytest.mark.parametrize(
    ("load", "good"),
    [(document.load_topology, TOPOLOGIES), (document.load_sut, SUTS), (document.load_inventory, [INVENTORY])],
    ids=["topology", "sut", "inventory"],
)
def test_documents(tmp_path: Path, load: Any, good: list[str], count: int) -> None:
    file, codes = tmp_path / "it.yaml", []
    for rng in many(count, seed=1):
        file.write_text(garbled(rng.choice(good), rng), errors="surrogatepass")
        codes.append(refused(load, file))
    assert set(codes) == {0, 64}
    assert codes.count(64) > count * 0.2, "what is damaged this little tells nothing"


LINES = [shlex.split(line) for line in (
    "judge runs/latest --expect stamp --json", "judge . --flow 40001 --workers 4", "report latest --output r.html",
    "compare a b --history h.json --markdown", "preflight --json", "lab up chain --rtt 20 --sut stamp --name x",
    "lab exec chain server -- ss -tin", "lab watch chain servernic:eth0 --count 3 --filter icmp", "lab list --json",
    "lab down chain", "lab reap", "runs gc --keep 3 --max-bytes 10", "schema topology", "init own",
    "lastmile tunnel --dry-run --json", "aws audit", "aws provision",
)]  # fmt: skip


@counts(400, 100_000)
def test_command_lines(count: int) -> None:
    parser, ends = cli.parser(), {0: 0, 64: 0}
    odd = ("--", "-", "", "-1", "--help=1", "é", "9" * 30, "\ud800")
    words = [*sorted({word for line in LINES for word in line}), *odd]
    for rng in many(count, seed=2):
        line = list(rng.choice(LINES))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(line) + 1)
            line[at : at + rng.randrange(2)] = [rng.choice(words)]
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            try:
                parser.parse_args(line)
                ends[0] += 1
            except SystemExit as ended:
                ends[int(ended.code or 0)] += 1
    assert min(ends.values()) > count / 20


def captures() -> list[bytes]:
    return [file.read_bytes() for file in sorted(golden_folders.ROOT.rglob("*.pcap*"))]


@counts(150, 100_000)
def test_captures(tmp_path: Path, count: int) -> None:
    good, understood = captures(), 0
    for number, rng in enumerate(many(count, seed=3)):
        file = tmp_path / f"{number % 8}.pcap"  # one that is mapped still is not written over
        file.unlink(missing_ok=True)
        file.write_bytes(damaged(rng.choice(good), rng))
        if code := refused(pcap.read, file):
            assert code == 3
            continue
        understood += 1
        assert len(pcap.read(file)) <= file.stat().st_size // 16, "more packets than there are bytes for"
    assert understood > count / 4


@counts(4_000, 1_000_000)
def test_segments(tmp_path: Path, count: int) -> None:
    """Many in one file: the columns of a frame are what they would be without its neighbours, whatever those are."""
    rng, file = random.Random(4), tmp_path / "it.pcap"
    for first in range(0, count, 4_000):
        frames = [damaged(frame, rng) for frame in some_frames(min(4_000, count - first), rng)]
        file.unlink(missing_ok=True)
        file.write_bytes(_capture(frames))
        packets = pcap.read(file)
        assert len(packets) == len(frames)
        alone = rng.sample(range(len(frames)), 5)
        for number in alone:
            one = tmp_path / "one.pcap"
            one.unlink(missing_ok=True)
            one.write_bytes(_capture([frames[number]]))
            single = pcap.read(one)
            for column in ("sport", "dport", "flags", "seq", "ack", "payload_len"):
                got, wanted = getattr(packets, column)[number], getattr(single, column)[0]
                assert np.array_equal(got, wanted), (column, frames[number].hex())


def _capture(frames: list[bytes]) -> bytes:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    return head + b"".join(struct.pack("<IIII", 1, n % 10**6, len(f), len(f)) + f for n, f in enumerate(frames))


@counts(3_000, 1_000_000)
def test_segments_for_the_rewriters(count: int) -> None:
    """The core takes what a datapath hands it as a segment, or leaves it alone."""
    rng, taken = random.Random(5), 0
    for _ in range(0, count, 100):
        for frame in some_frames(100, rng):
            buffer = bytearray(HEADROOM) + damaged(frame[14:], rng)
            taken += Segment().load(buffer, HEADROOM, len(buffer), verified=True) is None
    assert taken > count / 50


@counts(4, 2_000)
def test_whole_folders_are_judged_or_refused(tmp_path: Path, count: int) -> None:
    """One capture or side-car of a whole trace is damaged: there is a verdict, or words, and never another error."""
    folders = [golden_folders.ROOT / name for name in ("stamp", "hold", "plain")]
    for number, rng in enumerate(many(count, seed=6)):
        folder = tmp_path / str(number)
        folder.mkdir()
        files = [file for file in sorted(rng.choice(folders).iterdir()) if file.is_file()]
        victim = rng.choice(files)
        for file in files:
            content = file.read_bytes()
            (folder / file.name).write_bytes(damaged(content, rng) if file == victim else content)
        assert refused(judge_folder, folder) in (0, 3, 64)


class Answers:
    """A server of SFTP that says what it was given, whatever it is asked."""

    def __init__(self, said: bytes) -> None:
        self.said = io.BytesIO(said)

    def sendall(self, data: bytes) -> None: ...

    def recv(self, size: int) -> bytes:
        return self.said.read(size)


def sftp_answers() -> bytes:
    def packet(kind: int, body: bytes) -> bytes:
        return struct.pack("!IB", len(body) + 1, kind) + body

    def number(n: int) -> bytes:
        return struct.pack("!I", n)

    return (
        packet(sftp.SAID_VERSION, number(3))
        + packet(sftp.HANDLE, number(1) + number(4) + b"hand")
        + packet(sftp.ATTRIBUTES, number(2) + struct.pack("!IQ", 1, 20))
        + packet(sftp.DATA, number(3) + number(20) + bytes(20))
        + packet(sftp.STATUS, number(4) + struct.pack("!II", 0, 2) + b"ok" + number(0))
    )


@counts(2_000, 100_000)
def test_answers_of_sftp(count: int) -> None:
    good, whole = sftp_answers(), 0
    for rng in many(count, seed=7):
        got: list[tuple[int, bytes]] = []
        try:
            Sftp(Answers(damaged(good, rng))).read("/it", lambda at, piece, got=got: got.append((at, piece)))
            whole += 1
        except (EOFError, OSError):
            pass
        assert sum(len(piece) for _, piece in got) <= sftp.LONGEST
    assert whole > count / 50
    assert Sftp(Answers(good)).read("/it", lambda at, piece: None) == 20


@counts(2_000, 100_000)
def test_what_a_login_says_before_a_command(count: int) -> None:
    good = b"Welcome!\nLast login: today\nt0ken 4242 4242 127.0.0.1 5 127.0.0.1 22\noutput of the command\n"
    for rng in many(count, seed=8):
        said, got = damaged(good, rng), bytearray()
        heading, at = Heading("t0ken", got.extend), 0
        while at < len(said):
            step = rng.randint(1, 30)
            heading.feed(said[at : at + step])
            at += step
        assert heading.words is not None or bytes(heading.noise) == said
        assert heading.words is None or said.endswith(bytes(got))


@counts(2_000, 100_000)
def test_answers_of_systems_manager(count: int) -> None:
    good = json.dumps({"pid": 42, "end": {"code": 0, "why": ""}, "out": {"bytes": 3, "data": "eJw="}})
    for rng in many(count, seed=9):
        host: Any = SsmExecutor.__new__(SsmExecutor)
        answer = garbled(good, rng)
        host.name, host.directory, host.python = "client", Path("/tmp/x"), "python3"
        host.commands = SimpleNamespace(run=lambda *_, answer=answer, **__: answer)
        assert refused(host._asked, {"do": "look"}) in (0, 2)


@counts(500, 100_000)
def test_secrets_are_hidden_wherever_they_stand(count: int) -> None:
    """The value of a variable with a telling name is nowhere in what is left, however the text is damaged around it."""
    secret = "hunter2-0123456789abcdef"
    page = pages.DOCS.joinpath("aws.md").read_text()[:4000]
    for rng in many(count, seed=10):
        text = garbled(page[:600], rng)
        at = rng.randrange(len(text) + 1)
        told = redact.redact(f"{text[:at]}{secret}{text[at:]}", {"AWS_SECRET_ACCESS_KEY": secret})
        assert secret not in told
