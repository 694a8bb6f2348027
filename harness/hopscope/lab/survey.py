"""What a host is like. A program of its own, run on the host: standard library, Python >= 3.9, Linux.

    python3 -I -S survey.py DIRECTORY TOOL...

Output: one JSON object. ``tools`` maps each TOOL to its path or null, ``interfaces`` is what ``ip -json address``
says, ``clock_error_ns`` is how far chrony thinks its clock may be off, null where it does not run; ``listeners`` maps
TCP ports to the process that has them where that can be seen, ``boxes`` are processes that a session of the harness
started as a system under test and left running.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import platform
import shutil
import subprocess
import sys
import time

MARK = b"HOPSCOPE_BOX="
LISTEN = "0A"
SYSCTLS = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.rp_filter")


def read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def has_libpcap() -> bool:
    for name in ("libpcap.so.0.8", "libpcap.so.1", "libpcap.so"):
        try:
            ctypes.CDLL(name)
            return True
        except OSError:
            continue
    return False


def interfaces() -> object:
    try:
        told = subprocess.run(["ip", "-json", "address", "show"], stdout=subprocess.PIPE, timeout=10, check=True).stdout
        return json.loads(told)
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def clock_error_ns() -> object:
    """chronyc(1), tracking: at most the offset, the root dispersion and half the root delay, while it is synchronised
    (comma-separated: offset in seconds is field 5, delay 11, dispersion 12, leap status the last one)."""
    try:
        told = subprocess.run(["chronyc", "-c", "tracking"], stdout=subprocess.PIPE, timeout=5, check=True).stdout
        fields = told.decode().strip().split(",")
        if fields[-1] == "Not synchronised":
            return None
        return round((abs(float(fields[4])) + float(fields[11]) + float(fields[10]) / 2) * 1e9)
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def inodes() -> dict[str, int]:
    """Listening sockets: inode and port (proc_pid_net(5))."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in read(table).splitlines()[1:]:
            columns = line.split()
            if len(columns) > 9 and columns[3] == LISTEN:
                found[columns[9]] = int(columns[1].rpartition(":")[2], 16)
    return found


def listeners() -> dict[int, str]:
    ports = inodes()
    found = dict.fromkeys(ports.values(), "another process")
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in ports:
            pid = link.split("/")[2]
            found[ports[target[8:-1]]] = f"process {pid} ({read(f'/proc/{pid}/comm')})"
    return found


def boxes() -> list[str]:
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                marked = any(each.startswith(MARK) for each in file.read().split(b"\0"))
        except OSError:
            continue
        if marked:
            pid = path.split("/")[2]
            words = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
            found.append(f"process {pid} ({words or read(f'/proc/{pid}/comm')})")
    return found


def main() -> None:
    directory, *tools = sys.argv[1:]
    print(
        json.dumps(
            {
                "time_ns": time.time_ns(),
                "python": platform.python_version(),
                "kernel": platform.release(),
                "boot_id": read("/proc/sys/kernel/random/boot_id"),
                "uid": os.getuid(),
                "tools": {tool: shutil.which(tool) for tool in tools},
                "libpcap": has_libpcap(),
                "free_bytes": shutil.disk_usage(directory).free,
                "interfaces": interfaces(),
                "sysctls": {key: read("/proc/sys/" + key.replace(".", "/")) for key in SYSCTLS},
                "clock_error_ns": clock_error_ns(),
                "listeners": listeners(),
                "boxes": boxes(),
            }
        )
    )


if __name__ == "__main__":
    main()
