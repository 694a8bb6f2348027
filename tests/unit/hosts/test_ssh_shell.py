from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope.errors import UsageError
from hopscope.hosts import ssh_shell

SHELLS = [path for name in ("sh", "bash", "dash", "zsh", "fish") if (path := shutil.which(name))]
WORDS = [
    "",
    "a b",
    "it's",
    '"',
    "\\",
    "\\'",
    "\\\\n",
    "$HOME",
    "`id`",
    "*",
    "~",
    "!!",
    "#x",
    "new\nline",
    "ä→",
    "-n",
    ";&|<>",
]


def run(shell: str, line: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([shell, "-c", line], input=stdin, capture_output=True, timeout=10, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_login_shell_reads_the_same_words(shell: str) -> None:
    told = run(shell, ssh_shell.join(["printf", "%s\\0", *WORDS])).stdout
    assert told.decode().split("\0")[:-1] == WORDS


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_any_text_is_one_word(words: list[str]) -> None:
    assert subprocess.run(
        ["sh", "-c", "printf '%s\\0' " + ssh_shell.join(words)], capture_output=True
    ).stdout == b"".join(word.encode() + b"\0" for word in words)


def test_what_cannot_be_an_argument_is_refused() -> None:
    with pytest.raises(UsageError, match="zero byte"):
        ssh_shell.quote("a\0b")
    with pytest.raises(UsageError, match="too long for a shell: put a file"):
        ssh_shell.join(["x" * ssh_shell.LONGEST, "y"])


def test_the_line_says_its_token_first_and_becomes_the_command() -> None:
    command = ssh_shell.clean(
        ["sh", "-c", "echo $$; pwd; echo $WORD; exit 3"], directory="/usr", environment={"WORD": "a b"}
    )
    ended = run("sh", ssh_shell.begin(command, token="T1"))
    first, pid, *rest = ended.stdout.decode().splitlines()
    assert first.split()[:2] == ["T1", pid]
    assert rest == ["/usr", "a b"]
    assert (ended.stderr, ended.returncode) == (b"T1\n", 3)


@pytest.mark.parametrize(("reads", "seen"), [(True, b"word"), (False, b"")])
def test_a_command_has_input_when_it_reads(reads: bool, seen: bytes) -> None:
    ended = run("sh", ssh_shell.begin(["cat"], token="T1", reads=reads), b"word")
    assert ended.stdout.partition(b"\n")[2] == seen


def test_what_stays_ends_with_its_input(tmp_path: Path) -> None:
    script = f"trap 'echo asked > {tmp_path}/asked; exit 4' TERM; echo up; sleep 60 & wait"
    line = ssh_shell.begin(["sh", "-c", script], token="T1", stays=True)
    with subprocess.Popen(
        ["sh", "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b"T1 ")
        assert child.stdout.readline() == b"up\n"
        child.stdin.close()
        assert child.wait(5) == 4
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_another_account_is_taken_on_before_the_environment_is_made() -> None:
    command = ssh_shell.clean(["id"], directory="/", environment={"A": "1"}, account=(65534, 65533))
    assert command == [
        "setpriv",
        "--reuid=65534",
        "--regid=65533",
        "--init-groups",
        "env",
        "-i",
        "--chdir=/",
        "A=1",
        "id",
    ]


def test_sudo_stands_before_what_is_run_as_root_and_what_ends_it() -> None:
    become = ["sudo", "-n", "--"]
    assert ssh_shell.begin(["id"], token="T1", become=become).startswith("exec sudo -n -- sh -c ")
    assert ssh_shell.kill("KILL", -7, become=become).startswith("exec sudo -n -- sh -c ")
    assert ssh_shell.kill("TERM", -7).endswith(" hopscope TERM -7")
