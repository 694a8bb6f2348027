"""The last mile on real kernels: causes named, repairs kept only where they help, nothing opened but the tunnel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hopscope.hosts.executor import Executor
from hopscope.lab.settings.mtu import Mtu
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.lastmile import faults, known, permanent
from hopscope.lastmile.infer import infer
from hopscope.lastmile.look import look
from hopscope.lastmile.planner import attempt, mend
from hopscope.traffic.iperf3 import iperf3

pytestmark = [pytest.mark.integration, pytest.mark.lab_requires("tun")]
CATALOGUE = faults.load()
ROOT = Path(__file__).parents[2]
SAMPLE = ("input-two-chains", "daemon-drops-large")
OPENED = ("firewall", "netdev", "legacy", "tc", "nat")
"""Causes whose repair lets packets through that somebody has decided about."""
UNDERLAY = {"transport", "underlay", "resets"}
"""In the names of faults that stop the transport: once it is mended, all passes that did before the fault."""
CONFIGURATION = (
    ["nft", "-s", "list", "ruleset"], ["ip", "-o", "addr"], ["ip", "route", "show", "table", "all"],
    ["ip", "rule"], ["ip", "neigh", "show", "nud", "permanent"], ["tc", "qdisc"],
    *(["tc", "filter", "show", "dev", device, way] for device in ("tun0", "eth1") for way in ("ingress", "egress")),
    ["grep", "-rH", "", "/proc/sys/net/ipv4/conf", "--include=rp_filter", "--include=forwarding"],
)  # fmt: skip


def configuration(bed: faults.Bed) -> dict[str, list[list[str]]]:
    """What a host is told to be, without what only counts."""
    return {
        name: [sorted(host.run(argv, check=False).text.replace(" linkdown", "").splitlines()) for argv in CONFIGURATION]
        for name, host in bed.lab.hosts.items()
    }


def strangers(bed: faults.Bed) -> list[bool]:
    """Whether those pass who are not the tunnel's: another source on the LAN, another one at the end."""
    hosts = bed.lab.hosts
    hosts["left-lan"].run(["ip", "addr", "replace", "10.20.1.77/24", "dev", "eth0"])
    hosts["left"].run(["ip", "addr", "replace", "10.9.0.77/32", "dev", "lo"])
    hosts["right"].run(["ip", "route", "replace", "10.9.0.77/32", "dev", "tun0"], check=False)  # it may be down
    asked = (
        ("left-lan", "10.20.1.77", "10.20.2.10"),
        ("left", "10.9.0.77", "10.9.0.2"),
        ("left", "10.8.1.1", "10.8.2.2"),
    )
    argv = ["ping", "-c", "1", "-W", "0.3", "-I"]
    return [hosts[host].run([*argv, source, to], check=False).returncode == 0 for host, source, to in asked]


def test_a_tunnel_that_carries_has_no_finding_and_is_left_as_it_was(tmp_path: Path) -> None:
    with faults.bed(faults.Fault("none", ()), directory=tmp_path) as bed:
        before = configuration(bed)
        views = [look(bed.lab.hosts, bed.ground) for _ in range(2)]
        assert [infer(view) for view in views] == [[], []]
        assert [view.failing for view in views] == [frozenset(), frozenset()]
        assert configuration(bed) == before


@pytest.mark.parametrize("name", SAMPLE)
def test_a_fault_is_named_and_mended_and_a_second_run_changes_nothing(name: str, tmp_path: Path) -> None:
    fault = CATALOGUE[name]
    with faults.bed(fault, directory=tmp_path) as bed:
        outcome = mend(bed.lab, bed.ground)
        assert outcome.first[0].cause in fault.causes
        assert not outcome.failing
        assert outcome.conclusion().startswith("resolved by mending: " + outcome.first[0].cause)
        after = configuration(bed)
        again = mend(bed.lab, bed.ground)
        assert (again.steps, again.first) == ([], [])
        assert configuration(bed) == after


def test_a_daemon_that_never_reads_its_device_is_told_and_nothing_is_touched(tmp_path: Path) -> None:
    with faults.bed(CATALOGUE["never-reads-tun"], directory=tmp_path) as bed:
        before = configuration(bed)
        outcome = mend(bed.lab, bed.ground)
        assert {each.cause for each in outcome.first} == {"daemon-deaf"}
        assert outcome.steps == []
        assert outcome.conclusion() == "not resolved: 12 probes fail"
        assert configuration(bed) == before


def test_two_faults_are_both_mended(tmp_path: Path) -> None:
    pair = CATALOGUE["input-drop-icmp"] + CATALOGUE["forward-off-left"]
    with faults.bed(pair, directory=tmp_path) as bed:
        outcome = mend(bed.lab, bed.ground)
        assert not outcome.failing
        assert {step.finding.cause for step in outcome.kept} == {"firewall", "forwarding"}


def test_a_repair_opens_the_tunnel_and_nothing_else(tmp_path: Path) -> None:
    """The policy still drops what comes from another source, or on another device."""
    with faults.bed(CATALOGUE["forward-policy-drop"], directory=tmp_path) as bed:
        bed.lab.hosts["left-lan"].run(["ip", "addr", "add", "10.20.1.77/24", "dev", "eth0"])
        assert not mend(bed.lab, bed.ground).failing
        argv = ["ping", "-c", "1", "-W", "0.3", "-I"]
        assert bed.lab.hosts["left-lan"].run([*argv, "10.20.1.10", "10.20.2.10"], check=False).returncode == 0
        assert bed.lab.hosts["left-lan"].run([*argv, "10.20.1.77", "10.20.2.10"], check=False).returncode == 1
        chains = json.loads(bed.lab.hosts["right"].run(["nft", "-j", "list", "chains"]).stdout)["nftables"]
        assert [each["chain"]["policy"] for each in chains if "chain" in each] == ["drop"]


@pytest.mark.nightly
def test_a_tunnel_that_carries_half_its_capacity_has_no_finding_in_a_hundred_looks(tmp_path: Path) -> None:
    with faults.bed(faults.Fault("none", ()), directory=tmp_path) as bed, ThreadPoolExecutor(1) as pool:

        def through(seconds: float, **how: str) -> float:
            return iperf3(bed.lab, seconds, client="left", target=faults.INNER["right"], cc=None, **how).bits_per_second

        half = through(3) / 2
        found: list[list[str]] = []
        while len(found) < 100:
            load = pool.submit(through, 20, bitrate=f"{half:.0f}")
            while not load.done() and len(found) < 100:
                found.append([f"{each.cause}: {each.evidence}" for each in infer(look(bed.lab.hosts, bed.ground))])
            assert load.result() > 0.8 * half, "half of the capacity was not carried"
        assert [each for each in found if each] == []


OVER_SSH = """
import pytest

@pytest.mark.integration
def test_it(tunnel, lastmile):
    assert lastmile.diagnose() == []
    hosts = tunnel.running.lab.hosts
    rules = "add table inet fw\\n"
    rules += "add chain inet fw in { type filter hook input priority 0; }\\n"
    rules += "add rule inet fw in icmp type echo-request drop\\n"
    hosts["right"].run(["nft", "-f", "-"], stdin=rules.encode())
    (finding,) = lastmile.diagnose()
    assert (finding.cause, finding.host, finding.confidence) == ("firewall", "right", "proven")
    assert not lastmile.repair().failing
    assert not any(host.here for host in hosts.values())
"""


@pytest.mark.nightly
@pytest.mark.skipif(os.geteuid() != 0, reason="an SSH server needs a lab built by root")
def test_over_ssh_it_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(OVER_SSH)
    labs, hosts = str(tmp_path / "labs"), str(tmp_path / "hosts.yaml")

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)

    up = call("hopscope", "lab", "up", "tunnel", "--name", "doors", "--labs", labs, "--ssh", hosts, "--ttl", "5m")
    assert up.returncode == 0, up.stderr
    try:
        argv = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pytest.ini"), "--rootdir", str(tmp_path)]
        argv += ["--lab-run-dir", str(tmp_path / "runs"), "--lab-provider", "inventory", "--lab-inventory", hosts]
        argv += ["--lab-topology", "tunnel", "--lab-sut", "openvpn", str(tmp_path / "test_it.py")]
        done = call("pytest", *argv)
        assert "1 passed" in done.stdout, done.stdout + done.stderr
    finally:
        call("hopscope", "lab", "down", "doors", "--labs", labs)


@pytest.mark.nightly
def test_a_mended_transport_opens_its_port_between_the_ends_and_no_other(tmp_path: Path) -> None:
    policy = {
        "host": "router",
        "nft": "table inet fw { chain f { type filter hook forward priority 0; policy drop; } }",
    }
    with faults.bed(faults.Fault("closed", (), steps=(policy,)), directory=tmp_path) as bed:
        outcome = mend(bed.lab, bed.ground)
        assert not outcome.failing
        assert {"7000" in setting.name for step in outcome.kept for setting in step.settings} == {True}
        left = bed.lab.hosts["left"]
        knock = ["timeout", "0.5", "bash", "-c", "exec 3<>/dev/tcp/10.8.2.2/7001"]
        assert left.run(knock, check=False).returncode == 124, "another port would refuse, were it reached"
        assert left.run(["ping", "-c", "1", "-W", "0.3", "10.8.2.2"], check=False).returncode == 1


@pytest.mark.nightly
def test_the_known_sequence_reports_what_each_step_did(tmp_path: Path) -> None:
    with faults.bed(CATALOGUE["forward-off-left"], directory=tmp_path) as bed:
        assert [str(step) for step in known.run(bed.lab.hosts, bed.ground)] == [
            "INPUT rules: changed nothing: 6 fail", "kernel parameters: changed nothing: 6 fail",
            "MTU 1400: changed nothing: 6 fail", "routes: changed nothing: 6 fail",
        ]  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(name for name, fault in CATALOGUE.items() if fault.repairable))
def test_every_repair_holds_opens_no_more_and_is_undone_exactly(name: str, tmp_path: Path) -> None:
    with faults.bed(CATALOGUE[name], directory=tmp_path) as bed:
        passed = strangers(bed)
        before = configuration(bed)
        outcome = mend(bed.lab, bed.ground)
        assert not outcome.failing, [str(step) for step in outcome.steps]
        after = configuration(bed)
        assert mend(bed.lab, bed.ground).steps == []
        assert configuration(bed) == after
        if CATALOGUE[name].causes[0] in OPENED and not UNDERLAY & set(name.split("-")):
            assert strangers(bed) == passed
        for step in reversed(outcome.kept):
            for setting in reversed(step.settings):
                setting.undo(bed.lab.hosts[setting.host])
        assert configuration(bed) == before


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_fault_of_the_catalogue_is_named_first(name: str, tmp_path: Path) -> None:
    with faults.bed(CATALOGUE[name], directory=tmp_path) as bed:
        view = look(bed.lab.hosts, bed.ground)
        assert view.failing
        assert infer(view)[0].cause in CATALOGUE[name].causes


def test_a_repair_that_helps_nothing_is_undone_exactly(tmp_path: Path) -> None:
    with faults.bed(CATALOGUE["echo-ignored"], directory=tmp_path) as bed:
        before, view = configuration(bed), look(bed.lab.hosts, bed.ground)
        finding = infer(view)[0]
        wrong = [Mtu("left", "tun0", 1400), Sysctl("left", "net.ipv4.ip_default_ttl", "70")]
        step, after = attempt(bed.lab.hosts, bed.ground, view, finding, wrong)
        assert (step.kept, step.why, after.failing) == (False, "no probe succeeds that failed", view.failing)
        assert configuration(bed) == before


RULES = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i tun0 -j DROP\nCOMMIT\n"


def test_what_was_kept_holds_on_fresh_hosts_and_when_the_daemon_makes_its_device_anew(tmp_path: Path) -> None:
    """On a host that iptables-persistent rules: rules.v4 is loaded at boot, device-tun0.sh is run when tun0 appears."""
    fault = CATALOGUE["no-lan-route"]
    files = tmp_path / "files" / "right"

    def boot(bed: faults.Bed, rules: str) -> Executor:
        right = bed.lab.hosts["right"]
        right.run(["iptables-restore"], stdin=rules.encode())
        return right

    with faults.bed(fault, directory=tmp_path / "one") as bed:
        right = boot(bed, RULES)
        (tmp_path / "rules.v4").write_text(RULES)
        outcome = mend(bed.lab, bed.ground)
        permanent.write(files.parent, outcome, bed.lab.hosts, rules=str(tmp_path / "rules.v4"))
    with faults.bed(fault, directory=tmp_path / "two") as bed:
        right = boot(bed, (files / "rules.v4").read_text())
        right.run(["sh", str(files / "device-tun0.sh")])
        assert look(bed.lab.hosts, bed.ground).failing == frozenset()
        bed.restart("right", fault)
        assert look(bed.lab.hosts, bed.ground).failing
        right.run(["sh", str(files / "device-tun0.sh")])
        assert look(bed.lab.hosts, bed.ground).failing == frozenset()


UNPRIVILEGED = """
import json, sys
from pathlib import Path
from hopscope.lastmile import faults
from hopscope.lastmile.infer import infer
from hopscope.lastmile.look import look

with faults.bed(faults.load()["input-drop-icmp"], directory=Path(sys.argv[1])) as bed:
    view = look(bed.lab.hosts, bed.ground)
    print(json.dumps([[each.cause for each in infer(view)], view.sources("right"), view.reports["right"]["missing"]]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="as a plain user every other test is this test")
def test_without_privilege_all_but_drop_reasons_is_there(tmp_path: Path) -> None:
    """In a user namespace of its own, where /dev/net/tun may be opened."""
    bare = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all", sys.executable, "-c", UNPRIVILEGED]
    done = subprocess.run([*bare, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    causes, used, missing = json.loads(done.stdout)
    assert (causes, used) == (["firewall"], ["capture", "nft trace"])
    assert missing == {"drop reasons": "needs root of the machine"}


def test_with_privilege_the_kernel_says_why(tmp_path: Path) -> None:
    """A queue that nobody reads, and no trace: nothing but the reason for the drop tells it."""
    silent = {"host": "right", "run": ["iptables", "-A", "INPUT", "-i", "tun0", "-j", "NFQUEUE", "--queue-num", "5"]}
    with faults.bed(faults.Fault("queue", (), steps=(silent,)), directory=tmp_path) as bed:
        view = look(bed.lab.hosts, bed.ground, trace=False)
        (finding,) = infer(view)
        assert (finding.cause, finding.host) == ("kernel-drop", "right")
        assert "in nf_queue" in finding.summary
        without = infer(look(bed.lab.hosts, bed.ground, trace=False, drops=False))
        assert [each.cause for each in without] == ["unexplained"]
