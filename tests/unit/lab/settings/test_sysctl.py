from __future__ import annotations

from pathlib import Path

import pytest

from hopscope.errors import SettingRefused
from hopscope.lab.settings import sysctl
from support.fakes import fake_host, files


class TestSysctl:
    def test_life(self, tmp_path: Path) -> None:
        content = {"/proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t6291456\n"}
        executor = fake_host(tmp_path, files(content))
        setting = sysctl.Sysctl("client", "net.ipv4.tcp_rmem", "4096 87380 1000000")
        assert setting.read(executor) == "4096 131072 6291456"
        setting.apply(executor)
        assert setting.verify(executor) == "4096 87380 1000000"
        setting.undo(executor)
        assert content["/proc/sys/net/ipv4/tcp_rmem"].split() == ["4096", "131072", "6291456"]

    def test_silent_failure_is_seen(self, tmp_path: Path) -> None:
        executor = fake_host(tmp_path, files({"/proc/sys/net/ipv4/ip_forward": "0\n"}, writable=False))
        setting = sysctl.Sysctl("client", "net.ipv4.ip_forward", "1")
        setting.apply(executor)
        with pytest.raises(SettingRefused, match="did not take") as caught:
            setting.verify(executor)
        assert caught.value.evidence == "wanted: 1\nseen:   0"

    def test_undo_before_apply_does_nothing(self, tmp_path: Path) -> None:
        executor = fake_host(tmp_path, files({}))
        sysctl.Sysctl("client", "a.b", "1").undo(executor)
        assert executor.commands == []

    def test_slashes_keep_the_dots_of_a_name(self) -> None:
        assert sysctl.Sysctl("c", "net.ipv4.ip_forward", "1").path == "/proc/sys/net/ipv4/ip_forward"
        key = "net/ipv4/conf/eth0.5/rp_filter"
        assert sysctl.Sysctl("c", key, "1").path == f"/proc/sys/{key}"
