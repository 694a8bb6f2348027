from __future__ import annotations

from pathlib import Path

from hopscope.hosts.process import log_tail


def test_the_tail_shows_the_end_of_both_logs(tmp_path: Path) -> None:
    out, err = tmp_path / "a.out", tmp_path / "a.err"
    out.write_text("".join(f"line {number}\n" for number in range(50)))
    err.write_text("broken\n")
    tail = log_tail(out, err, lines=2)
    assert tail == "a.out:\nline 48\nline 49\na.err:\nbroken"


def test_silence_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.out").touch()
    assert log_tail(tmp_path / "a.out", tmp_path / "a.err") == "it wrote nothing"
