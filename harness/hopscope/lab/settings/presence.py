"""Something on a host that is there or not: an address, a rule, a filter, added and removed by a command each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back

THERE, NONE = "there", "none"


@dataclass
class Presence:
    """``mark`` is a pattern that the output of ``show`` has where it is there; ``wanted`` is "there" or "none"."""

    host: str
    name: str
    show: tuple[str, ...]
    mark: str
    add: tuple[str, ...]
    remove: tuple[str, ...]
    wanted: str = THERE
    _before: str | None = field(default=None, init=False, repr=False)

    def read(self, executor: Executor) -> str:
        result = executor.run(list(self.show), check=False)
        return THERE if re.search(self.mark, result.text, re.MULTILINE) else NONE

    def apply(self, executor: Executor) -> None:
        self._before = self.read(executor)
        self._make(executor, self.wanted)

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._before is not None:
            self._make(executor, self._before)

    def _make(self, executor: Executor, wanted: str) -> None:
        if self.read(executor) != wanted:
            executor.run(list(self.add if wanted == THERE else self.remove), check=False)  # read back
