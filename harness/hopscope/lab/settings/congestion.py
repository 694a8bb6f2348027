"""The congestion control that new sockets of a host get.

A namespace may be refused one that the machine has: the default of a namespace that is not the first must be one of
the algorithms that everybody may use. Traffic sets it per socket for that reason; this is for what cannot.
"""

from __future__ import annotations

from hopscope.errors import SettingRefused
from hopscope.hosts.executor import Executor
from hopscope.lab.setting import refused
from hopscope.lab.settings.sysctl import Sysctl


class CongestionControl(Sysctl):
    """``algorithm`` as in ``reno``, ``cubic``, ``bbr``."""

    def __init__(self, host: str, algorithm: str) -> None:
        super().__init__(host, "net.ipv4.tcp_congestion_control", algorithm)

    @property
    def name(self) -> str:
        return "congestion control"

    def verify(self, executor: Executor) -> str:
        seen = self.read(executor)
        if seen != self.wanted:
            raise self._refused(executor, seen)
        return seen

    def _refused(self, executor: Executor, seen: str) -> SettingRefused:
        error = refused(self, seen)
        have = executor.run(["cat", "/proc/sys/net/ipv4/tcp_available_congestion_control"], check=False).text
        error.evidence = f"{error.evidence}\navailable here: {have}"
        return error
