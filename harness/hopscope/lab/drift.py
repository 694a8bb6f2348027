"""Has the lab stayed as it was when it was proven? Routes, sysctls, offloads and congestion control, read again.

A lab is proven once, and many tests rest on it. What a test, a box or a person changes afterwards would be blamed on
the next system under test: so every window looks again, and what has changed is told by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from hopscope.errors import EnvironmentFault
from hopscope.hosts.executor import Executor
from hopscope.lab.lab import Lab
from hopscope.lab.settings.offload import CORRECTNESS, FEATURES, parse_features

Facts = Mapping[tuple[str, str], str]
"""Values by (host, name); names are those of the settings (``route 10.1.2.0/24``, ``sysctl net.ipv4.ip_forward``)."""

NOTHING = "nothing"
_SYSCTL = "sysctl "
_CONGESTION = "net.ipv4.tcp_congestion_control"


def look(lab: Lab) -> Facts:
    """The facts of every host, as they are now."""
    hosts = list(lab.hosts)
    with ThreadPoolExecutor(len(hosts) or 1) as pool:
        seen = pool.map(lambda name: _look(lab, name, lab.hosts[name]), hosts)
    return {(host, name): value for host, facts in zip(hosts, seen, strict=True) for name, value in facts.items()}


def remember(lab: Lab) -> None:
    """What is there now has been proven."""
    lab.proven = look(lab)


def check(lab: Lab) -> None:
    """Raises EnvironmentFault naming what is not as it was proven. What a setting in force has changed is left out."""
    if not lab.proven:
        return
    changes = differences(lab.proven, look(lab), lab.in_force)
    if changes:
        host, _ = next(iter(changes))
        told = ", ".join(f"{name} on {host}" for host, name in changes)
        raise EnvironmentFault(
            f"the lab is not as it was proven: {told}",
            host=host,
            evidence="\n".join(f"{host}: {name}: was {was}, is {now}" for (host, name), (was, now) in changes.items()),
        )


def differences(
    before: Facts, now: Facts, aside: frozenset[tuple[str, str]] = frozenset()
) -> dict[tuple[str, str], tuple[str, str]]:
    """What was and what is, for each fact that differs and is not set aside.

    A kernel parameter that was not read then is none: it is read because a test has set it since, and undone that.
    """
    unknown = {key for key in now if key not in before and key[1].startswith(_SYSCTL)}
    return {
        key: (before.get(key, NOTHING), now.get(key, NOTHING))
        for key in sorted({*before, *now} - aside - unknown)
        if before.get(key) != now.get(key)
    }


def _look(lab: Lab, name: str, host: Executor) -> dict[str, str]:
    facts = _routes(host)
    keys = [record.name.removeprefix(_SYSCTL) for record in lab.settings if record.host == name and _is_sysctl(record)]
    facts |= _sysctls(host, dict.fromkeys([*keys, _CONGESTION]))
    for port in lab.topology.host(name).ports:
        listed = parse_features(host.run(["ethtool", "-k", port.name], timeout=10).text)
        states = {short: listed.get(FEATURES[short]) for short in sorted(CORRECTNESS)}
        facts[f"offload {port.name}"] = " ".join(f"{short}={'on' if on else 'off'}" for short, on in states.items())
    return facts


def _is_sysctl(record: object) -> bool:
    return str(getattr(record, "name", "")).startswith(_SYSCTL)


def _routes(host: Executor) -> dict[str, str]:
    """The main table: destination, and by way of what; several routes to one destination are told with a comma."""
    facts: dict[str, str] = {}
    for route in json.loads(host.run(["ip", "-json", "route", "show", "table", "main"], timeout=10).stdout or "[]"):
        name = f"route {route.get('dst')}"
        words = [f"{word} {route[key]}" for word, key in (("via", "gateway"), ("dev", "dev")) if route.get(key)]
        kind = [route["type"]] if route.get("type", "unicast") != "unicast" else []
        down = [flag for flag in route.get("flags") or [] if flag in ("linkdown", "dead")]
        value = " ".join([*kind, *words, *down])
        facts[name] = f"{facts[name]}, {value}" if name in facts else value
    return facts


def _sysctls(host: Executor, keys: Mapping[str, None]) -> dict[str, str]:
    """One read of all; keys that this kernel does not have are left out."""
    paths = {"/proc/sys/" + (key if "/" in key else key.replace(".", "/")): key for key in keys}
    lines = host.run(["grep", "-s", "-H", "", *paths], timeout=10, check=False).text.splitlines()
    facts = {}
    for line in lines:
        path, _, value = line.partition(":")
        if path in paths:
            key = paths[path]
            facts["congestion control" if key == _CONGESTION else _SYSCTL + key] = value.strip()
    return facts
