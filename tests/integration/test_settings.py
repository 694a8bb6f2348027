"""Settings on real hosts: applied, read back, refused with both values, and undone to exactly what was there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from hopscope import data
from hopscope.errors import CommandFailed, EnvironmentFault, LabFailed, SettingRefused
from hopscope.lab.lab import Lab
from hopscope.lab.setting import Setting
from hopscope.lab.settings.congestion import CongestionControl
from hopscope.lab.settings.mtu import Mtu
from hopscope.lab.settings.nft_table import Chain, NftTable
from hopscope.lab.settings.offload import Offload
from hopscope.lab.settings.route import Route
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.providers.netns import NetnsProvider

pytestmark = pytest.mark.integration

DROPS_PING = NftTable(
    "server", "ours", {"in": Chain("type filter hook input priority 0;", ("icmp type echo-request drop",))}
)

SETTINGS: dict[str, Callable[[], Setting]] = {
    "sysctl": lambda: Sysctl("client", "net.ipv4.tcp_rmem", "4096 131072 6291456"),
    "sysctl with a dot in it": lambda: Sysctl("client", "net/ipv4/conf/eth0/rp_filter", "1"),
    "route replaced": lambda: Route("client", "10.1.2.0/24", via="10.1.0.77", port="eth0"),
    "route without a port": lambda: Route("client", "10.1.2.0/24", via="10.1.0.77"),
    "route removed": lambda: Route("client", "10.1.2.0/24"),
    "route added": lambda: Route("client", "192.0.2.0/24", via="10.1.0.1"),
    "mtu": lambda: Mtu("client", "eth0", 1400),
    "offload on": lambda: Offload("client", "eth0", {"tx": True, "tso": True}),
    "nft table": lambda: NftTable("server", "ours", DROPS_PING.chains),
    "congestion control": lambda: CongestionControl("client", "reno"),
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with NetnsProvider().acquire(data.topology("chain"), directory=tmp_path_factory.mktemp("labs")) as lab:
        yield lab


def world(lab: Lab) -> dict[str, str]:
    """All of two hosts that the settings here are about."""
    commands = {
        "routes": ["ip", "route", "show", "table", "all"],
        "links": ["ip", "link"],
        "offloads": ["ethtool", "-k", "eth0"],
        "nft": ["nft", "list", "ruleset"],
        "sysctls": ["grep", "-r", "", "/proc/sys/net/ipv4/conf/eth0", "/proc/sys/net/ipv4/tcp_rmem"],
        "congestion": ["cat", "/proc/sys/net/ipv4/tcp_congestion_control"],
    }
    return {
        f"{host} {name}": lab.hosts[host].run(argv, check=False).text
        for host in ("client", "server")
        for name, argv in commands.items()
    }


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_setting_holds_and_goes_without_a_trace(lab: Lab, kind: str) -> None:
    setting = SETTINGS[kind]()
    before = world(lab)
    with lab.applied(setting) as (record,):
        assert record.seen == record.wanted == setting.read(lab.hosts[setting.host])
        assert record.before != record.seen
        assert world(lab) != before
    assert world(lab) == before


def test_metrics_and_next_hops_of_a_route_come_back(lab: Lab) -> None:
    client = lab.hosts["client"]
    hops = ["nexthop", "via", "10.1.0.1", "dev", "eth0", "weight", "2", "nexthop", "via", "10.1.0.9", "dev", "eth0"]
    client.run(["ip", "route", "add", "198.51.100.0/24", "metric", "7", "proto", "static", *hops])
    before = world(lab)
    with lab.applied(Route("client", "198.51.100.0/24")):
        assert "198.51.100" not in client.run(["ip", "route"]).text
    assert world(lab) == before
    client.run(["ip", "route", "del", "198.51.100.0/24"])


def test_a_value_that_the_kernel_turns_down_is_refused_with_both_values(lab: Lab) -> None:
    with pytest.raises(SettingRefused) as caught:
        lab.apply(Sysctl("client", "net.ipv4.ip_forward", "forward"))
    assert caught.value.host == "client"
    assert "wanted: forward" in str(caught.value)
    assert "seen:   0" in str(caught.value)


def test_a_value_that_fails_silently_is_refused_too(lab: Lab) -> None:
    """The kernel takes the write, without an error, and reads the number as octal."""
    client = lab.hosts["client"]
    path = "/proc/sys/net/ipv4/ip_default_ttl"
    assert client.run(["tee", path], stdin=b"0101\n").returncode == 0
    assert client.run(["tee", path], stdin=b"64\n").returncode == 0
    with pytest.raises(SettingRefused) as caught:
        lab.apply(Sysctl("client", "net.ipv4.ip_default_ttl", "0101"))
    assert "wanted: 0101" in str(caught.value)
    assert "seen:   65" in str(caught.value)
    assert client.run(["cat", path]).text == "64", "undone at once"


def test_an_mtu_beyond_the_ports_limit_is_refused(lab: Lab) -> None:
    with pytest.raises(SettingRefused, match="mtu eth0 did not take"):
        lab.apply(Mtu("client", "eth0", 70000))


def test_congestion_control_says_what_there_is(lab: Lab) -> None:
    with pytest.raises(SettingRefused, match=r"available here: .*reno"):
        lab.apply(CongestionControl("client", "vegas-of-nowhere"))


def test_an_offload_that_is_fixed_is_refused(lab: Lab) -> None:
    with pytest.raises(SettingRefused) as caught:
        lab.apply(Offload("client", "eth0", {"lro": True}))
    assert "wanted: lro=on" in str(caught.value)
    assert "seen:   lro=off" in str(caught.value)


def test_nft_rules_act_and_a_bad_one_leaves_nothing(lab: Lab) -> None:
    client = lab.hosts["client"]
    ping = ["ping", "-n", "-c", "1", "-W", "0.3", "10.1.2.10"]
    with lab.applied(DROPS_PING):
        assert client.run(ping, check=False).returncode == 1
    assert client.run(ping).returncode == 0
    with pytest.raises(CommandFailed, match="nft"):
        lab.apply(NftTable("server", "bad", {"in": Chain("type filter hook input priority 0;", ("no such words",))}))
    assert lab.hosts["server"].run(["nft", "list", "ruleset"]).text == ""


def test_a_table_of_somebody_else_is_left_alone(lab: Lab) -> None:
    server = lab.hosts["server"]
    server.run(["nft", "add", "table", "inet", "theirs"])
    with pytest.raises(EnvironmentFault, match="not ours"):
        lab.apply(NftTable("server", "theirs", {"in": Chain("")}))
    assert "theirs" in server.run(["nft", "list", "tables"]).text
    server.run(["nft", "delete", "table", "inet", "theirs"])


def test_settings_of_a_lab_are_undone_in_reverse_order_when_it_closes(tmp_path_factory: pytest.TempPathFactory) -> None:
    lab = NetnsProvider().acquire(data.topology("chain"), directory=tmp_path_factory.mktemp("labs"))
    seen: list[str] = []
    lab.on_close(lambda: seen.append(lab.hosts["client"].run(["ip", "-j", "link", "show", "eth0"]).text))
    lab.apply(Mtu("client", "eth0", 1400))
    lab.apply(Mtu("client", "eth0", 1300))
    lab.close()
    assert json.loads(seen[0])[0]["mtu"] == 1500


def test_what_cannot_be_undone_is_told_and_the_rest_still_goes(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("labs")
    lab = NetnsProvider().acquire(data.topology("chain"), directory=folder)
    lab.apply(NftTable("server", "ours", DROPS_PING.chains))
    lab.hosts["server"].run(["nft", "delete", "table", "inet", "ours"])
    with pytest.raises(LabFailed, match="ended with 1 error"):
        lab.close()
    assert list(folder.iterdir()) == []
