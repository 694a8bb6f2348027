"""What this machine can do for a lab, tried by use in throw-away namespaces, and what is lost where it cannot."""

from __future__ import annotations

import os
import resource
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hopscope.errors import HopscopeError
from hopscope.hosts.executor import Executor
from hopscope.hosts.netns import NetnsExecutor
from hopscope.hosts.ready import ListeningPort, LogLine
from hopscope.hosts.wait import wait_until
from hopscope.lab.lifeline import PROGRAMS, Lifeline

THREADS = 4
DISK_BYTES = 2 * 1024**3
OPEN_FILES = 4096
PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)  # nanoseconds, Ethernet, no packet


@dataclass(frozen=True)
class Capability:
    """One thing that the machine can do or not. ``required`` without it there is no lab at all; ``detail`` is what
    the attempt said, empty where it worked."""

    name: str
    present: bool
    lost_without: str
    remedy: str
    required: bool = False
    detail: str = ""


Probe = Callable[[Executor], object]


@dataclass(frozen=True)
class Check:
    """A capability and how it is tried: the probe raises where it is not there."""

    name: str
    lost_without: str
    remedy: str
    probe: Probe
    required: bool = False


def preflight(directory: Path | None = None) -> list[Capability]:
    """Try everything; takes about a second. ``directory`` is where runs and captures will be written."""
    directory = directory or Path.cwd()
    with tempfile.TemporaryDirectory(prefix="hopscope-preflight-") as scratch:
        try:
            lifeline = Lifeline(Path(scratch) / "keeper.err")
        except (HopscopeError, OSError) as error:
            return [_namespaces(str(error)), *_untried()]
        try:
            lifeline.tell({"namespaces": [check.name for check in CHECKS], "builder": []})
            held: dict[str, int] = lifeline.hear("namespaces")["namespaces"]
        except HopscopeError as error:
            lifeline.close()
            return [_namespaces(str(error)), *_untried()]
        try:
            executors = [_executor(Path(scratch), check.name, lifeline, held[check.name]) for check in CHECKS]
            with ThreadPoolExecutor(THREADS) as pool:
                found = list(pool.map(_try, CHECKS, executors))
        finally:
            lifeline.close()
    return [_namespaces(), *found, _disk(directory), _open_files()]


def _executor(scratch: Path, name: str, lifeline: Lifeline, descriptor: int) -> NetnsExecutor:
    own = scratch / name.replace(" ", "-").replace("/", "-")
    own.mkdir()
    return NetnsExecutor(name, own, lifeline.pid, descriptor, lifeline.own_user_namespace)


def _try(check: Check, executor: NetnsExecutor) -> Capability:
    detail = ""
    try:
        check.probe(executor)
    except (HopscopeError, OSError) as error:
        detail = str(error)
    detail = detail or "; ".join(str(problem) for problem in executor.close())
    return Capability(check.name, not detail, check.lost_without, check.remedy, check.required, detail)


def _untried() -> list[Capability]:
    why = "not tried: there are no namespaces to try it in"
    return [Capability(each.name, False, each.lost_without, each.remedy, each.required, why) for each in CHECKS]


def _namespaces(problem: str = "") -> Capability:
    remedy = "sysctl -w user.max_user_namespaces=10000 kernel.unprivileged_userns_clone=1, or run as root"
    return Capability("namespaces", not problem, "every lab on this machine", remedy, True, problem)


def _disk(directory: Path) -> Capability:
    free = shutil.disk_usage(directory).free
    return Capability(
        "disk space",
        free >= DISK_BYTES,
        "long captures: they are stopped before the disk is full",
        f"free {DISK_BYTES >> 30} GiB on the file system of {directory}",
        detail="" if free >= DISK_BYTES else f"{free >> 20} MiB are free",
    )


def _open_files() -> Capability:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= OPEN_FILES
    return Capability(
        "open files",
        enough,
        "more than about a thousand connections at once",
        f"ulimit -n {OPEN_FILES} (limits.conf: nofile)",
        detail="" if enough else f"limits are {soft} and {hard}",
    )


def _run(*argv: str) -> Probe:
    return lambda host: host.run(list(argv))


def _feature(*arguments: str) -> Probe:
    return _run(sys.executable, "-I", "-S", str(PROGRAMS / "probe.py"), *arguments)


def _nft(document: str) -> Probe:
    return lambda host: host.run(["nft", "-f", "-"], stdin=document.encode())


def _veth(host: Executor) -> None:
    host.run(["ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"])


def _ethtool(host: Executor) -> None:
    _veth(host)
    host.run(["ethtool", "-K", "probe0", "tx", "off"])
    if "tx-checksumming: off" not in host.run(["ethtool", "-k", "probe0"]).text:
        raise HopscopeError("ethtool -K said yes and changed nothing")


def _ping(host: Executor) -> None:
    host.run(["ip", "link", "set", "lo", "up"])
    host.run(["ping", "-n", "-c", "1", "-W", "1", "127.0.0.1"])


def _tcpdump(host: Executor) -> None:
    """A packet that ends in a file; the option -Z is what the captures use."""
    host.run(["ip", "link", "set", "lo", "up"])
    file = host.directory / "probe.pcap"
    argv = ["tcpdump", "-Z", "root", "-n", "-U", "--time-stamp-precision=nano", "-i", "lo", "-w", str(file)]
    with host.spawn(argv, name="tcpdump", ready=LogLine("listening on", "stderr"), ready_timeout=5.0):
        _ping(host)
        wait_until(lambda: file.stat().st_size > len(PCAP_HEADER), timeout=3.0, what="a packet in the file")


def _dumpcap(host: Executor) -> None:
    host.run(["ip", "link", "set", "lo", "up"])
    file = host.directory / "probe.pcap"
    argv = ["dumpcap", "-q", "-P", "-i", "lo", "-w", str(file)]
    with host.spawn(argv, name="dumpcap", ready=LogLine("File: ", "stderr"), ready_timeout=5.0):
        _ping(host)
        wait_until(lambda: file.stat().st_size > len(PCAP_HEADER), timeout=3.0, what="a packet in the file")


def _tshark(host: Executor) -> None:
    (host.directory / "empty.pcap").write_bytes(PCAP_HEADER)
    host.run(["tshark", "-r", str(host.directory / "empty.pcap")], timeout=30)


def _iperf3(host: Executor) -> None:
    host.run(["ip", "link", "set", "lo", "up"])
    with host.spawn(["iperf3", "-s", "-1"], name="iperf3", ready=ListeningPort(5201), ready_timeout=5.0):
        host.run(["iperf3", "-c", "127.0.0.1", "-n", "10000"])


def _tun(host: Executor) -> None:
    host.run(["ip", "tuntap", "add", "dev", "probe0", "mode", "tun"])


def _there(*argv: str) -> Probe:
    """The program can be started; what its version is told with as exit code differs."""
    return lambda host: host.run(argv, check=False)


def _socat(host: Executor) -> None:
    features = host.run(["socat", "-V"]).text
    for name in ("TUN", "OPENSSL"):
        if f"#define WITH_{name} 1" not in features:
            raise HopscopeError(f"this socat was built without {name}")


def _install(*packages: str) -> str:
    return f"apt-get install -y --no-install-recommends {' '.join(packages)}"


def _module(module: str) -> str:
    return f"modprobe {module} (Debian and Ubuntu: in linux-modules or linux-modules-extra of the kernel)"


CHECKS = (
    Check("iproute2", "every lab", _install("iproute2"), _run("ip", "-json", "link", "show", "lo"), required=True),
    Check("veth", "every lab", _module("veth"), _veth, required=True),
    Check(
        "user namespaces",
        "labs of a plain user (root needs none)",
        "sysctl -w user.max_user_namespaces=10000",
        _run("unshare", "--user", "--map-root-user", "true"),
    ),
    Check(
        "tap ports",
        "the faster delay line; the one over packet sockets takes its place",
        "modprobe tun; chmod 0666 /dev/net/tun",
        _feature("tap"),
    ),
    Check(
        "netem",
        "delay in the kernel; a delay line takes its place",
        _module("sch_netem"),
        _run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"),
    ),
    Check(
        "bridge",
        "links with netem in the middle",
        _module("bridge"),
        _run("ip", "link", "add", "probe0", "type", "bridge"),
    ),
    Check(
        "packet sockets",
        "the reference rewriters, and the delay line of a plain user",
        _module("af_packet"),
        _feature("packet"),
    ),
    Check(
        "nft",
        "nft settings, and rewriters that keep the kernel from forwarding",
        _install("nftables"),
        _nft("table inet probe { chain in { type filter hook input priority 0; tcp dport 9 drop; }; }\n"),
    ),
    Check(
        "nft owner flag",
        "rules that go with the rewriter that made them",
        "a kernel from 5.12 on, and nftables from 0.9.9 on",
        _nft("table inet probe { flags owner; }\n"),
    ),
    Check(
        "nft netdev egress",
        "drop rules at the egress of a port",
        "a kernel from 5.16 on",
        _nft("table netdev probe { chain out { type filter hook egress device lo priority 0; }; }\n"),
    ),
    Check(
        "tcpdump savefile",
        "captures by tcpdump itself; ours, by libpcap, take their place",
        "run as root: in a user namespace tcpdump fails to give up its groups" if os.getuid() else _install("tcpdump"),
        _tcpdump,
    ),
    Check(
        "libpcap",
        "captures, and so every verdict",
        _install("tcpdump"),
        _feature("libpcap"),
        required=True,
    ),
    Check("dumpcap", "a way to capture where tcpdump cannot", _install("wireshark-common"), _dumpcap),
    Check("tshark", "second opinions and dissected frames in reports", _install("tshark"), _tshark),
    Check("ethtool", "offloads off, and so checksums", _install("ethtool"), _ethtool, required=True),
    Check("ping", "the probe on both taps of every hop", _install("iputils-ping"), _ping, required=True),
    Check("iperf3", "throughput runs", _install("iperf3"), _iperf3),
    Check(
        "tun",
        "every tunnel on this machine" + (" (a plain user: unless the device is open to all)" if os.getuid() else ""),
        "modprobe tun; chmod 0666 /dev/net/tun",
        _tun,
    ),
    Check("openvpn", "the tunnel openvpn, the default one", _install("openvpn"), _there("openvpn", "--version")),
    Check("socat", "the tunnel socat", _install("socat"), _socat),
    Check("ssh", "the tunnel ssh-w", _install("openssh-client"), _there("ssh", "-V")),
    Check("sshd", "the tunnel ssh-w", _install("openssh-server"), _there("/usr/sbin/sshd", "-V")),
    Check("bpf", "the bpf datapath", "run as root, with CONFIG_BPF_SYSCALL", _feature("bpf")),
    Check("congestion control reno", "runs with reno", "built into every kernel", _feature("congestion", "reno")),
    Check("congestion control cubic", "runs with cubic", _module("tcp_cubic"), _feature("congestion", "cubic")),
    Check("congestion control bbr", "runs with bbr", _module("tcp_bbr"), _feature("congestion", "bbr")),
)

NAMES = ("namespaces", *(check.name for check in CHECKS), "disk space", "open files")
"""Every capability that ``preflight`` reports, in its order."""
