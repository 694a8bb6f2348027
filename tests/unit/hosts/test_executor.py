from __future__ import annotations

from hopscope.hosts.executor import Result


def result(stdout: bytes = b"", stderr: bytes = b"") -> Result:
    return Result(("echo", "two words"), 0, stdout, stderr, 0.1)


def test_text_is_decoded_and_stripped_and_never_fails() -> None:
    assert result(b" caf\xc3\xa9 \n").text == "café"
    assert result(b"\xff\xfe").text == "\ufffd\ufffd"


def test_the_command_can_be_pasted() -> None:
    assert result().command == "echo 'two words'"


def test_the_tail_is_of_the_errors_if_there_are_any() -> None:
    assert result(b"out", b"one\ntwo\nthree\n").tail(2) == "two\nthree"
    assert result(b"out\n", b"\n").tail() == "out"
