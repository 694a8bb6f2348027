from __future__ import annotations

import io

import pytest

from hopscope.report.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_what_takes_long_is_said_and_taken_away_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("hopscope.report.progress.time.monotonic", lambda: now[0])
    screen = Terminal()
    with Progress(screen) as progress:
        progress("reading")
        assert screen.getvalue() == ""
        now[0] += 2.5
        progress("judging")
        assert "judging" in screen.getvalue()
        progress("too soon to be read")
        assert "too soon" not in screen.getvalue()
    assert screen.getvalue().endswith(" \r")


def test_where_nobody_looks_nothing_is_said() -> None:
    file = io.StringIO()
    with Progress(file, quiet_s=-1) as progress:
        progress("reading")
    assert file.getvalue() == ""
