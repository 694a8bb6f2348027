"""What the memory of a machine grows by for a flow that is open, by what is on its path (a part of ``datapath.py``)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import report
from hopscope.errors import HopscopeError
from hopscope.hosts.process import Process
from hopscope.hosts.ready import LogLine
from hopscope.lab.lab import Lab
from hopscope.lab.sut import RunningSut
from ways import KERNEL, Way

#: Opens or takes connections, says so, and keeps them until it is told to end.
IDLE = """
import resource, signal, socket, sys
role, address, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
kept = []
if role == "serve":
    with socket.create_server((address, port), backlog=4096) as listener:
        print("listening", flush=True)
        for _ in range(count):
            kept.append(listener.accept()[0])
            kept[-1].sendall(kept[-1].recv(1))
else:
    for _ in range(count):
        kept.append(socket.create_connection((address, port), timeout=10))
        kept[-1].sendall(b"?")
        assert kept[-1].recv(1) == b"?"
    print("open", flush=True)
signal.pause()
"""


def per_flow(built: Lab, ways: Sequence[Way], directory: Path, count: int) -> None:
    """Rows for each way: anonymous memory of its processes and memory of the kernel (less what the ends of a flow take,
    as under plain forwarding) for each open flow, and what its BPF maps take as they are loaded.
    """
    plain = 0.0
    for way in ways:
        try:
            with RunningSut(built, way.sut, directory) as sut:
                processes = [process for host in sut.hosts if (process := sut.process(host)) is not None]
                own, kernel = _growth(built, directory, count, processes)
                loaded = sum(map(maps, processes))
        except HopscopeError as error:
            report.absent(way.name, f"memory: {error}")
        else:
            plain = kernel if way.name == KERNEL else plain
            report.line("memory_bytes_per_flow", way.name, [own / count], "bytes")
            report.line("kernel_bytes_per_flow", way.name, [(kernel - plain) / count], "bytes")
            report.line("bpf_maps_mib", way.name, [loaded / 2**20], "MiB")


def _growth(built: Lab, directory: Path, count: int, processes: Sequence[Process]) -> tuple[float, float]:
    """Bytes of the processes and of the kernel with so many flows open, less those without."""

    def now() -> tuple[int, int]:
        return sum(map(anonymous, processes)), unreclaimable()

    _while_open(built, directory, 100, now)  # what the first flows take is taken once
    before = now()
    then = _while_open(built, directory, count, now)
    return then[0] - before[0], then[1] - before[1]


def _while_open(built: Lab, directory: Path, count: int, look: Callable[[], tuple[int, int]]) -> tuple[int, int]:
    service = built.topology.service
    address = built.topology.host(service.host).ports[0].address(4)
    argv = [sys.executable, "-I", "-S", "-c", IDLE]
    what = [str(address), str(service.ports[1]), str(count)]
    listening, opened = LogLine("listening", "stdout"), LogLine("open", "stdout")
    with (
        built.hosts[service.host].spawn([*argv, "serve", *what], name="idle", ready=listening, directory=directory),
        built.hosts["client"].spawn(
            [*argv, "connect", *what], name="idle", ready=opened, ready_timeout=60, directory=directory / "client"
        ),
    ):
        return look()


def anonymous(process: Process) -> int:
    """Bytes of a process that no file is behind (ru_maxrss counts files that are mapped as well)."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Anonymous:\s+(\d+)", text, re.MULTILINE)[0]) * 1024


def maps(process: Process) -> int:
    """Bytes that the kernel set aside for the BPF maps that a process holds, as it loaded them."""
    total = 0
    for each in Path(f"/proc/{process.pid}/fdinfo").iterdir():
        try:
            text = each.read_text()
        except FileNotFoundError:  # closed by now: no map
            continue
        if "map_type:" in text:
            total += int(re.findall(r"^memlock:\s+(\d+)", text, re.MULTILINE)[0])
    return total


def unreclaimable() -> int:
    """Bytes of the kernel's own objects: sockets, connection tracking (SUnreclaim of /proc/meminfo)."""
    return int(re.findall(r"^SUnreclaim:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)[0]) * 1024
