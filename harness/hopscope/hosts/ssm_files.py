"""Files to and from an instance: whole or not at all, with a hash at the end.

Large ones go through a bucket: the instance is given URLs that are signed for one object and one hour, so it needs
neither the AWS CLI nor a right of its own. Without a bucket, and where that is quicker, they go in pieces as commands.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hopscope.errors import EnvironmentFault
from hopscope.hosts.redact import redact
from hopscope.hosts.ssm_command import Api, call

SIGNED_SECONDS = 3600
PART_BYTES = 16 << 20
PIECES = 4
"""So many commands are as quick as one object."""
WRITE_BYTES = 40_000
READ_CHARACTERS = 20_000
PERMISSIONS = 0o777
Ask = Callable[..., dict[str, Any]]


class Files:
    """Transfers of one host. ``ask`` puts a request to the host's ``ssm_job``."""

    def __init__(self, host: str, api: Api, ask: Ask) -> None:
        self._host = host
        self._api = api
        self._ask = ask

    def put(self, local: Path, remote: str) -> None:
        """Raises EnvironmentFault; there is no file ``remote`` then, or the one before."""
        try:
            data = local.read_bytes()
            mode = local.stat().st_mode & PERMISSIONS
        except OSError as error:
            raise self._failed(f"{local} to {remote}", str(error)) from error
        self.deliver(data, remote, mode, what=f"{local} to {remote}")

    def deliver(self, data: bytes, remote: str, mode: int, *, what: str, secret: bool = False) -> None:
        """``secret`` bytes go through the bucket where there is one: commands stay in the account's history."""
        last = {"sha256": hashlib.sha256(data).hexdigest(), "mode": mode}
        if self._api.bucket and (secret or len(data) > PIECES * WRITE_BYTES):
            key = self._key()
            try:
                self._s3("put_object", what, Key=key, Body=data)
                self._asked("fetch", what, path=remote, url=self._signed("get_object", Key=key), **last)
            finally:
                self._remove(key)
            return
        for offset in range(0, max(1, len(data)), WRITE_BYTES):
            piece = data[offset : offset + WRITE_BYTES]
            end = last if offset + len(piece) == len(data) else {}
            text = base64.b64encode(zlib.compress(piece, 1)).decode()
            self._asked("write", what, path=remote, offset=offset, data=text, **end)

    def get(self, remote: str, local: Path) -> None:
        """Raises EnvironmentFault; there is no file ``local`` then, or the one before."""
        what = f"{remote} to {local}"
        local.parent.mkdir(parents=True, exist_ok=True)
        part = local.with_name(f".{local.name}.part")
        try:
            with part.open("wb") as sink:
                seen = self._asked("describe", what, path=remote)
                theirs = self.read(remote, seen["size"], sink.write, what=what) or seen["sha256"]
            digest = _digest(part)
            if digest != theirs:
                raise self._failed(what, f"it is not what was copied\nthere: sha256 {theirs}\nhere:  sha256 {digest}")
            part.replace(local)
        except OSError as error:
            raise self._failed(what, str(error)) from error
        finally:
            part.unlink(missing_ok=True)

    def read(self, remote: str, size: int, sink: Callable[[bytes], object], *, what: str) -> str | None:
        """The first ``size`` bytes of a file, and their sha256 where the host has told it."""
        if self._api.bucket and size > PIECES * READ_CHARACTERS:
            return self._through_bucket(remote, size, sink, what)
        offset = 0
        while offset < size:
            answer = self._asked("read", what, path=remote, offset=offset, most=READ_CHARACTERS)
            if not answer["bytes"]:
                raise self._failed(what, f"{size} bytes were there, and now {offset}")
            sink(zlib.decompress(base64.b64decode(answer["data"]))[: size - offset])
            offset += answer["bytes"]
        return None

    def _through_bucket(self, remote: str, size: int, sink: Callable[[bytes], object], what: str) -> str:
        key = self._key()
        upload = self._s3("create_multipart_upload", what, Key=key)["UploadId"]
        try:
            count = -(-size // PART_BYTES)
            urls = [
                self._signed("upload_part", Key=key, UploadId=upload, PartNumber=number)
                for number in range(1, count + 1)
            ]
            sent = self._asked("send", what, path=remote, size=size, part=PART_BYTES, urls=urls)
            parts = [{"ETag": tag, "PartNumber": number} for number, tag in enumerate(sent["tags"], 1)]
            self._s3("complete_multipart_upload", what, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
            upload = None
            body = self._s3("get_object", what, Key=key)["Body"]
            while block := body.read(1 << 20):
                sink(block)
        finally:
            if upload is not None:
                with suppress(EnvironmentFault):
                    self._s3("abort_multipart_upload", what, Key=key, UploadId=upload)
            self._remove(key)
        return str(sent["sha256"])

    def _asked(self, do: str, what: str, **given: Any) -> dict[str, Any]:
        answer = self._ask(do, **given)
        if "failed" in answer:
            raise self._failed(what, redact(answer["failed"]))
        return answer

    def _failed(self, what: str, why: str) -> EnvironmentFault:
        return EnvironmentFault(f"a file could not be copied: {what}", host=self._host, evidence=why)

    def _key(self) -> str:
        return f"{self._api.prefix}/{self._host}-{secrets.token_hex(8)}"

    def _s3(self, name: str, what: str, **given: Any) -> dict[str, Any]:
        given = {"Bucket": self._api.bucket, **given}
        return call(self._api.s3, name, self._api.pace, host=self._host, what=what, **given)

    def _signed(self, operation: str, **given: Any) -> str:
        given = {"Bucket": self._api.bucket, **given}
        return str(self._api.s3.generate_presigned_url(operation, Params=given, ExpiresIn=SIGNED_SECONDS))

    def _remove(self, key: str) -> None:
        with suppress(EnvironmentFault):  # objects of the bucket expire by themselves
            self._s3("delete_object", "a transfer's end", Key=key)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
