"""A host looked at: ``survey.py`` and questions about its ways, each by one command, as each costs a round trip."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hopscope.hosts.executor import Executor
from hopscope.hosts.program import python_program
from hopscope.lab.lifeline import PROGRAMS

#: What a host of a lab needs, and the package that it is in on Debian.
TOOLS = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "ethtool": "ethtool",
    "ping": "iputils-ping",
    "setpriv": "util-linux",
    "getent": "libc-bin",
    "sha256sum": "coreutils",
}
SURVEY_SECONDS = 30.0
WAYS = 'for each; do ip -json route get "$each" 2>/dev/null || echo "[]"; done'


@dataclass(frozen=True)
class Look:
    """What ``survey.py`` told, and our own clock (ns since the epoch) before it was asked and after it answered."""

    survey: dict[str, Any]
    before_ns: int
    after_ns: int

    @property
    def ahead_ns(self) -> int:
        """By how much the host's clock is ahead of ours, give or take half the time that asking took."""
        return int(self.survey["time_ns"]) - (self.before_ns + self.after_ns) // 2

    @property
    def surely_ahead_ns(self) -> int:
        """By how much it is ahead (or behind) at least, however long asking took."""
        told = int(self.survey["time_ns"])
        return min(0, told - self.before_ns) + max(0, told - self.after_ns)


def survey(executor: Executor) -> Look:
    argv = [*python_program(executor, PROGRAMS / "survey.py"), str(executor.directory), *TOOLS]
    before = time.time_ns()
    told = executor.run(argv, timeout=SURVEY_SECONDS).stdout
    return Look(json.loads(told), before, time.time_ns())


def ways(executor: Executor, addresses: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What ``ip -json route get`` says of each address (``gateway``, ``dev``); nothing where there is no way."""
    asked = list(dict.fromkeys(addresses))
    text = executor.run(["sh", "-c", WAYS, "ways", *asked]).text if asked else ""
    decoder, found = json.JSONDecoder(), {}
    for address in asked:
        told, end = decoder.raw_decode(text)
        text = text[end:].lstrip()
        found[address] = dict(told[0]) if told else {}
    return found
