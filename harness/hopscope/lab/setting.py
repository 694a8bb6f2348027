"""A Setting is one fact about a host that we change: read, applied, read back, undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hopscope.errors import SettingRefused
from hopscope.hosts.executor import Executor


class Setting(Protocol):
    """``host`` is where, ``name`` what (``sysctl net.ipv4.ip_forward``), ``wanted`` the value as text."""

    @property
    def host(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def wanted(self) -> str: ...

    def read(self, executor: Executor) -> str:
        """The value now, in the same form as ``wanted`` where it holds."""
        ...

    def apply(self, executor: Executor) -> None:
        """Remember what was there, and change it. Success is what ``verify`` says, not this."""
        ...

    def verify(self, executor: Executor) -> str:
        """Read back, and return what was seen. Raises SettingRefused with both values where it does not hold."""
        ...

    def undo(self, executor: Executor) -> None:
        """Bring back exactly what ``apply`` found; nothing where it has not been applied."""
        ...


@dataclass(frozen=True)
class SettingRecord:
    """A setting that holds: what was wanted, what was there before, what was read back."""

    host: str
    name: str
    wanted: str
    before: str
    seen: str


def read_back(setting: Setting, executor: Executor) -> str:
    """The usual ``verify``: what is read is what was wanted."""
    seen = setting.read(executor)
    if seen != setting.wanted:
        raise refused(setting, seen)
    return seen


def refused(setting: Setting, seen: str) -> SettingRefused:
    return SettingRefused(
        f"{setting.name} did not take",
        host=setting.host,
        evidence=f"wanted: {setting.wanted}\nseen:   {seen}",
    )
