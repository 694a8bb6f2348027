"""The line that a host's login shell is given, and the small programs in it. Everything sent to a shell is made here.

sshd hands a command to the login shell of the account: ``bash -c LINE``, but also zsh, fish or dash. Only what these
read alike may be in the line, and it begins with ``exec``, so that the process that sshd started, which leads a session
and a process group of its own, becomes the command: its end is the end that sshd tells, its group is what is killed.

Start-up files run before the line: bash reads ~/.bashrc when sshd starts it (Debian and others build it so), zsh reads
~/.zshenv, fish its config.fish. They cannot be switched off from here. What they print comes before a token that the
line prints first on both streams, and is set aside; what they export is left behind by ``env -i``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from hopscope.errors import UsageError

LONGEST = 100_000  # bytes; a single argument of a process ends at 128 KiB (execve(2), MAX_ARG_STRLEN)

_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_TRICKY = re.compile(r"(['\\])")

# $1 is the token. The group is the fifth field of proc_pid_stat(5); the second, (sh), has no blank in it.
_BEGIN = 'read -r _ _ _ _ g _ </proc/$$/stat; echo "$1 $$ $g $SSH_CONNECTION"; echo "$1" >&2; shift; '

# Standard input of a process that stays is its life-line: at its end, the end of the connection, the group goes.
# The watcher ignores TERM and is nobody's child; it pins the number of the group for as long as it waits.
_LIFE_LINE = (
    "exec 3<&0 </dev/null; "
    '(trap "" TERM HUP INT; '
    "(read -r _ <&3; kill -s TERM -- -$g; sleep 2; kill -s KILL -- -$g) >/dev/null 2>&1 &); "
    "exec 3<&-; "
)
_NO_INPUT = "exec </dev/null; "
_COMMAND = 'exec "$@"'
_KILL = 'kill -s "$1" -- "$2"'


@lru_cache(1000)  # most of a line is the same in each
def quote(word: str) -> str:
    """A word that sh, bash, dash, zsh and fish all read as ``word``. Fish takes a backslash between single quotes for
    an escape, so backslashes stand outside. UsageError for a zero byte, which no argument can have."""
    if "\0" in word:
        raise UsageError(f"an argument cannot contain a zero byte: {word!r}")
    if _SAFE.fullmatch(word):
        return word
    parts = {"'": '"\'"', "\\": "\\\\"}
    return "".join(parts.get(part, f"'{part}'") for part in _TRICKY.split(word) if part) or "''"


def join(words: Sequence[str]) -> str:
    line = " ".join(quote(word) for word in words)
    if len(line.encode()) > LONGEST:
        raise UsageError(f"a command of {len(line)} characters is too long for a shell: put a file")
    return line


def begin(
    command: Sequence[str], *, token: str, become: Sequence[str] = (), stays: bool = False, reads: bool = False
) -> str:
    """The line that runs ``command``.

    Its first line on standard output is ``TOKEN PID GROUP`` and what sshd says of the connection (address and port of
    the client, then the server's; nothing behind sudo), on standard error ``TOKEN``. ``become`` stands before it
    (sudo); with ``stays`` the command ends with its standard input, else it has one only when it ``reads``.
    """
    program = _BEGIN + (_LIFE_LINE if stays else "" if reads else _NO_INPUT) + _COMMAND
    return "exec " + join([*become, "sh", "-c", program, "hopscope", token, *command])


def kill(signal: str, target: int, *, become: Sequence[str] = ()) -> str:
    """The line that signals a process, or with a negative number a group."""
    return "exec " + join([*become, "sh", "-c", _KILL, "hopscope", signal, str(target)])


def clean(
    command: Sequence[str], *, directory: str, environment: Mapping[str, str], account: tuple[int, int] | None = None
) -> list[str]:
    """``command`` in a directory with this environment and nothing of the login's; as another account when root."""
    switch = ["setpriv", f"--reuid={account[0]}", f"--regid={account[1]}", "--init-groups"] if account else []
    values = [f"{name}={value}" for name, value in environment.items()]
    return [*switch, "env", "-i", f"--chdir={directory}", *values, *command]
