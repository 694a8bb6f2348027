"""What a host is like now, as plain data. Runs on the host; the standard library alone.

Each source is tried; what could not be had is in ``missing`` with the reason, and nothing else fails for it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time

from files import children, quietly, read, there

TYPE_CHECKING = False  # typing is an import of milliseconds, and a diagnosis starts five agents
if TYPE_CHECKING:
    from typing import Any

SYSCTLS = (
    "net/ipv4/ip_forward", "net/ipv4/ip_default_ttl", "net/ipv4/icmp_echo_ignore_all", "net/ipv4/ip_no_pmtu_disc",
    "net/ipv4/ip_forward_use_pmtu", "net/ipv4/tcp_mtu_probing", "net/ipv4/tcp_timestamps",
    "net/ipv4/fwmark_reflect", "net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max",
    "net/ipv4/ip_local_port_range",
)  # fmt: skip
PER_DEVICE = (
    "rp_filter", "forwarding", "accept_local", "arp_ignore", "arp_filter", "src_valid_mark", "disable_xfrm",
    "disable_policy", "drop_unicast_in_l2_multicast", "route_localnet",
)  # fmt: skip
ANSWER = ("type", "dev", "gateway", "prefsrc", "table", "flags", "metrics")
"""What is kept of the kernel's own answer to where a packet goes; else the error that the packet would meet."""
COMMAND_S = 3.0


def snapshot(spec: dict[str, Any], full: bool = True) -> dict[str, Any]:
    """``spec`` has ``devices``, ``lookups`` and the transport ``port``. Without ``full`` only what moves."""
    missing: dict[str, str] = {}
    batches = {"ip": _of_ip(spec, full), "tc": _of_tc(spec, full)}
    commands = {tool: [tool, "-j", "-s", "-d", "-force", "-batch", "-"] for tool in batches}
    commands |= _commands(spec, full)
    running = {name: _start(argv, batches.get(name)) for name, argv in commands.items()}
    seen: dict[str, Any] = {
        "clock": time.time(),
        "snmp": _snmp(),
        "sysctl": _sysctls() if full else {},
        "holders": _holders(),
        "conntrack": _conntrack(),
    }
    deadline = time.monotonic() + COMMAND_S
    for name, process in running.items():
        names = list(batches.get(name, {name: ""}))
        if isinstance(process, str):
            missing.update(dict.fromkeys(names, process))
            continue
        try:
            out, err = process.communicate(timeout=max(0.01, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            missing.update(dict.fromkeys(names, "it did not end in time"))
            continue
        if name in batches:
            _unpack(names, out, err, seen, missing)
        elif process.returncode != 0:
            missing[name] = err.decode(errors="replace").strip()[:200] or f"it ended with {process.returncode}"
        else:
            seen[name] = _json(out) if "-j" in commands[name] else out.decode(errors="replace")
    seen["missing"] = missing
    return seen


def _unpack(names: list[str], out: bytes, err: bytes, seen: dict[str, Any], missing: dict[str, str]) -> None:
    """One document a line for each command of a batch that did not fail; of the others the number and what was said."""
    failed: dict[int, str] = {}
    said: list[str] = []
    for line in err.decode(errors="replace").splitlines():
        found = re.match(r"Command failed -:(\d+)", line)
        if found:
            failed[int(found[1])] = " ".join(said)[:200] or "no answer"
            said = []
        else:
            said.append(line.replace("RTNETLINK answers: ", "").replace("Error: ipv4: ", "").replace("Error: ", ""))
    documents = iter(out.splitlines())
    for number, name in enumerate(names, 1):
        listed = [] if number in failed else _json(next(documents, b""))
        if name.startswith("lookup "):
            answer = (
                {key: listed[0].get(key) for key in ANSWER} if listed else {"error": failed.get(number, "no answer")}
            )
            seen.setdefault("lookups", {})[name[7:]] = answer
        elif number in failed:
            missing[name] = failed[number]
        else:
            seen[name] = listed


def _of_ip(spec: dict[str, Any], full: bool) -> dict[str, str]:
    """Lines of ``ip -batch`` by the name of their source."""
    found = {"links": "addr show", "neighbours": "neigh show"}
    if full:
        found |= {"rules": "rule show", "routes": "route show table all"}
        for each in spec.get("lookups", ()):
            words = [f"{word} {each[word]}" for word in ("from", "iif") if each.get(word)]
            found["lookup " + each["name"]] = " ".join(["route get", each["to"], *words])
    return found


def _of_tc(spec: dict[str, Any], full: bool) -> dict[str, str]:
    found = {"qdiscs": "qdisc show"}
    for device in spec.get("devices", ()):
        for way in ("ingress", "egress"):
            if full or device == spec.get("tunnel"):
                found[f"filters {device} {way}"] = f"filter show dev {device} {way}"
    return found


def _commands(spec: dict[str, Any], full: bool) -> dict[str, list[str]]:
    port = spec.get("port")
    found = {}
    if full:
        found = {"nft": ["nft", "-j", "list", "ruleset"], "xfrm": ["ip", "xfrm", "policy"]}
    if port:
        found["sockets"] = ["ss", "-H", "-a", "-n", "-t", "-i", "-e", "-O", f"( sport = :{port} or dport = :{port} )"]
    for family, tool in (("ip", "iptables"), ("ip6", "ip6tables"), ("arp", "arptables"), ("eb", "ebtables")):
        for table in _legacy_tables(family):
            argv = [f"{tool}-legacy", "-t", table, "-nvxL", "--line-numbers"]
            found[f"legacy {tool} {table}"] = [f"{tool}-legacy-save", "-c", "-t", table] if family != "eb" else argv
    return found


def _legacy_tables(family: str) -> list[str]:
    """Tables that are loaded already: asking for others would load them."""
    try:
        names: str = read(f"/proc/net/{family}_tables_names")
        return names.split()
    except OSError:
        return []


def _start(argv: list[str], lines: dict[str, str] | None) -> subprocess.Popen[bytes] | str:
    """``lines`` are what it reads: too few to fill a pipe, so nobody waits for it."""
    if not there(argv[0]):
        return f"{argv[0]} is not there"
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL if lines is None else subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    if process.stdin is not None:
        assert lines is not None
        process.stdin.write("".join(f"{line}\n" for line in lines.values()).encode())
        process.stdin.close()
        process.stdin = None  # communicate() would flush it
    return process


def _json(out: bytes) -> Any:
    try:
        return json.loads(out or b"[]")
    except ValueError:
        return []


def established(port: int) -> set[str]:
    """Connections of a port that are up now, as /proc/net/tcp tells their two ends (in hexadecimal)."""
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            rows = [line.split() for line in read(f"/proc/net/{name}").splitlines()[1:]]
        except OSError:
            continue
        ends = [(row[1], row[2]) for row in rows if row[3] == "01"]
        found |= {f"{here} {there}" for here, there in ends if f":{port:04X}" in (here[-5:], there[-5:])}
    return found


def _snmp() -> dict[str, int]:
    """/proc/net/snmp and netstat: ``IpInReceives``, ``TcpExtListenDrops``."""
    counted: dict[str, int] = {}
    for name in ("snmp", "netstat"):
        try:
            lines = read(f"/proc/net/{name}").splitlines()
        except OSError:
            continue
        for names, values in zip(lines[::2], lines[1::2]):  # noqa: B905 (Python 3.9)
            prefix, _, keys = names.partition(":")
            counted.update({prefix + key: int(value) for key, value in zip(keys.split(), values.split()[1:])})  # noqa: B905
    return counted


def _sysctls() -> dict[str, str]:
    """Read through /proc/sys, which shows those of the reader's network namespace."""
    conf = "net/ipv4/conf"
    keys = [*SYSCTLS, *(f"{conf}/{device}/{key}" for device in children(f"/proc/sys/{conf}") for key in PER_DEVICE)]
    return {key: value for key in keys if (value := quietly(f"/proc/sys/{key}"))}


def _conntrack() -> dict[str, int]:
    """Sums over all processors of what connection tracking refused: drop, early_drop, insert_failed, invalid."""
    try:
        lines = read("/proc/net/stat/nf_conntrack").splitlines()
    except OSError:
        return {}
    names = lines[0].split() if lines else []
    sums = dict.fromkeys(names, 0)
    for line in lines[1:]:
        for name, value in zip(names, line.split()):  # noqa: B905
            sums[name] += int(value, 16)
    return sums


def _holders() -> list[dict[str, Any]]:
    """Processes of this network namespace that hold a TUN device: which, their state, and their processor time."""
    own = os.readlink("/proc/self/ns/net")
    found = []
    for pid in filter(str.isdigit, children("/proc")):
        folder = f"/proc/{pid}"
        try:
            if os.readlink(f"{folder}/ns/net") != own:
                continue
            descriptors = os.listdir(f"{folder}/fd")
        except OSError:
            continue
        for fd in descriptors:
            try:
                if not os.readlink(f"{folder}/fd/{fd}").endswith("/net/tun"):
                    continue
                name = re.search(r"^iff:\s*(\S+)", read(f"{folder}/fdinfo/{fd}"), re.MULTILINE)
                stat = read(f"{folder}/stat").rpartition(")")[2].split()
                words = read(f"{folder}/cmdline").split("\0")
            except OSError:
                continue
            found.append(
                {
                    "pid": int(pid),
                    "device": name[1] if name else "?",
                    "state": stat[0],
                    "ticks": int(stat[11]) + int(stat[12]),
                    "command": " ".join(filter(None, words))[:300],
                    "waits_in": quietly(f"{folder}/wchan"),
                }
            )
    return found
