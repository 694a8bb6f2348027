"""Files to and from a host reached by SSH: whole or not at all, with a hash at the end.

A file is written beside its place and moved there when its hash is right, so that nobody ever finds a half of one.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import paramiko

from hopscope.errors import EnvironmentFault
from hopscope.hosts.sftp import Sftp

SILENCE_SECONDS = 20.0
PERMISSIONS = 0o777


class Files:
    """Transfers of one host, one at a time over one session. ``open_channel`` opens it; ``hash_of`` tells the sha256 of
    a file of the host, given its path and size, in hexadecimal; ``close_channel`` gives the session back."""

    def __init__(
        self,
        host: str,
        open_channel: Callable[[], paramiko.Channel],
        close_channel: Callable[[paramiko.Channel], None],
        hash_of: Callable[[str, int], str],
    ) -> None:
        self._host = host
        self._open_channel = open_channel
        self._close_channel = close_channel
        self._hash_of = hash_of
        self._lock = threading.Lock()
        self._channel: paramiko.Channel | None = None
        self._sftp: Sftp | None = None

    def put(self, local: Path, remote: str) -> None:
        """Raises EnvironmentFault; there is no file ``remote`` then, or the one before."""
        part = f"{remote}.part"
        with self._transfer(f"{local} to {remote}") as sftp, local.open("rb") as source:
            sftp.make_folder(PurePosixPath(remote).parent)
            sftp.write(part, source, local.stat().st_mode & PERMISSIONS)
            source.seek(0)
            self._compare(remote, self._hash_of(part, local.stat().st_size), source)
            sftp.rename(part, remote)

    def get(self, remote: str, local: Path) -> None:
        """Raises EnvironmentFault; there is no file ``local`` then, or the one before."""
        local.parent.mkdir(parents=True, exist_ok=True)
        part = local.with_name(f".{local.name}.part")
        try:
            with self._transfer(f"{remote} to {local}") as sftp, part.open("w+b", buffering=0) as sink:
                size = sftp.read(remote, lambda at, data: os.pwrite(sink.fileno(), data, at))
                self._compare(remote, self._hash_of(remote, size), sink)
            part.replace(local)
        finally:
            part.unlink(missing_ok=True)

    def close(self) -> None:
        channel, self._channel, self._sftp = self._channel, None, None
        if channel is not None:
            self._close_channel(channel)

    @contextmanager
    def _transfer(self, what: str) -> Iterator[Sftp]:
        with self._lock:
            try:
                yield self._session()
            except BaseException as error:
                self.close()  # answers may still be on their way
                if not isinstance(error, OSError | EOFError | paramiko.SSHException):
                    raise
                raise EnvironmentFault(
                    f"a file could not be copied: {what}", host=self._host, evidence=str(error) or type(error).__name__
                ) from error

    def _session(self) -> Sftp:
        if self._channel is None or self._channel.closed or self._sftp is None:
            self.close()
            self._channel = self._open_channel()
            self._channel.settimeout(SILENCE_SECONDS)
            self._channel.invoke_subsystem("sftp")
            self._sftp = Sftp(self._channel)
        return self._sftp

    def _compare(self, name: str, theirs: str, ours: object) -> None:
        digest = hashlib.file_digest(ours, "sha256").hexdigest()  # type: ignore[arg-type]
        if theirs != digest:
            raise EnvironmentFault(
                f"{name} is not what was copied",
                host=self._host,
                evidence=f"there: sha256 {theirs}\nhere:  sha256 {digest}",
            )
