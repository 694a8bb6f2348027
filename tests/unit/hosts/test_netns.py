from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.errors import CommandFailed, CommandTimeout, EnvironmentFault, ToolMissing
from hopscope.hosts import netns, netns_process
from hopscope.hosts.command import Outcome
from hopscope.hosts.netns import NetnsExecutor
from hopscope.hosts.netns_process import entered, signal_group
from hopscope.hosts.wait import wait_until


def executor(directory: Path, **given: Any) -> NetnsExecutor:
    return NetnsExecutor("client", directory, keeper=4242, netns_fd=7, **given)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Let every command end in one way, and see the command lines."""

    def set_up(**given: Any) -> list[list[str]]:
        lines: list[list[str]] = []

        def complete(argv: list[str], **_: Any) -> Outcome:
            lines.append(list(argv))
            return Outcome(**{name: bytearray(v) if isinstance(v, bytes) else v for name, v in given.items()})

        monkeypatch.setattr(netns, "complete", complete)
        return lines

    return set_up


@pytest.fixture(autouse=True)
def ignored(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The signals that this process ignores, whoever has started it."""
    given: set[int] = set()
    monkeypatch.setattr(signal, "getsignal", lambda sig: signal.SIG_IGN if sig in given else signal.SIG_DFL)
    return given


def test_what_we_ignore_is_heard_inside(
    tmp_path: Path, ends: Callable[..., list[list[str]]], ignored: set[int]
) -> None:
    lines = ends(returncode=0)
    ignored |= {signal.SIGINT, signal.SIGQUIT}
    executor(tmp_path).run(["true"])
    assert lines[0][:3] == ["env", "--default-signal=INT,QUIT", "nsenter"]


def test_the_way_in_of_root(tmp_path: Path, ends: Callable[..., list[list[str]]]) -> None:
    lines = ends(returncode=0, stdout=b"x")
    result = executor(tmp_path).run(["echo", "a b", "$HOME"])
    way = ["nsenter", "--target=4242", "--mount", "--pid", "--net=/proc/4242/fd/7", "--", "setsid"]
    assert lines == [[*way, "env", f"--chdir={tmp_path}", "echo", "a b", "$HOME"]]
    assert result.argv == ("echo", "a b", "$HOME")
    assert result.stdout == b"x"


def test_the_way_in_of_a_plain_user(tmp_path: Path, ends: Callable[..., list[list[str]]]) -> None:
    lines = ends(returncode=0)
    executor(tmp_path, own_user_namespace=True).run(["true"])
    assert lines[0][2:4] == ["--user", "--preserve-credentials"]
    with pytest.raises(EnvironmentFault, match="needs a lab built by root"):
        executor(tmp_path, own_user_namespace=True).run(["true"], user="nobody")


def test_another_user_and_directory(tmp_path: Path, ends: Callable[..., list[list[str]]]) -> None:
    lines = ends(returncode=0)
    executor(tmp_path).run(["true"], user="nobody", cwd="below")
    inside = lines[0][lines[0].index("setsid") :]
    assert inside[:2] == ["setsid", "setpriv"]
    assert inside[4:6] == ["--init-groups", "env"]
    assert f"--chdir={tmp_path / 'below'}" in inside
    executor(tmp_path).run(["true"], cwd="/srv")
    assert "--chdir=/srv" in lines[1]


@pytest.mark.parametrize(
    ("outcome", "error", "text"),
    [
        ({"returncode": 2, "stderr": b"bad\n"}, CommandFailed, "ended with 2"),
        ({"returncode": -9}, CommandFailed, "ended with -9"),
        ({"returncode": None, "seconds": 3.1, "stdout": b"half\n"}, CommandTimeout, "half"),
        ({"returncode": None, "seconds": 0.5}, CommandFailed, "wrote more than"),
        ({"returncode": 127, "stderr": b"env: 'x': No such file or directory"}, ToolMissing, "could not be started"),
        ({"returncode": 126, "stderr": b"env: 'x': Permission denied"}, ToolMissing, "Permission denied"),
        ({"returncode": 127, "stderr": b"sh: 1: x: not found"}, CommandFailed, "ended with 127"),
    ],
)
def test_how_it_ended_decides_the_error(
    tmp_path: Path,
    ends: Callable[..., list[list[str]]],
    outcome: dict[str, Any],
    error: type[EnvironmentFault],
    text: str,
) -> None:
    ends(**outcome)
    with pytest.raises(error, match=text) as caught:
        executor(tmp_path).run(["sh", "x"], timeout=3)
    assert caught.value.host == "client"


def test_a_missing_program_is_seen_before_anything_starts(tmp_path: Path, ends: Callable[..., list[list[str]]]) -> None:
    lines = ends(returncode=0)
    with pytest.raises(ToolMissing, match="no-such-program"):
        executor(tmp_path).run(["no-such-program"])
    assert lines == []


def test_the_environment_has_the_system_folders_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/opt/tools:/usr/bin")
    monkeypatch.setenv("OURS", "1")
    environment = executor(tmp_path)._environment(None, {"MINE": "2"})
    assert environment["PATH"].split(":")[:3] == ["/opt/tools", "/usr/bin", "/usr/local/sbin"]
    assert environment["PATH"].split(":").count("/usr/bin") == 1
    assert {name: environment[name] for name in ("LANG", "HOME", "MINE")} == {
        "LANG": "C.UTF-8",
        "HOME": str(tmp_path),
        "MINE": "2",
    }
    assert "OURS" not in environment


def test_files_are_copied_with_their_mode(tmp_path: Path) -> None:
    host = executor(tmp_path / "host")
    (tmp_path / "tool").write_bytes(b"\x00\x01")
    (tmp_path / "tool").chmod(0o750)
    host.put(tmp_path / "tool", "deep/tool")
    assert (tmp_path / "host/deep/tool").stat().st_mode & 0o777 == 0o750
    host.get("deep/tool", tmp_path / "back/tool")
    assert (tmp_path / "back/tool").read_bytes() == b"\x00\x01"


def test_the_process_inside_is_the_only_child_of_nsenter() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 30; :"], start_new_session=True) as shell:
        inside = wait_until(lambda: entered(shell.pid), timeout=5, what="a child")
        assert Path(f"/proc/{inside}/stat").read_text().rpartition(")")[2].split()[1] == str(shell.pid)
        os.killpg(shell.pid, signal.SIGKILL)
    assert entered(shell.pid) is None


@pytest.mark.parametrize("pid", [-1, 0, 1])
def test_no_signal_ever_goes_to_everybody(pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, sig: sent.append(group))
    monkeypatch.setattr(os, "kill", lambda process, sig: sent.append(process))
    signal_group(pid, signal.SIGKILL)
    assert sent == []


def test_a_leader_that_is_no_group_yet_is_signalled_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_group(group: int, sig: int) -> None:
        raise ProcessLookupError

    sent: list[int] = []
    monkeypatch.setattr(os, "killpg", no_group)
    monkeypatch.setattr(os, "kill", lambda process, sig: sent.append(process))
    signal_group(4242, signal.SIGTERM)
    assert sent == [4242]


def test_a_stopped_process_hears_that_it_is_to_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """nsenter stops itself with what it has started, and would be waited for until the kill."""
    child = SimpleNamespace(pid=4242, poll=lambda: None, returncode=None)
    sent: list[tuple[str, int, int]] = []
    monkeypatch.setattr(netns_process, "entered", lambda pid: 4243)
    monkeypatch.setattr(os, "kill", lambda pid, sig: sent.append(("process", pid, sig)))
    monkeypatch.setattr(os, "killpg", lambda pid, sig: sent.append(("group", pid, sig)))
    process = netns_process.NetnsProcess("box", "left", child, tmp_path / "out", tmp_path / "err")  # type: ignore[arg-type]
    process.ask()
    term, cont = int(signal.SIGTERM), int(signal.SIGCONT)
    assert sent == [("group", 4243, term), ("group", 4243, cont), ("process", 4242, cont)]
    sent.clear()
    process.signal(signal.SIGCONT)
    assert sent == [("process", 4243, cont), ("process", 4242, cont)]
