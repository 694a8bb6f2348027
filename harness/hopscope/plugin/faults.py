"""How a fault of ours reads in pytest's output: where the test stood, and what the fault says; not our own frames."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest
from _pytest._code.code import ExceptionRepr, ReprFileLocation, TerminalRepr
from _pytest._io import TerminalWriter

import hopscope
from hopscope.errors import HopscopeError

_NOT_THE_USER_S = (Path(hopscope.__file__).parent, *(Path(sysconfig.get_path(each)) for each in ("stdlib", "purelib")))


class FaultText(TerminalRepr):
    """A fault that no line of the test led to: set-up on behalf of a fixture."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reprcrash = ReprFileLocation("", 0, text.partition("\n")[0])
        """pytest's short summary shows the message of this."""

    def toterminal(self, tw: TerminalWriter) -> None:
        tw.line(self.text, red=True)


def shorten(excinfo: pytest.ExceptionInfo[BaseException]) -> ExceptionRepr | TerminalRepr | None:
    """The representation of a HopscopeError without frames of this package; None for any other exception."""
    fault = excinfo.value
    if not isinstance(fault, HopscopeError):
        return None
    frames = excinfo.traceback.filter(lambda entry: _is_the_user_s(Path(str(entry.path))))
    if not frames:
        return FaultText(f"{fault.kind}: {fault}")
    excinfo.traceback = frames
    return excinfo.getrepr(style="short", chain=False)


def _is_the_user_s(path: Path) -> bool:
    return path.is_absolute() and not any(path.is_relative_to(folder) for folder in _NOT_THE_USER_S)
