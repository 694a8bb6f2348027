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


def test_in_a_log_it_is_said_on_lines_of_its_own_and_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("hopscope.report.progress.time.monotonic", lambda: now[0])
    file = io.StringIO()
    with Progress(file) as progress:
        for second in range(25):
            now[0] = 100.0 + second
            progress(f"check {second}")
    assert file.getvalue() == "  10 s  check 10\n  20 s  check 20\n"
