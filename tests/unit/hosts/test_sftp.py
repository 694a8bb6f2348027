"""The client against a server of a few lines that answers as a server may: in pieces, out of order, with a refusal."""

from __future__ import annotations

import io
import os
import struct
from pathlib import PurePosixPath

import pytest

from hopscope.hosts import sftp
from hopscope.hosts.sftp import Refused, Sftp


class Server:
    """Files in memory. ``most`` bytes are read at once; answers to reads come in pairs, the second first."""

    def __init__(
        self, files: dict[str, bytes], *, most: int = 1 << 20, room: int = 1 << 30, swap: bool = False
    ) -> None:
        self.files, self.most, self.room, self.swap = {k: bytearray(v) for k, v in files.items()}, most, room, swap
        self.modes: dict[str, int] = {}
        self.folders = {"/"}
        self.open: list[str] = []
        self.answers: list[bytes] = []
        self.waiting: list[bytes] = []
        self.outstanding = 0
        self.peak = 0

    def sendall(self, data: bytes) -> None:
        length, kind = struct.unpack_from("!IB", data)
        assert length == len(data) - 4
        if kind == sftp.INIT:
            self.say(sftp.SAID_VERSION, struct.pack("!I", 3))
            return
        self.outstanding += 1
        self.peak = max(self.peak, self.outstanding)
        self.number, body = data[5:9], data[9:]
        getattr(
            self,
            {3: "opened", 4: "closed", 5: "read", 6: "write", 8: "told", 14: "made", 17: "there", 200: "more"}[kind],
        )(body)

    def recv(self, size: int) -> bytes:
        if not self.answers:
            self.answers, self.waiting = self.waiting, []
        if not self.answers:
            return b""
        answer, rest = self.answers[0][:60_007], self.answers[0][60_007:]
        if rest:
            self.answers[0] = rest
        else:
            self.answers.pop(0)
            self.outstanding -= 1
        return answer

    def say(self, kind: int, body: bytes) -> None:
        number = b"" if kind == sftp.SAID_VERSION else self.number
        self.answers.append(struct.pack("!IB", len(number + body) + 1, kind) + number + body)

    def status(self, code: int, text: bytes = b"") -> None:
        self.say(sftp.STATUS, struct.pack("!II", code, len(text)) + text + struct.pack("!I", 0))

    @staticmethod
    def texts(body: bytes, count: int) -> list[str]:
        found = []
        for _ in range(count):
            (length,) = struct.unpack_from("!I", body)
            found.append(body[4 : 4 + length].decode())
            body = body[4 + length :]
        return [*found, body.hex()]

    def opened(self, body: bytes) -> None:
        name, rest = self.texts(body, 1)
        flags = struct.unpack_from("!I", bytes.fromhex(rest))[0]
        if flags == sftp.FOR_READING and name not in self.files:
            return self.status(2, b"No such file")
        if flags == sftp.FOR_WRITING:
            self.files[name] = bytearray()
            self.modes[name] = struct.unpack_from("!II", bytes.fromhex(rest), 4)[1]
        self.open.append(name)
        return self.say(sftp.HANDLE, struct.pack("!I", 1) + bytes([len(self.open) - 1]))

    def closed(self, body: bytes) -> None:
        self.status(0)

    def told(self, body: bytes) -> None:
        self.say(sftp.ATTRIBUTES, struct.pack("!IQ", 1, len(self.files[self.open[body[4]]])))

    def read(self, body: bytes) -> None:
        at, length = struct.unpack_from("!QI", body, 5)
        data = self.files[self.open[body[4]]][at : at + min(length, self.most)]
        self.say(sftp.DATA, struct.pack("!I", len(data)) + bytes(data))
        if self.swap:
            self.waiting.insert(0, self.answers.pop())

    def write(self, body: bytes) -> None:
        at, length = struct.unpack_from("!QI", body, 5)
        file = self.files[self.open[body[4]]]
        if at + length > self.room:
            return self.status(4, b"Failure")
        file[at : at + length] = body[17:]
        return self.status(0)

    def made(self, body: bytes) -> None:
        self.folders.add(self.texts(body, 1)[0])
        self.status(0)

    def there(self, body: bytes) -> None:
        self.status(0 if self.texts(body, 1)[0] in self.folders else 2, b"No such file")

    def more(self, body: bytes) -> None:
        name, old, new, _ = self.texts(body, 3)
        assert name == "posix-rename@openssh.com"
        self.files[new] = self.files.pop(old)
        self.status(0)


def fetch(server: Server, name: str) -> bytes:
    found = bytearray()

    def sink(at: int, data: bytes) -> None:
        found.extend(bytes(max(0, at + len(data) - len(found))))
        found[at : at + len(data)] = data

    assert Sftp(server).read(name, sink) == len(found)
    return bytes(found)


BLOB = os.urandom(3 * sftp.REQUEST * sftp.OUTSTANDING // 2 + 77)


@pytest.mark.parametrize("content", [b"", b"x", BLOB[: sftp.REQUEST], BLOB[: sftp.REQUEST + 1]])
def test_files_of_all_sizes_come_whole(content: bytes) -> None:
    assert fetch(Server({"/f": content}), "/f") == content


@pytest.mark.parametrize("given", [{}, {"most": 32 * 1024}, {"most": 50_001}, {"swap": True}])
def test_short_answers_and_answers_out_of_order_are_put_together(given: dict[str, int]) -> None:
    server = Server({"/f": BLOB}, **given)  # type: ignore[arg-type]
    assert fetch(server, "/f") == BLOB
    assert server.peak <= sftp.OUTSTANDING


def test_a_file_is_written_with_its_mode_and_moved_to_its_place() -> None:
    server = Server({"/old": b"before"})
    client = Sftp(server)
    client.write("/new", io.BytesIO(BLOB), 0o750)
    client.rename("/new", "/old")
    assert bytes(server.files["/old"]) == BLOB
    assert server.modes["/new"] == 0o750
    assert sftp.OUTSTANDING // 2 < server.peak <= sftp.OUTSTANDING


def test_missing_folders_are_made_from_the_top() -> None:
    server = Server({})
    Sftp(server).make_folder(PurePosixPath("/a/b"))
    assert server.folders == {"/", "/a", "/a/b"}


def test_a_refusal_is_told_with_its_words() -> None:
    with pytest.raises(Refused, match=r"No such file \(SFTP status 2\)"):
        fetch(Server({}), "/none")
    with pytest.raises(Refused, match="Failure"):
        Sftp(Server({}, room=1000)).write("/f", io.BytesIO(BLOB), 0o600)


def test_a_server_that_goes_away_is_no_end_of_file() -> None:
    server = Server({"/f": BLOB})
    client = Sftp(server)
    server.read = lambda body: None  # type: ignore[method-assign]
    with pytest.raises(EOFError, match="closed the session"):
        client.read("/f", lambda at, data: None)


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack("!IB", len(body) + 1, kind) + body


HELLO, HANDLE = packet(sftp.SAID_VERSION, struct.pack("!I", 3)), packet(sftp.HANDLE, struct.pack("!II", 1, 0))
SIZE = packet(sftp.ATTRIBUTES, struct.pack("!IIQ", 2, 1, 20))


class Says:
    """A server that says what it was given, whatever it is asked."""

    def __init__(self, said: bytes) -> None:
        self.said = io.BytesIO(said)

    def sendall(self, data: bytes) -> None: ...

    def recv(self, size: int) -> bytes:
        return self.said.read(size)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (struct.pack("!IB", 0, 2), "an answer of 0 bytes"),
        (struct.pack("!IB", 2**32 - 1, 2), "an answer of 4294967295 bytes"),
        (HELLO + packet(sftp.STATUS, b"\0\0"), "too short"),
        (HELLO + packet(sftp.STATUS, struct.pack("!I", 1)), "too short"),
        (HELLO + HANDLE + packet(sftp.ATTRIBUTES, struct.pack("!II", 2, 1)), "too short"),
        (HELLO + HANDLE + SIZE + packet(sftp.DATA, struct.pack("!II", 9, 1) + b"x"), "what was not asked"),
        (HELLO + HANDLE + SIZE + packet(sftp.DATA, struct.pack("!II", 3, 0)), "gave 0 bytes of a file for 20"),
        (HELLO + HANDLE + SIZE + packet(sftp.DATA, struct.pack("!II", 3, 21) + bytes(21)), "gave 21 bytes of a file"),
        (HELLO + HANDLE + SIZE + packet(sftp.HANDLE, struct.pack("!II", 3, 4) + bytes(4)), "of a file for 20"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_ends_the_session_in_words(said: bytes, words: str) -> None:
    with pytest.raises(EOFError, match=words):
        Sftp(Says(said)).read("/it", lambda at, data: None)
