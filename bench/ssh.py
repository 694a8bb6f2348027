"""What reaching a host by SSH costs, on the hosts of a lab: ``python bench/ssh.py [--quick]``. As root."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import report
from hopscope import data
from hopscope.hosts.ssh import SshExecutor
from hopscope.lab import management, ssh_lab
from hopscope.providers.netns import NetnsProvider

HOSTS = ("client", "clientnic", "servernic", "server")
TRUE = ("sh", "-c", "true")
WAIT = ("sleep", "0.05")
#: Of one host, and of each of four at the same time.
BATCH, WAITING = 40, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller files")
    quick = parser.parse_args().quick
    topology = management.with_management(data.topology("chain-lan"))
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with NetnsProvider().acquire(topology, directory=directory) as lab:
            targets = ssh_lab.open_doors(lab)
            scratch = Path(f"/tmp/hopscope-{secrets.token_hex(6)}")
            hosts = [SshExecutor(name, targets[name], scratch, directory / "logs") for name in HOSTS]
            try:
                commands(hosts[0], 50 if quick else 300)
                files(hosts[0], directory, 50 if quick else 200, 2 if quick else 5)
                together(hosts, 3 if quick else 10)
            finally:
                for host in hosts:
                    host.close()


def commands(host: SshExecutor, count: int) -> None:
    host.run(TRUE)
    report.line("command_ms", "sh -c true", [1000 * seconds(lambda: host.run(TRUE)) for _ in range(count)], "ms")
    for who, spent in shares(host, count).items():
        report.line("command_cpu_ms", who, [spent], "ms")


def shares(host: SshExecutor, count: int) -> dict[str, float]:
    """Processor time of one command in milliseconds: here, of whoever calls and of the connection's thread, and there,
    of the server and of the programs that it starts (in ticks of 10 ms in all)."""
    server = host.run(["sh", "-c", "ps -o ppid= -p $$"]).text
    moments = []
    for repeat in (0, count):
        for _ in range(repeat):
            host.run(TRUE)
        ours = time.thread_time(), time.process_time()
        fields = host.run(["cat", f"/proc/{server}/stat"]).text.rpartition(") ")[2].split()[11:15]  # proc_pid_stat(5)
        there = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields]
        moments.append((ours[0], ours[1] - ours[0], there[0] + there[1], there[2] + there[3]))
    names = ("caller", "connection's thread", "sshd", "login shell and programs")
    return {name: 1000 * (end - begin) / count for name, begin, end in zip(names, *moments, strict=True)}


def files(host: SshExecutor, folder: Path, megabytes: int, count: int) -> None:
    """Whole copies, from the call to the hash that agrees."""
    file = folder / "file"
    file.write_bytes(secrets.token_bytes(megabytes << 20))
    megabyte = (megabytes << 20) / 1e6
    put = [megabyte / seconds(lambda: host.put(file, "file")) for _ in range(count)]
    get = [megabyte / seconds(lambda: host.get("file", folder / "back")) for _ in range(count)]
    if file.read_bytes() != (folder / "back").read_bytes():
        sys.exit("what came back is not what was sent")
    for name, values in (("put", put), ("get", get)):
        report.line(f"sftp_{name}_mb_s", f"{megabytes} MiB with sha256", values, "MB/s")


def together(hosts: Sequence[SshExecutor], count: int) -> None:
    """Commands of one host, and of each of all at the same time, in turns: such that do nothing, where all servers
    share the processors of this machine, and such that wait, as on hosts with processors of their own."""
    variants = {
        f"{BATCH} commands each": lambda host: batch(host, TRUE, BATCH),
        f"{WAITING} commands each that wait 50 ms": lambda host: batch(host, WAIT, WAITING),
    }
    for variant, work in variants.items():
        alone, all_of_them, ours = [], [], []
        with ThreadPoolExecutor(len(hosts)) as pool:
            list(pool.map(work, hosts))
            for _ in range(count):
                alone.append(seconds(partial(work, hosts[0])))
                began = time.process_time()
                all_of_them.append(seconds(lambda work=work: list(pool.map(work, hosts))))
                ours.append(time.process_time() - began)
        pairs = [one / four for one, four in zip(alone, all_of_them, strict=True)]
        baseline = sorted(alone)[len(alone) // 2]
        report.line("four_hosts_s", variant, all_of_them, "s", baseline=baseline, ratios=pairs)
        report.line("four_hosts_own_cpu_s", variant, ours, "s")


def batch(host: SshExecutor, argv: Sequence[str], count: int) -> None:
    for _ in range(count):
        host.run(argv)


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
