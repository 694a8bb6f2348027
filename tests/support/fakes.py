"""Hosts that are not there: executors that answer from a table, for tests without namespaces."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hopscope.errors import CommandFailed
from hopscope.hosts.executor import Result

Answer = Callable[[Sequence[str], bytes | None], str | int]


class FakeExecutor:
    """``answer`` gets a command and its input, and gives what it prints, or an exit code that is not 0."""

    def __init__(self, name: str, directory: Path, answer: Answer) -> None:
        self.name = name
        self.directory = directory
        self.python, self.here = sys.executable, True
        self.answer = answer
        self.commands: list[tuple[str, ...]] = []

    def run(self, argv: Sequence[str], *, check: bool = True, stdin: bytes | None = None, **_: Any) -> Result:
        self.commands.append(tuple(argv))
        said = self.answer(argv, stdin)
        code, text = (said, "") if isinstance(said, int) else (0, said)
        if check and code:
            raise CommandFailed(f"`{argv[0]}` ended with {code}", host=self.name)
        return Result(tuple(argv), code, text.encode(), b"", 0.001)

    def spawn(self, argv: Sequence[str], **_: Any) -> Any:
        raise NotImplementedError

    def put(self, local: Path, remote: str) -> None:
        raise NotImplementedError

    def get(self, remote: str, local: Path) -> None:
        raise NotImplementedError


def fake_host(tmp_path: Path, answer: Answer) -> FakeExecutor:
    return FakeExecutor("client", tmp_path, answer)


def files(content: dict[str, str], *, writable: bool = True) -> Answer:
    """``cat`` and ``tee`` over some files; writing fails without a word where they are not writable."""

    def answer(argv: Sequence[str], stdin: bytes | None) -> str | int:
        if argv[0] == "cat":
            return content[argv[1]]
        assert argv[0] == "tee"
        assert stdin is not None
        if writable:
            content[argv[1]] = stdin.decode()
        return 0 if writable else 1

    return answer


class FakeProcess:
    """A process that is nothing but its two logs and the signals it got; ``react`` sees each signal."""

    def __init__(self, directory: Path, react: Callable[[int], None] = lambda sig: None) -> None:
        self.name = "fake"
        self.pid = -1
        self.stdout, self.stderr = directory / "fake.out", directory / "fake.err"
        self.stdout.touch()
        self.stderr.touch()
        self.returncode: int | None = None
        self.signals: list[int] = []
        self._react = react

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        assert self.returncode is not None
        return self.returncode

    def signal(self, sig: int) -> None:
        self.signals.append(sig)
        self._react(sig)

    def stop(self, timeout: float = 5.0, sig: int = 15) -> int:
        self.returncode = -sig
        return self.returncode

    def lines(self) -> list[str]:
        return self.stdout.read_text().splitlines()

    def __enter__(self) -> FakeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
