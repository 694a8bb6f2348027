"""A kernel parameter of a host's network namespace."""

from __future__ import annotations

from dataclasses import dataclass, field

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back


@dataclass
class Sysctl:
    """``key`` as in ``net.ipv4.ip_forward``; with slashes where a part of it holds a dot, as sysctl(8) has it.

    ``value`` is compared field by field, as the kernel prints tabs between the numbers of one parameter.
    """

    host: str
    key: str
    value: str
    _before: str | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return f"sysctl {self.key}"

    @property
    def wanted(self) -> str:
        return " ".join(self.value.split())

    @property
    def path(self) -> str:
        return "/proc/sys/" + (self.key if "/" in self.key else self.key.replace(".", "/"))

    def read(self, executor: Executor) -> str:
        return " ".join(executor.run(["cat", self.path]).text.split())

    def apply(self, executor: Executor) -> None:
        self._before = self.read(executor)
        self._write(executor, self.value)

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._before is not None:
            self._write(executor, self._before)

    def _write(self, executor: Executor, value: str) -> None:
        # sysctl(8) may exit 0 where it failed inside a namespace; tee may fail where it did not matter. Read back.
        executor.run(["tee", self.path], stdin=value.encode() + b"\n", check=False)
