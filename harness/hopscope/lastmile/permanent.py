"""What a repair kept, as files for each host that hold after a reboot and when the daemon makes its device anew."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from hopscope.errors import EnvironmentFault
from hopscope.hosts.executor import Executor
from hopscope.lab.setting import Setting
from hopscope.lab.settings.address import Address
from hopscope.lab.settings.mtu import Mtu
from hopscope.lab.settings.nft_rule import NftRule
from hopscope.lab.settings.presence import NONE, Presence
from hopscope.lab.settings.route import Route
from hopscope.lab.settings.route_mtu import RouteMtu
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.lastmile import rules_v4
from hopscope.lastmile.planner import Outcome

RULES_V4 = "/etc/iptables/rules.v4"
"""Where it is, iptables-persistent rules the host: what nft would load at boot, that would flush."""
README = """What `hopscope lastmile --repair` kept on {host}, as files.

  {files}

Copy each to the place that its first line names (rules.v4: /etc/iptables), as root; of networkd, netplan and ifupdown
take the one that rules the host, or device-*.sh with udev-*.rules on any. undo.sh takes back what is in force now;
removing the files does it for the next boot. What is not here has no file that would keep it: {rest}
"""


def write(
    folder: Path, outcome: Outcome, hosts: Mapping[str, Executor], *, rules: str = RULES_V4
) -> list[Path]:  # fmt: skip
    """One folder for each host that something was kept on. Rules are checked on their host, by ``nft -c`` or, where it
    has ``rules``, by ``iptables-restore --test``.

    Raises EnvironmentFault with the tool's words where they do not hold.
    """
    kept: dict[str, list[Setting]] = {}
    for step in outcome.kept:
        for setting in step.settings:
            kept.setdefault(setting.host, []).append(setting)
    written = []
    for host, settings in kept.items():
        persistent = hosts[host].run(["cat", rules], check=False)
        files = documents(settings, persistent.text if persistent.returncode == 0 else None)
        for name, argv in (
            ("nftables-hopscope.nft", ["nft", "-c", "-f", "-"]), ("rules.v4", ["iptables-restore", "--test"])
        ):  # fmt: skip
            if name in files:
                result = hosts[host].run(argv, stdin=files[name].encode(), check=False)
                if result.returncode != 0:
                    raise EnvironmentFault(f"{argv[0]} does not accept the rules", host=host, evidence=result.tail())
        rest = ", ".join(each.name for each in settings if not _stays(each)) or "nothing"
        files["README"] = README.format(host=host, files="\n  ".join(sorted(files)), rest=rest)
        for name, text in files.items():
            path = folder / host / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            written.append(path)
    return written


def documents(settings: list[Setting], persistent: str | None = None) -> dict[str, str]:
    """File name to content. ``persistent`` is the host's rules.v4: rules of its chains go there, at their head."""
    files: dict[str, str] = {}
    others: list[NftRule] = []
    for setting in settings:
        line = rules_v4.line(setting, persistent) if persistent is not None else None
        if line is not None:
            files["rules.v4"] = rules_v4.with_line(files.get("rules.v4", persistent or ""), *line)
        elif isinstance(setting, NftRule):
            others.append(setting)
    if others:
        lines = ["#!/usr/sbin/nft -f", "# /etc/nftables.d/90-hopscope.nft, loaded after the tables that it adds to"]
        lines += [
            f'insert rule {each.family} {each.table} {each.chain} {each.rule} comment "{each.comment}"'
            for each in others
        ]
        files["nftables-hopscope.nft"] = "\n".join(lines) + "\n"
    parameters = [each for each in settings if isinstance(each, Sysctl)]
    if parameters:
        lines = ["# /etc/sysctl.d/90-hopscope.conf; a dash in front: a device that is absent is no error"]
        lines += [f"-{_key(each)} = {each.value}" for each in parameters]
        files["sysctl-hopscope.conf"] = "\n".join(lines) + "\n"
    files.update(_network(settings))
    files.update(_scripts(settings))
    undo = [line for each in reversed(settings) for line in _undo(each)]
    files["undo.sh"] = "\n".join(["#!/bin/sh", "# takes back what is in force now", "set -eu", *undo, ""])
    return files


def _key(setting: Sysctl) -> str:
    return setting.key if "/" in setting.key else setting.key.replace(".", "/")


def _stays(setting: Setting) -> bool:
    return isinstance(setting, NftRule | Sysctl) or bool(_lines(setting))


def _device(setting: Setting) -> str:
    """The device that a setting goes with, empty where it is the host's."""
    if isinstance(setting, Address):
        return setting.device
    if isinstance(setting, Mtu | Route):
        return setting.port or ""
    if isinstance(setting, Sysctl) and (words := _key(setting).split("/"))[2:3] == ["conf"]:
        return words[3] if words[3] not in ("all", "default") else ""
    if isinstance(setting, Presence) and "dev" in setting.add:
        return setting.add[setting.add.index("dev") + 1]
    return ""


def _lines(setting: Setting) -> list[str]:
    """Shell that brings it into force, and does nothing where it is."""
    if isinstance(setting, Sysctl):
        return [f"[ ! -e {setting.path} ] || echo {shlex.quote(setting.value)} > {setting.path}"]
    if isinstance(setting, Mtu):
        return [f"ip link set dev {setting.port} mtu {setting.bytes}"]
    if isinstance(setting, Route) and (setting.via or setting.port):
        way = [*(["via", setting.via] if setting.via else []), *(["dev", setting.port] if setting.port else [])]
        return [f"ip route replace {setting.destination} {shlex.join(way)}"]
    if isinstance(setting, RouteMtu):
        asked = f"ip -4 route get {setting.destination}"
        found = rf"$({asked} | sed -n 's/^[0-9.]* \(via [0-9.]* \)*\(dev [^ ]*\).*/\1\2/p')"
        return [f"ip route replace {setting.destination}/32 {found} mtu {setting.bytes}"]
    if isinstance(setting, Address) and setting.wanted != NONE:
        return [f"{shlex.join(setting.words('replace'))}"]
    if isinstance(setting, Presence) and setting.wanted != NONE:
        return [f"{shlex.join(setting.show)} | grep -Eq {shlex.quote(setting.mark)} || {shlex.join(setting.add)}"]
    return []


def _scripts(settings: list[Setting]) -> dict[str, str]:
    """For each device what it needs whenever it appears, with the udev rule that runs it; and what the host needs."""
    found: dict[str, list[str]] = {}
    for setting in settings:
        device = _device(setting)
        if device or not isinstance(setting, Sysctl):  # sysctl.d has the host's own
            found.setdefault(device, []).extend(_lines(setting))
    files = {}
    for device, lines in found.items():
        if not lines:
            continue
        name = f"device-{device}.sh" if device else "host.sh"
        when = f"when {device} appears" if device else "at boot"
        files[name] = "\n".join(["#!/bin/sh", f"# /usr/local/lib/hopscope/{name}: {when}", *lines, ""])
        if device:
            run = f'RUN+="/bin/sh /usr/local/lib/hopscope/{name}"'
            files[f"udev-{device}.rules"] = (
                f"# /etc/udev/rules.d/90-hopscope-{device}.rules\n"
                f'ACTION=="add|move", SUBSYSTEM=="net", KERNEL=="{device}", {run}\n'
            )
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
    if isinstance(setting, Address):
        return [shlex.join(setting.words("add" if setting.wanted == NONE else "del"))]
    if isinstance(setting, Presence):
        return [shlex.join(setting.add if setting.wanted == NONE else setting.remove)]
    return [f"# {setting.name} was {before}: bring it back by hand"]
