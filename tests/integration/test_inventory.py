"""Hosts that are there already: looked at whole before anything starts, held by one session, left as they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from hopscope import data
from hopscope.capture.session import CaptureSession
from hopscope.checks.judge import judge_trace
from hopscope.errors import ConnectionLost, EnvironmentFault, LabFailed
from hopscope.hosts.executor import Executor
from hopscope.hosts.ssh_process import SshProcess
from hopscope.lab import management, ssh_lab, sshd
from hopscope.lab.lab import Lab
from hopscope.lab.settings.nft_table import Chain, NftTable
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.lab.wait import wait_until
from hopscope.providers.inventory import InventoryProvider
from hopscope.providers.lease import Lease
from hopscope.traffic.transfer import transfer
from hopscope.wire import pcap
from hopscope.wire.packets import ICMP
from hopscope.wire.trace import Trace
from support import ssh_hosts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an SSH server needs a lab built by root")

TTL = 3.0
LOOKS = (
    ["ip", "-o", "route", "show", "table", "all"],
    ["ip", "-o", "address", "show"],
    ["nft", "list", "ruleset"],
    ["tc", "qdisc", "show"],
    ["sysctl", "-a", "-e", "--pattern", "ip_forward|rp_filter|tcp_syn|tcp_congestion"],
    ["ethtool", "-k", "eth0"],
)

SESSION = """
import sys
from pathlib import Path
from hopscope import data
from hopscope.hosts.ready import LogLine
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.providers.inventory import InventoryProvider
from hopscope.providers.lease import Lease

lab = InventoryProvider(Path(sys.argv[1]), ttl=float(sys.argv[2])).acquire(
    data.topology("chain-lan"), directory=Path(sys.argv[3]), name="other"
)
lab.apply(Sysctl("client", "net.ipv4.tcp_syn_retries", "2"))
box = ["sh", "-c", "trap 'echo asked > /tmp/asked; exit' TERM; echo up; sleep 60 & wait"]
lab.hosts["clientnic"].spawn(box, name="box", ready=LogLine("up"))
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory):
    """A lab with its offloads on, so that a session has something to change, and its inventory."""
    folder = tmp_path_factory.mktemp("inventory")
    with ssh_hosts.lab_with_doors(folder, offloads=True) as (lab, targets):
        ssh_lab.write_inventory(folder / "hosts.yaml", lab, targets)
        yield lab, folder / "hosts.yaml"


@pytest.fixture
def hosts(doors, tmp_path: Path):
    """The lab behind the doors; whatever the test does through them, it is as before at the end."""
    lab, _ = doors
    before = snapshot(lab)
    yield lab
    assert snapshot(lab) == before


def snapshot(lab: Lab) -> dict[str, str]:
    """What a host has that a session could have changed, scratch files of ours included."""
    seen = {}
    for name in ("client", "clientnic", "servernic", "server"):
        host = lab.hosts[name]
        for look in LOOKS:
            text = host.run(look, check=False).text
            lines = [line for line in text.splitlines() if management.PORT not in line]  # which a test may cut
            seen[f"{name}: {' '.join(look)}"] = "\n".join(sorted(lines))
        left = ssh_hosts.server_directory(lab, name) / "tmp"
        seen[f"{name}: /tmp"] = " ".join(sorted(each.name for each in left.glob("hopscope-*")))
    return seen


def acquire(doors, tmp_path: Path, *, ttl: float = 60.0, name: str = "mine") -> Lab:
    return InventoryProvider(doors[1], ttl=ttl).acquire(data.topology("chain-lan"), directory=tmp_path, name=name)


def test_a_session_changes_what_it_needs_and_undoes_it(doors, hosts: Lab, tmp_path: Path) -> None:
    with acquire(doors, tmp_path) as lab:
        offloads = lab.hosts["server"].run(["ethtool", "-k", "eth0"]).text
        assert "tx-checksumming: off" in offloads
        assert {record.name for record in lab.settings} >= {"offload eth0", "sysctl net.ipv4.ip_forward"}
        assert lab.same_clock
        assert lab.aside == {}
        table = NftTable("client", "ours", {"output": Chain("type filter hook output priority 0; policy accept;")})
        with lab.applied(table, Sysctl("client", "net.ipv4.tcp_syn_retries", "3")):
            assert "table inet ours" in hosts.hosts["client"].run(["nft", "list", "tables"]).text
    assert list(tmp_path.iterdir()) == []


def test_one_session_has_the_hosts_and_the_next_is_told_which(doors, hosts: Lab, tmp_path: Path) -> None:
    with (
        acquire(doors, tmp_path, name="first"),
        pytest.raises(EnvironmentFault, match=r"not ready: 4 problem\(s\)") as caught,
    ):
        acquire(doors, tmp_path, name="second")
    words = f"another session has this host: root@.*, process {os.getpid()}, session first, since"
    assert len([line for line in (caught.value.evidence or "").splitlines() if words[:30] in line]) == 4
    with acquire(doors, tmp_path, name="third"):
        pass


def test_our_own_connection_over_the_links_under_test_is_in_no_capture(doors, hosts: Lab, tmp_path: Path) -> None:
    """The server is reached through the client and the chain itself; what is left out is told beside the captures."""
    told = json.loads(doors[1].read_text())
    jump = {key: told["hosts"]["client"][key] for key in ("address", "keys", "fingerprint", "proxy_command")}
    told["hosts"]["server"] |= {"address": "10.1.2.10", "proxy_command": [], "jump": jump}
    file = tmp_path / "by-jump.yaml"
    file.write_text(json.dumps(told))
    with InventoryProvider(file).acquire(data.topology("chain-lan"), directory=tmp_path, name="jumped") as lab:
        words = "(host 10.1.0.10 and host 10.1.2.10 and tcp port 22)"
        assert lab.aside == {port.key: words for port in lab.topology.ports}
        captured = CaptureSession(lab, tmp_path / "captures")
        with captured:
            lab.hosts["server"].run(["true"])
            lab.hosts["client"].run(["ping", "-n", "-c", "2", "-i", "0.2", "10.1.2.10"])
    assert json.loads((tmp_path / "captures/taps.json").read_text())["aside"] == lab.aside
    for report in captured.reports:
        packets = pcap.read(report.file)
        assert (packets.proto == ICMP).sum() == 4
        assert not packets.is_tcp.any(), report.file.name


def test_large_captures_of_boxes_in_between_come_without_what_is_right(doors, hosts: Lab, tmp_path: Path) -> None:
    told = json.loads(doors[1].read_text())
    for host in told["hosts"].values():
        host["fetch_whole_mb"] = 0
    file = tmp_path / "thin.yaml"
    file.write_text(json.dumps(told))
    with InventoryProvider(file).acquire(data.topology("chain-lan"), directory=tmp_path, name="thin") as lab:
        captured = CaptureSession(lab, tmp_path / "captures")
        with captured:
            assert transfer(lab.hosts["client"], lab.hosts["server"], "10.1.2.10", bytes=500_000).ok
        sizes = {report.file.stem: report.file.stat().st_size for report in captured.reports}
        assert {name for name, size in sizes.items() if size > 1_000_000} == {"client-eth0", "server-eth0"}
        trace = Trace.load(tmp_path / "captures")
        judgement = judge_trace(trace, "plain")
        verdicts = {each.check: each for each in judgement.verdicts}
        assert judgement.exit_code == 0, [str(each) for each in judgement.verdicts]
        delivered = verdicts["delivery"].metrics
        assert (delivered["bytes"] >= 1_000_000, delivered["bytes_lost"], delivered["bytes_blind"]) == (True, 0, 0)
        assert verdicts["checksums"].metrics["unverifiable"] == 0
        captured.bring([trace.flows[0].label])
        whole = Trace.load(tmp_path / "captures")
        assert not any(tap.packets.cut.any() for tap in whole.taps.values())
        assert [len(tap.packets) for tap in whole.taps.values()] == [len(tap.packets) for tap in trace.taps.values()]
        captured.forget()
        assert lab.hosts["clientnic"].run(["sh", "-c", "ls *.pcap*"], check=False).text == ""


@contextmanager
def spoilt(lab: Lab):
    """One fault of each kind, on hosts that were in order."""
    client, servernic, server = (lab.hosts[name] for name in ("client", "servernic", "server"))
    route = ["10.1.0.0/24", "via", "10.1.1.1", "dev", "eth0", "proto", "static"]
    listener = [
        "python3",
        "-c",
        "import socket, time; s = socket.create_server(('', 8081)); print('up', flush=True); s.accept()",
    ]
    from hopscope.hosts.ready import LogLine

    servernic.run(["ip", "route", "del", *route])
    servernic.run(["tee", "/proc/sys/net/ipv4/ip_forward"], stdin=b"0")
    client.run(["ip", "address", "add", "10.1.0.77/24", "dev", "eth0"])
    try:
        with server.spawn(listener, name="listener", ready=LogLine("up")):
            yield
    finally:
        client.run(["ip", "address", "del", "10.1.0.77/24", "dev", "eth0"])
        servernic.run(["tee", "/proc/sys/net/ipv4/ip_forward"], stdin=b"1")
        servernic.run(["ip", "route", "add", *route])


def test_everything_that_is_wrong_is_told_at_once(doors, hosts: Lab, tmp_path: Path) -> None:
    with spoilt(hosts), pytest.raises(EnvironmentFault, match="the hosts of the inventory are not ready") as caught:
        acquire(doors, tmp_path)
    told = caught.value.evidence or ""
    for words in (
        "servernic: its kernel does not forward; remedy: sysctl -w net.ipv4.ip_forward=1",
        "server: TCP port 8081 of the service is taken by process",
        "client: eth0 has a stale address beside 10.1.0.10/24: 10.1.0.77/24",
        "servernic: packets to 10.1.0.10 leave by way of",
    ):
        assert words in told, told


def test_a_link_that_cuts_packets_up_is_found(doors, hosts: Lab, tmp_path: Path) -> None:
    hosts.hosts["servernic"].run(["ip", "link", "set", "dev", "eth1", "mtu", "1400"])
    try:
        with acquire(doors, tmp_path) as lab:
            assert lab.topology.link_between("servernic", "server").mtu == 1400
    finally:
        hosts.hosts["servernic"].run(["ip", "link", "set", "dev", "eth1", "mtu", "1500"])


def test_what_somebody_else_changes_meanwhile_is_told(doors, hosts: Lab, tmp_path: Path) -> None:
    lab = acquire(doors, tmp_path)
    route = ["10.99.0.0/24", "via", "10.1.0.1"]
    hosts.hosts["client"].run(["ip", "route", "add", *route])
    with pytest.raises(LabFailed) as caught:
        lab.close()
    hosts.hosts["client"].run(["ip", "route", "del", *route])
    assert "client: route 10.99.0.0/24: was nothing, is via 10.1.0.1" in (caught.value.evidence or "")


def test_nothing_runs_on_a_host_whose_lease_has_ended(doors, hosts: Lab, tmp_path: Path, monkeypatch) -> None:
    """Signs of life stay away, as from a machine that slept; the next session may have the hosts already."""
    before = snapshot(hosts)
    lab = acquire(doors, tmp_path, ttl=TTL)
    lab.apply(Sysctl("client", "net.ipv4.tcp_syn_retries", "2"))
    with monkeypatch.context() as silent:
        silent.setattr(SshProcess, "signal", lambda process, sig: None)
        wait_until(lambda: snapshot(hosts) == before, timeout=TTL + 8, interval=0.2, what="hosts that are as before")
    with acquire(doors, tmp_path, name="next"):
        for _ in range(2):  # the first may still meet the end of its connection
            with pytest.raises(EnvironmentFault) as caught:
                lab.hosts["client"].run(["true"])
        assert "client: the lease of this host has ended, and the host has brought itself back" in str(caught.value)
        with pytest.raises(LabFailed, match="error") as caught:
            lab.close()
    told = [line for line in (caught.value.evidence or "").splitlines() if "has ended" in line]
    assert len(told) == len(set(told)) == 4, caught.value.evidence


def broken(doors, tmp_path: Path, **client: object) -> InventoryProvider:
    """The hosts, of which the client's entry says something else."""
    told = json.loads(doors[1].read_text())
    told["hosts"]["client"] |= client
    file = tmp_path / "other.yaml"
    file.write_text(json.dumps(told))
    return InventoryProvider(file, ttl=TTL)


def test_one_host_with_another_key_leaves_all_as_they_are(doors, hosts: Lab, tmp_path: Path) -> None:
    other = broken(doors, tmp_path, fingerprint="SHA256:" + "A" * 43)
    with pytest.raises(EnvironmentFault, match=r"not ready: 1 problem\(s\)") as caught:
        other.acquire(data.topology("chain-lan"), directory=tmp_path)
    assert "client: the host key of 100.64.0.2:22 is not the pinned one: nothing" in (caught.value.evidence or "")


@contextmanager
def disk(hosts: Lab):
    """A disk of the client's own, at /tmp/disk there, and what leaves so many bytes of it free."""
    server = Path(f"/proc/{next(each.pid for each in hosts.hosts['client'].processes if each.name == sshd.NAME)}")
    room = server / "root/tmp/disk"
    mount = ["nsenter", f"--mount={server}/ns/mnt", "--", "mount"]

    def leave(free: int) -> None:
        seen = os.statvfs(room)
        size = (seen.f_blocks - seen.f_bfree) * seen.f_bsize + free
        subprocess.run([*mount, "-o", f"remount,size={size}", "/tmp/disk"], check=True, timeout=10)

    room.mkdir()
    subprocess.run([*mount, "-t", "tmpfs", "-o", "size=2g", "tmpfs", "/tmp/disk"], check=True, timeout=10)
    try:
        yield leave
    finally:
        subprocess.run([*mount[:-1], "umount", "/tmp/disk"], check=True, timeout=10)
        room.rmdir()


def test_nothing_is_changed_on_a_host_whose_disk_is_full(doors, hosts: Lab, tmp_path: Path) -> None:
    """What undoes a setting has to be there before the setting is; a capture that has no room is told as such."""
    with (
        disk(hosts) as leave,
        broken(doors, tmp_path, directory="/tmp/disk").acquire(
            data.topology("chain-lan"), directory=tmp_path, name="full"
        ) as lab,
    ):
        leave(0)
        with pytest.raises(EnvironmentFault, match=r"a file could not be copied: .* to /tmp/disk/hopscope-") as caught:
            lab.apply(Sysctl("client", "net.ipv4.tcp_syn_retries", "2"))
        assert caught.value.host == "client"
        assert lab.hosts["client"].run(["sysctl", "-n", "net.ipv4.tcp_syn_retries"]).text != "2"
        with pytest.raises(EnvironmentFault, match="no room for captures: 0 MiB are free"):
            CaptureSession(lab, tmp_path / "captures").start()
        leave(500 << 20)
    with disk(hosts) as leave:
        leave(500 << 20)
        with pytest.raises(EnvironmentFault) as caught:
            broken(doors, tmp_path, directory="/tmp/disk").acquire(data.topology("chain-lan"), directory=tmp_path)
        assert "client: 499 MiB are free; remedy: make 1 GiB free" in (caught.value.evidence or "")


def test_a_restart_of_the_ssh_server_that_spares_its_connections_is_not_noticed(
    doors, hosts: Lab, tmp_path: Path
) -> None:
    with acquire(doors, tmp_path, ttl=TTL) as lab:
        sshd.restart(hosts.hosts["client"], sessions=False)
        lab.apply(Sysctl("client", "net.ipv4.tcp_syn_retries", "2"))
        other = ssh_hosts.executor("client", lab.hosts["client"].target, tmp_path)
        with closing(other), pytest.raises(EnvironmentFault, match=r"another session has this host: .* session mine"):
            Lease(other, "second")


def test_a_restart_of_the_ssh_server_with_its_connections_ends_the_lease(doors, hosts: Lab, tmp_path: Path) -> None:
    before = snapshot(hosts)["client: ethtool -k eth0"]
    lab = acquire(doors, tmp_path, ttl=TTL)
    lab.apply(Sysctl("client", "net.ipv4.tcp_syn_retries", "2"))
    box = lab.hosts["client"].spawn(["sleep", "60"], name="box")
    sshd.restart(hosts.hosts["client"], sessions=True)
    with pytest.raises(ConnectionLost, match=r"root@100\.64\.0\.2:22 was lost while `sleep 60` ran") as lost:
        box.wait(TTL)
    assert lost.value.host == "client"
    wait_until(
        lambda: snapshot(hosts)["client: ethtool -k eth0"] == before, timeout=TTL + 8, interval=0.2, what="its return"
    )
    with pytest.raises(EnvironmentFault, match="the lease of this host has ended, and the host has brought itself"):
        lab.hosts["client"].run(["true"])
    with pytest.raises(LabFailed):
        lab.close()
    with acquire(doors, tmp_path, name="next"):
        pass


@contextmanager
def session(doors, tmp_path: Path):
    argv = [sys.executable, "-c", SESSION, str(doors[1]), str(TTL), str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                child.kill()


def kept(host: Executor, lab: Lab) -> bool:
    return (ssh_hosts.server_directory(lab, "clientnic") / "tmp" / "asked").exists()


@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_hosts_bring_themselves_back(doors, tmp_path: Path, how: str) -> None:
    """kill -9 of the harness ends its connections; with the network gone, its signs of life stay away."""
    lab, _ = doors
    before = snapshot(lab)
    asked = ssh_hosts.server_directory(lab, "clientnic") / "tmp" / "asked"
    asked.unlink(missing_ok=True)
    ports = [link.a.name for link in lab.topology.links if link.a.host == "management"]

    def as_before() -> bool:
        now = snapshot(lab)
        return now == before

    with session(doors, tmp_path) as child:
        assert not as_before()
        if how == "killed":
            child.kill()
        else:
            for port in ports:
                lab.hosts["management"].run(["ip", "link", "set", "dev", port, "down"])
        try:
            wait_until(as_before, timeout=TTL + 8, interval=0.2, what="hosts that are as before")
            wait_until(asked.exists, timeout=5, what="the box to have been asked to end")
        finally:
            for port in ports:
                lab.hosts["management"].run(["ip", "link", "set", "dev", port, "up"])
    with acquire(doors, tmp_path, name="next"):
        pass
