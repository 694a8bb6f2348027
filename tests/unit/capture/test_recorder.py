from __future__ import annotations

import ctypes

import pytest

from hopscope.capture import recorder


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["eth0", "file"], ["eth0", "file", "a", "b", "c"]):
        assert recorder.main(argv) == 64
    assert "usage: recorder.py INTERFACE FILE" in capsys.readouterr().err


def test_without_libpcap_it_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str, **_: object) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", none)
    with pytest.raises(recorder.Failure, match="install tcpdump") as caught:
        recorder.library()
    assert caught.value.code == 2
