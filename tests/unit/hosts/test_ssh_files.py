"""Files arrive whole or not at all, with a hash at the end; a session that went wrong is not used again."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from hopscope.errors import EnvironmentFault
from hopscope.hosts import ssh_files
from hopscope.hosts.ssh_files import Files


class There:
    """A host whose files lie in a folder of ours. ``spoil`` changes what is written; ``breaks`` ends transfers."""

    def __init__(self, root: Path) -> None:
        self.root, self.spoil, self.breaks = root, False, False
        self.opened = self.closed = 0

    def files(self) -> Files:
        return Files("far", self._open, self._close, lambda path, size: self._hash(path))

    def _open(self) -> Any:
        self.opened += 1
        return SimpleNamespace(closed=False, settimeout=lambda seconds: None, invoke_subsystem=lambda name: None)

    def _close(self, channel: Any) -> None:
        self.closed += 1

    def _path(self, path: str | PurePosixPath) -> Path:
        return self.root / str(path).lstrip("/")

    def _hash(self, path: str) -> str:
        return hashlib.sha256(self._path(path).read_bytes()).hexdigest()

    def make_folder(self, folder: PurePosixPath) -> None:
        self._path(folder).mkdir(parents=True, exist_ok=True)

    def write(self, path: str, source: BinaryIO, mode: int) -> None:
        if self.breaks:
            raise OSError("No space left on device")
        self._path(path).write_bytes(source.read() + (b"!" if self.spoil else b""))
        self._path(path).chmod(mode)

    def read(self, path: str, sink: Any) -> int:
        data = self._path(path).read_bytes() + (b"!" if self.spoil else b"")
        sink(0, data)
        return len(data)

    def rename(self, old: str, new: str) -> None:
        self._path(old).replace(self._path(new))


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> There:
    found = There(tmp_path / "there")
    monkeypatch.setattr(ssh_files, "Sftp", lambda channel: found)
    return found


def file(folder: Path, content: bytes, mode: int = 0o640) -> Path:
    path = folder / "local"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_file_goes_there_and_back_over_one_session(there: There, tmp_path: Path) -> None:
    files = there.files()
    files.put(file(tmp_path, b"one"), "/deep/in/file")
    files.get("/deep/in/file", tmp_path / "new" / "back")
    assert (tmp_path / "new" / "back").read_bytes() == b"one"
    assert (there.root / "deep/in/file").stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in (there.root / "deep/in").iterdir()) == ["file"]
    files.close()
    files.close()
    assert (there.opened, there.closed) == (1, 1)


def test_what_is_not_what_was_copied_replaces_nothing(there: There, tmp_path: Path) -> None:
    files = there.files()
    files.put(file(tmp_path, b"one"), "/file")
    (tmp_path / "back").write_bytes(b"before")
    there.spoil = True
    with pytest.raises(EnvironmentFault, match="/file is not what was copied") as caught:
        files.put(file(tmp_path, b"two"), "/file")
    assert f"here:  sha256 {hashlib.sha256(b'two').hexdigest()}" in (caught.value.evidence or "")
    with pytest.raises(EnvironmentFault, match="/file is not what was copied"):
        files.get("/file", tmp_path / "back")
    assert ((there.root / "file").read_bytes(), (tmp_path / "back").read_bytes()) == (b"one", b"before")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["back", "local", "there"]


def test_a_session_that_broke_is_given_back_and_the_next_file_has_another(there: There, tmp_path: Path) -> None:
    files = there.files()
    there.breaks = True
    with pytest.raises(EnvironmentFault, match=r"a file could not be copied: .*local to /file") as caught:
        files.put(file(tmp_path, b"one"), "/file")
    assert (caught.value.host, caught.value.evidence) == ("far", "No space left on device")
    there.breaks = False
    files.put(file(tmp_path, b"one"), "/file")
    assert (there.opened, there.closed) == (2, 1)
