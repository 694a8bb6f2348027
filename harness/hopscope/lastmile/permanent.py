"""What a repair kept, as files for each host that hold after a reboot and when the daemon makes its device anew."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from hopscope.errors import EnvironmentFault
from hopscope.hosts.executor import Executor
from hopscope.lab.setting import Setting
from hopscope.lab.settings.mtu import Mtu
from hopscope.lab.settings.nft_rule import NftRule
from hopscope.lab.settings.presence import NONE, Presence
from hopscope.lab.settings.route import Route
from hopscope.lab.settings.route_mtu import RouteMtu
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.lastmile.planner import Outcome

README = """What `hopscope lastmile --repair` kept on {host}, as files.

  {files}

Copy each to the place that its first line names, as root. undo.sh takes back what is in force now; removing the files
does it for the next boot. What is not here has no file that would keep it: {rest}
"""


def write(folder: Path, outcome: Outcome, hosts: Mapping[str, Executor]) -> list[Path]:
    """One folder for each host that something was kept on. Rules are checked with ``nft -c`` on their host.

    Raises EnvironmentFault with nft's words where they do not hold.
    """
    kept: dict[str, list[Setting]] = {}
    for step in outcome.kept:
        for setting in step.settings:
            kept.setdefault(setting.host, []).append(setting)
    written = []
    for host, settings in kept.items():
        files = documents(settings)
        if "nftables-hopscope.nft" in files:
            result = hosts[host].run(
                ["nft", "-c", "-f", "-"], stdin=files["nftables-hopscope.nft"].encode(), check=False
            )
            if result.returncode != 0:
                raise EnvironmentFault("nft does not accept the rules", host=host, evidence=result.tail())
        covered = (NftRule, Sysctl, Mtu, Route, RouteMtu)
        rest = ", ".join(each.name for each in settings if not isinstance(each, covered)) or "nothing"
        files["README"] = README.format(host=host, files="\n  ".join(sorted(files)), rest=rest)
        for name, text in files.items():
            path = folder / host / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            written.append(path)
    return written


def documents(settings: list[Setting]) -> dict[str, str]:
    """File name to content."""
    files: dict[str, str] = {}
    rules = [each for each in settings if isinstance(each, NftRule)]
    if rules:
        lines = ["#!/usr/sbin/nft -f", "# /etc/nftables.d/90-hopscope.nft, loaded after the tables that it adds to"]
        lines += [
            f'insert rule {each.family} {each.table} {each.chain} {each.rule} comment "{each.comment}"'
            for each in rules
        ]
        files["nftables-hopscope.nft"] = "\n".join(lines) + "\n"
    parameters = [each for each in settings if isinstance(each, Sysctl)]
    if parameters:
        lines = ["# /etc/sysctl.d/90-hopscope.conf; a dash in front: a device that is absent is no error"]
        lines += [
            f"-{each.key if '/' in each.key else each.key.replace('.', '/')} = {each.value}" for each in parameters
        ]
        files["sysctl-hopscope.conf"] = "\n".join(lines) + "\n"
    files.update(_network(settings))
    undo = [line for each in reversed(settings) for line in _undo(each)]
    files["undo.sh"] = "\n".join(["#!/bin/sh", "# takes back what is in force now", "set -eu", *undo, ""])
    return files


def _network(settings: list[Setting]) -> dict[str, str]:
    """systemd-networkd, netplan and ifupdown; each applies when the device appears, so also when it is made anew."""
    files = {}
    devices = dict.fromkeys(each.port for each in settings if isinstance(each, Mtu | Route) and each.port)
    for device in devices:
        mtu = next((each.bytes for each in settings if isinstance(each, Mtu) and each.port == device), None)
        routes = [each for each in settings if isinstance(each, Route) and each.port == device]
        networkd = [f"# /etc/systemd/network/90-hopscope-{device}.network", "[Match]", f"Name={device}", ""]
        networkd += ["[Link]", f"MTUBytes={mtu}", ""] if mtu else []
        networkd += ["[Network]", "KeepConfiguration=yes", ""]
        netplan = ["# /etc/netplan/90-hopscope.yaml", "network:", "  version: 2", "  ethernets:", f"    {device}:"]
        netplan += [f"      mtu: {mtu}"] if mtu else []
        netplan += ["      routes:"] if routes else []
        up = [f"    up ip link set dev {device} mtu {mtu}"] if mtu else []
        for route in routes:
            networkd += ["[Route]", f"Destination={route.destination}"]
            networkd += [f"Gateway={route.via}"] if route.via else ["Scope=link"]
            networkd += [""]
            netplan += [
                f"        - to: {route.destination}",
                *([f"          via: {route.via}"] if route.via else ["          scope: link"]),
            ]
            via = f"via {route.via} " if route.via else ""
            up.append(f"    up ip route replace {route.destination} {via}dev {device}")
        head = [
            f"# /etc/network/interfaces.d/hopscope-{device}",
            f"allow-hotplug {device}",
            f"iface {device} inet manual",
        ]
        files[f"networkd-{device}.network"] = "\n".join(networkd) + "\n"
        files[f"netplan-{device}.yaml"] = "\n".join(netplan) + "\n"
        files[f"ifupdown-{device}"] = "\n".join([*head, *up]) + "\n"
    return files


def _undo(setting: Setting) -> list[str]:
    if isinstance(setting, NftRule):
        find = (
            f"nft -a list chain {setting.family} {setting.table} {setting.chain} | "
            f"sed -n 's/.*comment \"{setting.comment}\" # handle //p'"
        )
        return [
            f"for handle in $({find}); do",
            f"    nft delete rule {setting.family} {setting.table} {setting.chain} handle $handle",
            "done",
        ]
    before = getattr(setting, "_before", None)
    if isinstance(setting, Sysctl) and before is not None:
        return [f"echo {shlex.quote(before)} > {setting.path}"]
    if isinstance(setting, Mtu) and before is not None:
        return [f"ip link set dev {setting.port} mtu {before}"]
    if isinstance(setting, Route | RouteMtu):
        destination = setting.destination
        return [
            f"ip route flush table main exact {destination}",
            *(f"ip route append {shlex.join(words)}" for words in before or ()),
        ]
    if isinstance(setting, Presence):
        return [shlex.join(setting.add if setting.wanted == NONE else setting.remove)]
    return [f"# {setting.name} was {before}: bring it back by hand"]
