"""One SSH connection to a host: found, trusted, logged in, and shared by as many sessions as the server allows.

The host key is compared before anything else is sent, with a pinned fingerprint or with known_hosts; a key that is in
neither is refused and never learnt. One transport serves a host, as logging in costs fifty times what a command does.
"""

from __future__ import annotations

import logging
import shlex
import socket
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from hopscope.errors import CommandTimeout, ConnectionLost, EnvironmentFault, HopscopeError, WaitTimeout
from hopscope.hosts.ssh_transport import Transport
from hopscope.hosts.wait import wait_until

CONNECT_SECONDS = 10.0
REFUSED_SECONDS = 5.0
GONE_SECONDS = 15.0
"""Of sessions asked for, and none opened or refused: a host that is only slow keeps its connection until then."""
USER_TIMEOUT_MS = 10_000
KEEPALIVE_SECONDS = 3
PACKET = 128 * 1024
WINDOW = 32 * 1024 * 1024
LOG = "hopscope.hosts.ssh"
logging.getLogger(LOG).setLevel(logging.CRITICAL)  # what paramiko logs with a traceback is raised as an error as well
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True)
class Target:
    """How a host is reached.

    ``fingerprint`` (``SHA256:…``) pins its key; without one it must be in ``known_hosts``. ``keys`` are files of
    private keys, ``agent`` adds those of the SSH agent; with neither the usual files in ~/.ssh are tried. ``jump`` is
    another host to go through; ``proxy_command`` a program whose standard input and output are the connection, with
    ``{address}`` and ``{port}`` replaced in its arguments. ``max_sessions`` is MaxSessions of the server, at least 2.
    """

    address: str
    port: int = 22
    user: str = "root"
    keys: tuple[Path, ...] = ()
    agent: bool = False
    fingerprint: str | None = None
    known_hosts: Path = Path("~/.ssh/known_hosts")
    jump: Target | None = None
    proxy_command: tuple[str, ...] = ()
    max_sessions: int = 10

    @property
    def place(self) -> str:
        return f"{self.user}@{self.address}:{self.port}"

    @property
    def typed(self) -> str:
        """The ssh(1) command by which a person logs in there."""
        words = ["ssh", *(["-p", str(self.port)] if self.port != 22 else [])]
        for key in self.keys:
            words += ["-i", str(key)]
        proxy = f"{self.jump.typed} -W %h:%p" if self.jump is not None else shlex.join(self.proxy_command)
        if proxy:
            words += ["-o", "ProxyCommand=" + proxy.replace("{address}", "%h").replace("{port}", "%p")]
        return shlex.join([*words, f"{self.user}@{self.address}"])


class Connection:
    """A connection to ``target`` under the name of the host. It is made when first needed, and again after a loss."""

    def __init__(self, name: str, target: Target) -> None:
        self.name = name
        self.target = target
        self._transport: Transport | None = None
        self._proxy: _Proxy | None = None
        self._jump = Connection(f"{name} (jump)", target.jump) if target.jump is not None else None
        self._connecting = threading.Lock()
        self._gates = {  # one session is kept for signals: they must get through when all others hang
            False: threading.BoundedSemaphore(max(1, target.max_sessions - 1)),
            True: threading.BoundedSemaphore(1),
        }
        self._busy: dict[int, str] = {}
        self._ending = ""
        """Why the transport has ended, where that is known."""

    @property
    def alive(self) -> bool:
        return self._transport is not None and self._transport.is_active()

    @contextmanager
    def session(self, what: str, *, timeout: float, reserved: bool = False) -> Iterator[paramiko.Channel]:
        """A session of the connection, waited for while the server's bound is reached. ``what`` will run in it."""
        channel = self.open(what, timeout=timeout, reserved=reserved)
        try:
            yield channel
        finally:
            self.release(channel)

    def open(self, what: str, *, timeout: float, reserved: bool = False) -> paramiko.Channel:
        """Like ``session``, for who calls ``release`` later.

        Raises CommandTimeout when no session becomes free, or the host opens none, in time, EnvironmentFault where it
        cannot be reached.
        """
        gate = self._gates[reserved]
        if not gate.acquire(timeout=timeout):
            running = "\n".join(sorted(self._busy.values()))
            raise CommandTimeout(
                f"no session became free within {timeout:g} s for `{what}`",
                host=self.name,
                evidence=f"busy:\n{running}",
            )
        try:
            channel = self._open(what, timeout)
        except BaseException:
            gate.release()
            raise
        channel.gate = gate
        self._busy[id(channel)] = what
        return channel

    def release(self, channel: paramiko.Channel) -> None:
        if self._busy.pop(id(channel), None) is None:
            return
        with suppress(EOFError, OSError, paramiko.SSHException):
            channel.close()
        channel.gate.release()

    def lost(self, what: str, evidence: str = "") -> ConnectionLost:
        """The error for ``what`` that ran when the connection broke."""
        error = self._transport and self._transport.get_exception()  # which tells it once
        if error:
            self._ending = str(error)
        why = self._ending or "closed by the other side"
        said = self._proxy.said if self._proxy is not None else ""
        told = "\n".join(each for each in (f"connection: {why}", said, evidence) if each)
        return ConnectionLost(
            f"the connection to {self.target.place} was lost while `{what}` ran; whether it ended is not known",
            host=self.name,
            evidence=told,
        )

    def close(self) -> None:
        with self._connecting:
            self._drop()
        if self._jump is not None:
            self._jump.close()

    def tunnel(self, target: Target) -> paramiko.Channel:
        """A stream from this host to another address: what a jump host is for."""
        transport = self._live()
        try:
            return transport.open_channel(
                "direct-tcpip", (target.address, target.port), ("127.0.0.1", 0), timeout=CONNECT_SECONDS
            )
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise EnvironmentFault(
                f"{self.target.place} does not lead on to {target.address}:{target.port}",
                host=self.name,
                evidence=str(error),
            ) from error

    def _open(self, what: str, timeout: float) -> paramiko.Channel:
        """A refusal while sessions of ours run, or have just ended, is the server's bound: then one more try is due."""
        refusals: list[str] = []
        patience = min(CONNECT_SECONDS, max(1.0, timeout))

        def opened() -> paramiko.Channel | None:
            transport = self._live()
            try:
                return transport.open_session(window_size=WINDOW, max_packet_size=PACKET, timeout=patience)
            except paramiko.ChannelException as refusal:
                refusals.append(str(refusal))
                return None
            except (paramiko.SSHException, EOFError, OSError) as error:
                failure = self._unopened(transport, what, patience, str(error) or type(error).__name__)
            raise failure  # and not from that error, whose frames would keep the session

        try:
            return wait_until(opened, timeout=max(timeout, REFUSED_SECONDS), interval=0.02, what="a session")
        except WaitTimeout as late:
            raise EnvironmentFault(
                f"{self.target.place} opens no session: is max_sessions ({self.target.max_sessions}) its MaxSessions?",
                host=self.name,
                evidence="\n".join(
                    [f"{len(refusals)} refusals, the last: {refusals[-1]}", "busy:", *self._busy.values()]
                ),
            ) from late

    def _unopened(self, transport: Transport, what: str, waited: float, why: str) -> EnvironmentFault:
        """A host that does not answer in time may be busy. All that runs there, and its lease, hangs on the connection,
        which is given up only when it has not answered for long."""
        if transport.is_active():
            silent = transport.unanswered_seconds
            if silent < GONE_SECONDS:
                what = f"{self.target.place} opened no session within {waited:g} s for `{what}`"
                return CommandTimeout(what, host=self.name)
            self._ending = why = f"given up: no answer for {silent:.0f} s"
        transport.close()
        return self._unreachable(why)

    def _live(self) -> Transport:
        with self._connecting:
            if self._transport is None or not self._transport.is_active():
                self._drop()
                self._ending = ""
                self._transport = self._connect()
            return self._transport

    def _drop(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            proxy.close()

    def _connect(self) -> Transport:
        stream = self._stream()
        transport = Transport(stream, default_window_size=WINDOW, default_max_packet_size=PACKET)
        transport.set_log_channel(LOG)
        try:
            self._prefer_known_keys(transport)
            transport.start_client(timeout=CONNECT_SECONDS)
            self._trust(transport.get_remote_server_key())
            self._log_in(transport)
            transport.set_keepalive(KEEPALIVE_SECONDS)
        except HopscopeError:
            transport.close()
            raise
        except (paramiko.SSHException, EOFError, OSError) as error:
            transport.close()
            raise self._unreachable(str(error) or type(error).__name__) from error
        return transport

    def _stream(self) -> Any:
        target = self.target
        if self._jump is not None:
            return self._jump.tunnel(target)
        if target.proxy_command:
            self._proxy = _Proxy(self.name, target)
            return self._proxy.socket
        try:
            stream = socket.create_connection((target.address, target.port), timeout=CONNECT_SECONDS)
        except OSError as error:
            raise self._unreachable(str(error)) from error
        # Without NODELAY a command costs 40 ms of Nagle and delayed acknowledgement. A peer that is gone is noticed by
        # what stays unacknowledged; the keepalive sees to it that something is always on its way.
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        return stream

    def _unreachable(self, why: str) -> EnvironmentFault:
        said = self._proxy.said if self._proxy is not None else ""
        return EnvironmentFault(
            f"{self.target.place} cannot be reached by SSH",
            host=self.name,
            evidence="\n".join(filter(None, [why, said])),
        )

    # -- trust ------------------------------------------------------------------------------------------------------

    def _known(self) -> dict[str, paramiko.PKey]:
        """The keys of this host in known_hosts, by type."""
        target = self.target
        name = target.address if target.port == 22 else f"[{target.address}]:{target.port}"
        try:
            return dict(paramiko.HostKeys(str(target.known_hosts.expanduser())).lookup(name) or {})
        except OSError:
            return {}

    def _prefer_known_keys(self, transport: paramiko.Transport) -> None:
        """Ask for a key of a type that we can compare: a host has several, and known_hosts may have one of them."""
        if self.target.fingerprint is not None:
            return
        options = transport.get_security_options()
        known = self._known()
        first = [
            each for each in options.key_types if each in known or (each.startswith("rsa-sha2") and "ssh-rsa" in known)
        ]
        options.key_types = [*first, *(each for each in options.key_types if each not in first)]

    def _trust(self, key: paramiko.PKey) -> None:
        seen, target = key.fingerprint, self.target
        if target.fingerprint is not None:
            if seen == target.fingerprint:
                return
            raise EnvironmentFault(
                f"the host key of {target.address}:{target.port} is not the pinned one: nothing was sent to it",
                host=self.name,
                evidence=f"pinned: {target.fingerprint}\nseen:   {key.get_name()} {seen}\n"
                "on the host's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
            )
        known = self._known()
        if known.get(key.get_name()) == key:
            return
        told = "is another one than in" if known else "is not in"
        raise EnvironmentFault(
            f"the host key of {target.address}:{target.port} {told} {target.known_hosts}: nothing was sent to it",
            host=self.name,
            evidence=f"seen: {key.get_name()} {seen}\n"
            "compare it on the host's own console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then pin it",
        )

    def _log_in(self, transport: paramiko.Transport) -> None:
        tried: list[str] = []
        with closing(self._keys(tried)) as keys:
            for label, key in keys:
                try:
                    left = transport.auth_publickey(self.target.user, key)
                except paramiko.AuthenticationException as refused:
                    tried.append(f"{label}: {refused}")
                    if not transport.is_active():
                        break
                    continue
                if not left:
                    return
                tried.append(f"{label}: accepted, but the host also wants {', '.join(left)}")
        raise EnvironmentFault(
            f"{self.target.place} takes none of the keys",
            host=self.name,
            evidence="\n".join(tried) or "there was no key",
        )

    def _keys(self, tried: list[str]) -> Generator[tuple[str, paramiko.PKey]]:
        target = self.target
        files = target.keys
        if not files and not target.agent:
            files = tuple(each for name in DEFAULT_KEYS if (each := Path("~/.ssh", name).expanduser()).exists())
        for file in files:
            try:
                yield str(file), paramiko.PKey.from_path(file.expanduser())
            except (paramiko.SSHException, OSError, ValueError, TypeError) as error:
                tried.append(
                    f"{file}: {str(error) or type(error).__name__} (a key with a passphrase belongs in the agent)"
                )
        if target.agent or not target.keys:
            with closing(paramiko.Agent()) as agent:
                for key in agent.get_keys():
                    yield f"agent: {key.get_name()} {key.fingerprint}", key


class _Proxy:
    """A program whose standard input and output are the connection."""

    def __init__(self, host: str, target: Target) -> None:
        values = {"{address}": target.address, "{port}": str(target.port)}
        argv = list(target.proxy_command)
        for name, value in values.items():
            argv = [word.replace(name, value) for word in argv]
        self.socket, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the rest
        with theirs:
            end = theirs.fileno()
            try:
                self._child = subprocess.Popen(argv, stdin=end, stdout=end, stderr=self._errors, start_new_session=True)
            except OSError as error:
                self.socket.close()
                self._errors.close()
                raise EnvironmentFault(f"proxy_command cannot be started: {error}", host=host) from error

    @property
    def said(self) -> str:
        """The end of its standard error."""
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        return f"proxy_command said: {text[-500:]}" if text else ""

    def close(self) -> None:
        self.socket.close()  # its end-of-file
        try:
            self._child.wait(1.0)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._errors.close()
