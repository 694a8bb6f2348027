"""Ends the kernel's own forwarding of the selected flows, for as long as this process lives and no longer.

With `ip_forward=1` the kernel forwards a flow too and wins the race. An nft table drops exactly the selected flows
where they arrive, in `prerouting` before connection tracking; packet sockets have seen them by then. The table is
marked `flags owner`: it belongs to the netlink socket of one `nft -i` child, which ends when its standard input does,
so the table goes with this process even by kill -9. (PDEATHSIG is the second string.)
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from types import TracebackType
from typing import List, Optional, Sequence, Type

from hopscope_nic.core.selection import PortRange
from hopscope_nic.errors import EnvironmentFault

_PRIORITY = -450  # NF_IP_PRI_RAW_BEFORE_DEFRAG: before connection tracking puts fragments together
_TIMEOUT = 5.0
_PR_SET_PDEATHSIG = 1


def rules(table: str, client: str, server: str, ranges: Sequence[PortRange], own_addresses: Sequence[str]) -> List[str]:
    """The nft commands: `client` and `server` are interface names."""
    ports = ", ".join(str(r.first) if r.first == r.last else f"{r.first}-{r.last}" for r in ranges)
    elsewhere = f"ip daddr != {{ {', '.join(own_addresses)} }} " if own_addresses else ""
    return [
        f"add table ip {table} {{ flags owner; }}",
        f"add chain ip {table} prerouting {{ type filter hook prerouting priority {_PRIORITY}; policy accept; }}",
        f'add rule ip {table} prerouting iifname "{client}" {elsewhere}tcp dport {{ {ports} }} counter drop',
        f'add rule ip {table} prerouting iifname "{server}" {elsewhere}tcp sport {{ {ports} }} counter drop',
    ]


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class KernelForwardingStopped:
    """Context manager: inside it the kernel drops the selected flows instead of forwarding them."""

    def __init__(
        self, client: str, server: str, ranges: Sequence[PortRange], own_addresses: Sequence[str], nft: str = "nft"
    ) -> None:
        self.table = f"hopscope_nic_{os.getpid()}"
        self._nft = nft
        self._rules = rules(self.table, client, server, ranges, own_addresses)
        self._child: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> KernelForwardingStopped:
        """EnvironmentFault when nft is missing, refuses, or the table does not read back as asked."""
        try:
            self._child = subprocess.Popen(
                [self._nft, "-i"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
            )
        except FileNotFoundError:
            raise EnvironmentFault("nft is not installed: kernel forwarding of the flows cannot be stopped") from None
        try:
            said = self._converse()
            self._read_back(said)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._end()

    def fileno(self) -> int:
        """For epoll: readable when the owner of the table has ended, or says something."""
        assert self._child is not None
        assert self._child.stdout is not None
        return self._child.stdout.fileno()

    def check(self) -> None:
        """EnvironmentFault when the table has gone because its owner has: the kernel forwards again."""
        if not os.read(self.fileno(), 65536):
            raise EnvironmentFault("nft, which holds the table that stops kernel forwarding, has ended")

    def _converse(self) -> str:
        """Give the commands, then list the table in the same session: its closing line says that all were done."""
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        commands = [*self._rules, f"list table ip {self.table}", ""]
        with suppress(BrokenPipeError):
            child.stdin.write("\n".join(commands).encode())
            child.stdin.flush()
        said = b""
        deadline = time.monotonic() + _TIMEOUT
        while b"\n}\n" not in said:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                break
            chunk = os.read(child.stdout.fileno(), 65536)
            said += chunk
            if not chunk or b"Error: " in said:
                break
        return said.decode(errors="replace")

    def _read_back(self, said: str) -> None:
        """Ask a second nft, which does not own the table, whether the kernel has it."""
        try:
            listed = subprocess.run(
                [self._nft, "list", "table", "ip", self.table],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EnvironmentFault("nft list does not answer") from None
        if listed.stdout.count(" drop") != 2 or "flags owner" not in listed.stdout:
            detail = " ".join((said + listed.stderr).split())
            raise EnvironmentFault(f"nft did not take the table that stops kernel forwarding: {detail}")

    def _end(self) -> None:
        child = self._child
        self._child = None
        if child is None:
            return
        if child.stdin is not None:
            with suppress(BrokenPipeError):
                child.stdin.close()
        try:
            child.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()
