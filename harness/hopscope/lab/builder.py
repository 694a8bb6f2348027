"""The builder: makes the links of a lab. Run by the keeper inside the lab's namespaces, as ``python -I -S builder.py
SITE`` where SITE is the folder that pyroute2 is installed in.

Conversation on the pipes inherited from the keeper, one JSON document a line: it is told
``{"hosts": [...], "links": [...], "routes": [...], "namespaces": {NAME: FD}}`` (see ``plan.py``), makes all links but
those that a delay line brings, and says ``{"links": "made"}``; it is told ``{"go": true}`` once the delay lines run,
configures every port and says ``{"built": {...}}`` with what it read back. A failure is said as ``{"error": TEXT}``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import importlib
import ipaddress
import json
import os
import socket
import struct
import sys
import types
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000
IFA_F_NODAD = 0x02  # duplicate address detection would keep an IPv6 address unusable for a second
TAP_QUEUE = 10_000  # frames that the kernel holds for a delay line while it is not scheduled
SIOCETHTOOL, ETHTOOL_GLINK = 0x8946, 0x0A


class Refused(Exception):
    """A value that did not read back as written."""


def import_iproute(site: Path) -> Any:
    """The one class that is needed, without the rest: the package's own ``__init__`` imports all that it has, which
    is a third of the time that a lab takes. Where a version of it is built otherwise, the whole is imported."""
    package = types.ModuleType("pyroute2")
    package.__path__ = [str(site / "pyroute2")]
    sys.modules["pyroute2"] = package
    try:
        return importlib.import_module("pyroute2.iproute.linux").IPRoute
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]:
            del sys.modules[name]
        return importlib.import_module("pyroute2").IPRoute


class Namespaces:
    """The lab's network namespaces: entering them, and one netlink socket in each."""

    def __init__(self, descriptors: dict[str, int]) -> None:
        iproute = import_iproute(Path(sys.argv[1]))
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fds = {name: os.open(f"/proc/1/fd/{fd}", os.O_RDONLY) for name, fd in descriptors.items()}
        self.netlink = {}
        for name in self.fds:
            self.enter(name)
            self.netlink[name] = iproute(groups=0)

    def enter(self, name: str) -> None:
        if self._libc.setns(self.fds[name], CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")

    def index(self, name: str, port: str) -> int:
        found = self.netlink[name].link_lookup(ifname=port)
        if not found:
            raise OSError(errno.ENODEV, f"{name} has no interface {port}")
        return int(found[0])


def make_link(namespaces: Namespaces, link: dict[str, Any]) -> None:
    """A bare veth between the two hosts, or two veths that end in the link's own namespace."""
    a, b, mechanism = link["a"], link["b"], link["mechanism"]
    if mechanism == "veth":
        veth(namespaces, a["host"], a["port"], b["host"], b["port"], link["mtu"])
        return
    if mechanism == "tap-line":
        return  # the delay line makes the ports itself
    middle = link["namespace"]
    for end, side in (("a", a), ("b", b)):
        silence(namespaces, middle)
        veth(namespaces, middle, end, side["host"], side["port"], link["mtu"])
    netlink = namespaces.netlink[middle]
    if mechanism == "netem":
        netlink.link("add", ifname="bridge", kind="bridge", br_stp_state=0, br_mcast_snooping=0)
        bridge = namespaces.index(middle, "bridge")
        for end in ("a", "b"):
            index = namespaces.index(middle, end)
            netlink.link("set", index=index, master=bridge)
            netlink.tc("add", "netem", index, handle="1:", **link["netem"])
        netlink.link("set", index=bridge, state="up")
    for end in ("a", "b"):
        netlink.link("set", index=namespaces.index(middle, end), state="up")


def veth(namespaces: Namespaces, host: str, port: str, other: str, peer: str, mtu: int) -> None:
    namespaces.netlink[host].link(
        "add",
        ifname=port,
        kind="veth",
        mtu=mtu,
        peer={"ifname": peer, "mtu": mtu, "net_ns_fd": namespaces.fds[other]},
    )


def silence(namespaces: Namespaces, name: str) -> None:
    """No IPv6 in a namespace that only carries frames: its router solicitations would be seen by the hosts."""
    namespaces.enter(name)
    for scope in ("all", "default"):
        sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", "1")


def sysctl(key: str, value: str) -> str | None:
    """Write a sysctl of the namespace entered, and read it back. None where the kernel has no such key (no IPv6)."""
    path = Path("/proc/sys", *key.split("/" if "/" in key else "."))
    if not path.exists():
        return None
    path.write_text(value)
    seen = path.read_text().strip()
    if seen != value:
        raise Refused(f"sysctl {key}: wanted {value}, seen {seen}")
    return seen


def configure_host(namespaces: Namespaces, host: dict[str, Any]) -> dict[str, str]:
    """Sysctls first (ip_forward resets others), then lo. Returns what was read back."""
    name = host["name"]
    namespaces.enter(name)
    seen = {key: value for key, wanted in host["sysctls"] if (value := sysctl(key, wanted)) is not None}
    namespaces.netlink[name].link("set", index=namespaces.index(name, "lo"), state="up")
    return seen


def configure_port(namespaces: Namespaces, port: dict[str, Any], mechanism: str) -> dict[str, str]:
    """MAC, MTU, IPv6 on or off, addresses, up."""
    host, name = port["host"], port["port"]
    netlink, index = namespaces.netlink[host], namespaces.index(host, port["port"])
    namespaces.enter(host)
    netlink.link("set", index=index, address=port["mac"], mtu=port["mtu"])
    if mechanism == "tap-line":  # here and not in the line: by ioctl it would be root's alone
        netlink.link("set", index=index, txqlen=TAP_QUEUE)
    ipv6 = any(ipaddress.ip_interface(each).version == 6 for each in port["addresses"])
    key = f"net/ipv6/conf/{name}/disable_ipv6"  # with slashes, as an interface name may have a dot
    value = sysctl(key, "0" if ipv6 else "1")
    for each in port["addresses"]:
        address = ipaddress.ip_interface(each)
        extra = {"flags": IFA_F_NODAD} if address.version == 6 else {}
        netlink.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen, **extra)
    netlink.link("set", index=index, state="up")
    return {} if value is None else {key: value}


def settle(namespaces: Namespaces, host: str, name: str) -> None:
    """Have the kernel take note of the carrier now. It may put that off for a second, in which the port is up and
    works but says NO-CARRIER; asking for the link state by ioctl brings it forward (linkwatch_sync_dev)."""
    namespaces.enter(host)
    answer = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_GLINK, 0))
    request = struct.pack("16sP16x", name.encode(), ctypes.addressof(answer))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCETHTOOL, request)


def add_route(namespaces: Namespaces, route: dict[str, str]) -> None:
    netlink = namespaces.netlink[route["host"]]
    index = namespaces.index(route["host"], route["port"])
    netlink.route("add", dst=route["destination"], gateway=route["via"], oif=index)


def hear() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        raise SystemExit(0)  # the life-line is gone, and the lab with it
    message: dict[str, Any] = json.loads(line)
    return message


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def build() -> None:
    plan = hear()
    namespaces = Namespaces(plan["namespaces"])
    for link in plan["links"]:
        make_link(namespaces, link)
    say({"links": "made"})
    hear()
    seen: dict[str, dict[str, str]] = {}
    for host in plan["hosts"]:
        seen[host["name"]] = configure_host(namespaces, host)
    for link in plan["links"]:
        for port in (link["a"], link["b"]):
            seen[port["host"]].update(configure_port(namespaces, port, link["mechanism"]))
    for link in plan["links"]:
        for port in (link["a"], link["b"]):
            settle(namespaces, port["host"], port["port"])
    for route in plan["routes"]:
        add_route(namespaces, route)
    say({"built": seen})


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    try:
        build()
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        raise
