from __future__ import annotations

from pathlib import Path

import pytest

from hopscope.errors import SettingRefused
from hopscope.lab.settings import congestion
from support.fakes import fake_host, files


class TestCongestion:
    def test_refusal_says_what_there_is(self, tmp_path: Path) -> None:
        folder = "/proc/sys/net/ipv4/"
        content = {
            folder + "tcp_congestion_control": "bbr\n",
            folder + "tcp_available_congestion_control": "reno bbr\n",
        }
        executor = fake_host(tmp_path, files(content, writable=False))
        setting = congestion.CongestionControl("client", "cubic")
        setting.apply(executor)
        with pytest.raises(SettingRefused, match="available here: reno bbr"):
            setting.verify(executor)

    def test_life(self, tmp_path: Path) -> None:
        content = {"/proc/sys/net/ipv4/tcp_congestion_control": "bbr\n"}
        executor = fake_host(tmp_path, files(content))
        setting = congestion.CongestionControl("client", "reno")
        setting.apply(executor)
        assert setting.verify(executor) == "reno"
        setting.undo(executor)
        assert content["/proc/sys/net/ipv4/tcp_congestion_control"] == "bbr\n"
