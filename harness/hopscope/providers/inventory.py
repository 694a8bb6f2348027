"""Hosts that are there already, found by an inventory and reached by SSH.

Nothing is built. The hosts are looked at, everything that is wrong with them is told at once, and what a measurement
needs otherwise (offloads off) is set, read back, and undone at the end. The round trip is what it is, and measured.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hopscope.errors import EnvironmentFault, HopscopeError, LabFailed, ToolMissing, UsageError
from hopscope.hosts.program import python_program
from hopscope.hosts.ready import LogLine
from hopscope.hosts.ssh import SshExecutor
from hopscope.hosts.ssh_connection import Target
from hopscope.hosts.ssm import SsmExecutor
from hopscope.lab import drift, looked
from hopscope.lab.lab import Lab
from hopscope.lab.lifeline import PROGRAMS
from hopscope.lab.plan import Offers, choose, line_options
from hopscope.lab.rtt import measure_idle_rtt
from hopscope.lab.setting import Setting, SettingRecord
from hopscope.lab.settings.bridge import Bridge
from hopscope.lab.settings.impairment import LineImpairment
from hopscope.lab.settings.offload import Offload
from hopscope.lab.state import LABS
from hopscope.model.document import load_inventory
from hopscope.model.inventory import Inventory, InventoryHost, Middle, Reach
from hopscope.model.topology import Link, Role, Topology
from hopscope.providers import found
from hopscope.providers.found import Problem
from hopscope.providers.lease import TTL_SECONDS, Lease

T = TypeVar("T")
Hands = SshExecutor | SsmExecutor

MECHANISM = "found"
#: What the agent of an instance has with its service, by the first interface, and any instance with its metadata.
AGENT_TRAFFIC = "tcp port 443 or net 169.254.0.0/16"
IP_AND_ICMP_BYTES = {4: 28, 6: 48}
#: A round trip below this is no delay that somebody added.
NO_DELAY_MS = 1.0


class InventoryProvider:
    """``inventory`` is the file of the hosts."""

    def __init__(self, inventory: Path | None = None, *, ttl: float = TTL_SECONDS) -> None:
        """``ttl`` is how long a host that hears nothing of us waits until it brings itself back."""
        self._file = inventory
        self._ttl = ttl

    def acquire(self, topology: Topology, *, directory: Path = LABS, name: str | None = None) -> Lab:
        """The topology on the hosts of the inventory, with their own interfaces and addresses.

        Raises EnvironmentFault with all that is wrong with the hosts; nothing is left on them then.
        """
        if self._file is None:
            raise UsageError("the provider inventory needs an inventory: --lab-inventory FILE")
        inventory = load_inventory(_of_topology(self._file, topology.name))
        _refuse(found.unmatched(topology, inventory))
        own = directory.absolute() / (name or f"{topology.name}-{os.getpid()}-{secrets.token_hex(3)}")
        own.mkdir(parents=True)
        names = [host.name for host in topology.hosts] + [middle.host for middle in inventory.links.values()]
        hosts = {name: _executor(name, inventory.hosts[name], own / name) for name in dict.fromkeys(names)}
        try:
            return Finding(topology, inventory, own, hosts, self._ttl).lab()
        except BaseException:
            _each(hosts.values(), lambda executor: executor.close())
            shutil.rmtree(own, ignore_errors=True)
            raise

    def release(self, lab: Lab) -> None:
        lab.close()

    def leaks(self) -> list[str]:
        """Nothing of a lab that was found outlives its connections."""
        return []


class Finding:
    """Hosts that are there become a lab, however they are reached.

    ``routed`` says that a router of the network stands between the ports of a link; ``first`` is called with the lab
    before anything else is registered to end with it.
    """

    def __init__(
        self,
        topology: Topology,
        inventory: Inventory,
        directory: Path,
        hosts: Mapping[str, Hands],
        ttl: float,
    ) -> None:
        self.routed = False
        self.first: Callable[[Lab], None] = lambda lab: None
        self.topology = topology
        self.inventory = inventory
        self.directory = directory
        self.all = hosts
        self.hosts = {host.name: hosts[host.name] for host in topology.hosts}
        self.ttl = ttl
        self.leases: dict[str, Lease] = {}
        self.netem: dict[str, bool] = {}

    def lab(self) -> Lab:
        self._take_leases()
        surveys, clocks = self._surveys()
        problems = found.unready(self.topology, surveys, clocks)
        topology, unmapped = found.mapped(self.topology, self.inventory, surveys)
        problems += unmapped
        if topology is None:
            raise _unready(problems)
        self.mapped = topology
        problems += found.misrouted(topology, self._ways(topology), routed=self.routed)
        _refuse(problems)
        boxes = sorted({middle.host for middle in self.inventory.links.values()})
        self.netem = dict(zip(boxes, _each(boxes, lambda box: _has_netem(self.all[box])), strict=True))
        lab = Lab(self.directory.name, topology, self.directory, self.hosts, self._mechanisms(topology))
        self.first(lab)
        lab.on_close(partial(shutil.rmtree, self.directory, ignore_errors=True))
        for executor in self.all.values():
            lab.on_close(partial(_close, executor))
        for lease in self.leases.values():
            lab.on_close(lease.release)
        lab.journal = self._journal
        try:
            self._describe(lab, surveys)
            self._join(lab)
            _refuse(self._too_small(topology))
            self._settle(lab)
        except BaseException as error:
            lab.__exit__(type(error), error, error.__traceback__)
            raise
        return lab

    def _middles(self, topology: Topology) -> dict[str, tuple[Link, Middle]]:
        """Links with a box in the middle, by the names that they have on these hosts."""
        pairs = zip(self.topology.links, topology.links, strict=True)
        middles = self.inventory.links
        return {ours.name: (ours, middles[each.name]) for each, ours in pairs if each.name in middles}

    def _mechanisms(self, topology: Topology) -> dict[str, str]:
        """How each link is made: as it was found, or by a box in its middle that has netem, or runs our delay line."""
        made = dict.fromkeys([link.name for link in topology.links], MECHANISM)
        for name, (link, middle) in self._middles(topology).items():
            mechanism = choose(link, Offers(netem=self.netem[middle.host], tun=False))
            made[name] = "bridge" if mechanism == "veth" else mechanism
        return made

    def _join(self, lab: Lab) -> None:
        """Have the boxes in the middle of links pass packets on: by a delay line, or a bridge with netem or without."""
        between = self._middles(lab.topology)
        lab.middles = {name: self.all[middle.host] for name, (_, middle) in between.items()}
        lab.middle_ports = {name: middle.ports for name, (_, middle) in between.items()}
        for name, (link, middle) in between.items():
            box = self.all[middle.host]
            if lab.mechanism[name] == "packet-line":
                lab.lines[name] = box.spawn(
                    [*python_program(box, PROGRAMS / "delayline.py"), json.dumps(_line(box, middle, link))],
                    name="line",
                    ready=LogLine('"event": "ready"', "stdout"),
                )
                continue
            lab.apply(Bridge(name, middle.ports))
            if lab.mechanism[name] == "netem":
                lab.apply(lab.impairment(name, link.impairment))

    def _journal(self, setting: Setting) -> Callable[[], None]:
        """Settings of a link are those of a process or a bridge in its middle. A process ends with the connection."""
        if isinstance(setting, LineImpairment):
            return lambda: None
        names = {name: middle.host for name, (_, middle) in self._middles(self.mapped).items()}
        return self.leases[names.get(setting.host, setting.host)].about_to(setting)

    def _take_leases(self) -> None:
        """One session at a time has a host. Hosts that cannot be reached, or are taken, are told together."""
        problems: list[Problem] = []

        def take(executor: Hands) -> None:
            try:
                lease = self.leases[executor.name] = Lease(executor, self.directory.name, ttl=self.ttl)
                if isinstance(executor, SshExecutor):
                    executor.bar = lease.over
            except HopscopeError as error:
                problems.append(Problem(executor.name, str(error).removeprefix(f"{executor.name}: ")))

        _each(self.all.values(), take)
        _refuse(problems)

    def _surveys(self) -> tuple[dict[str, Any], dict[str, int]]:
        """What each host is like, and by how much its clock is ahead of ours. Hosts that do not answer are told
        together."""
        problems: list[Problem] = []

        def survey(executor: Hands) -> tuple[dict[str, Any], int] | None:
            try:
                seen = looked.survey(executor)
                return seen.survey, seen.ahead_ns
            except HopscopeError as error:
                problems.append(Problem(executor.name, str(error).removeprefix(f"{executor.name}: ")))
                return None

        answers = _each(self.hosts.values(), survey)
        _refuse(problems)
        both = {name: answer for name, answer in zip(self.hosts, answers, strict=True) if answer is not None}
        return {name: seen for name, (seen, _) in both.items()}, {name: ahead for name, (_, ahead) in both.items()}

    def _ways(self, topology: Topology) -> dict[tuple[str, str], dict[str, Any]]:
        asked: dict[str, list[str]] = {}
        for host, address, _, _ in found.destinations(topology):
            asked.setdefault(host, []).append(address)
        answers = _each(asked, lambda host: looked.ways(self.hosts[host], asked[host]))
        return {
            (host, address): way for host, told in zip(asked, answers, strict=True) for address, way in told.items()
        }

    def _too_small(self, topology: Topology) -> list[Problem]:
        """Links that do not carry packets of their ports' size whole: a probe that must not be cut up."""

        def probe(link: Link) -> Problem | None:
            target = link.b.address(4) or link.b.address(6)
            assert target is not None
            size = str(link.mtu - IP_AND_ICMP_BYTES[target.version])
            argv = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", "-M", "do", "-s", size, str(target)]
            told = self.hosts[link.a.host].run(argv, timeout=15, check=False)
            if told.returncode == 0:
                return None
            said = (told.text or told.tail() or "nothing said").splitlines()[-1]
            what = f"packets of {link.mtu} bytes do not come whole to {link.b.host} ({target}): {said}"
            return Problem(link.a.host, what, f"the same MTU all along; try: {' '.join(argv)}")

        return [problem for problem in _each(topology.links, probe) if problem is not None]

    def _describe(self, lab: Lab, surveys: Mapping[str, Any]) -> None:
        """What the lab knows of its hosts without changing them."""
        lab.same_clock = len({survey["boot_id"] for survey in surveys.values()}) == 1
        lab.clock_error_ns = {
            name: survey["clock_error_ns"] for name, survey in surveys.items() if survey["clock_error_ns"] is not None
        }
        lab.whole_bytes = {name: self.inventory.hosts[name].fetch_whole_mb * 1_000_000 for name in self.hosts}
        lab.aside = _aside(lab.topology, self.hosts)
        lab.walk_in = {name: _typed(executor) for name, executor in self.hosts.items()}
        for host, survey in surveys.items():
            for key, value in survey["sysctls"].items():
                if value:
                    lab.settings.append(SettingRecord(host, f"sysctl {key}", value, value, value))

    def _settle(self, lab: Lab) -> None:
        """Offloads off, and at the end everything as it was; then the round trip."""
        before = drift.look(lab)
        lab.on_close(partial(_compare, lab, before))
        _each(lab.topology.ports, lambda port: lab.apply(Offload(port.host, port.name)))
        delayed = {"packet-line", "netem"} & set(lab.mechanism.values())
        ends = [host.name for host in lab.topology.hosts if host.role is Role.CLIENT] + [lab.topology.service.host]
        if len(ends) == 2 and ends[0] != ends[1] and not delayed:
            milliseconds = measure_idle_rtt(lab, ends[0], ends[1]) / 1e6
            if milliseconds >= NO_DELAY_MS:
                # Links of found hosts are declared without a round trip; which one is the WAN was said before that.
                wan = lab.topology.links[self.topology.links.index(self.topology.wan)]
                lab.topology = lab.topology.with_rtt(round(milliseconds, 3), wan)


def _line(box: Hands, middle: Middle, link: Link) -> dict[str, Any]:
    near, far = ({"netns": "/proc/self/ns/net", "port": port} for port in middle.ports)
    control = str(box.directory / "line.json")
    return {"kind": "packet", "a": near, "b": far, "control": control, "seed": 1, **line_options(link.impairment)}


def _has_netem(box: Hands) -> bool:
    """Its kernel has netem, or has it as a module; loading it is left to the kernel."""
    try:
        return box.run(["modprobe", "-n", "-q", "sch_netem"], check=False).returncode == 0
    except ToolMissing:
        return False


def _of_topology(file: Path, topology: str) -> Path:
    """The inventory of a topology: hosts-tunnel.yaml beside hosts.yaml, where there is one, else hosts.yaml."""
    own = file.with_stem(f"{file.stem}-{topology}")
    return own if own.is_file() else file


def target(reach: Reach) -> Target:
    return Target(
        address=reach.address,
        port=reach.port,
        user=reach.user,
        keys=tuple(Path(each) for each in reach.keys),
        agent=reach.agent,
        fingerprint=reach.fingerprint,
        known_hosts=Path(reach.known_hosts),
        jump=None if reach.jump is None else target(reach.jump),
        proxy_command=reach.proxy_command,
        max_sessions=reach.max_sessions,
    )


def _executor(name: str, entry: InventoryHost, logs: Path) -> SshExecutor:
    scratch = Path(entry.directory) / f"hopscope-{secrets.token_hex(8)}"
    return SshExecutor(name, target(entry), scratch, logs, sudo=entry.sudo, python=entry.python)


def _typed(hands: Hands) -> str:
    """What a person types to get to a host."""
    if isinstance(hands, SsmExecutor):
        return f"aws ssm start-session --target {hands.instance}"
    return hands.target.typed


def _aside(topology: Topology, hosts: Mapping[str, Hands]) -> dict[str, str]:
    """The harness's own connections, where they come in by a port that is captured: set aside on all ports, as they may
    have crossed others on their way."""
    ours: list[str] = []
    agents: dict[str, str] = {}
    for port in topology.ports:
        hands = hosts[port.host]
        if isinstance(hands, SsmExecutor):
            if port == topology.host(port.host).ports[0]:
                agents[port.key] = AGENT_TRAFFIC
            continue
        client, _, server, ssh_port = hands.seen_from
        if server in {str(each.ip) for each in port.addresses}:
            ours.append(f"(host {client} and host {server} and tcp port {ssh_port})")
    return {**(dict.fromkeys([port.key for port in topology.ports], " or ".join(ours)) if ours else {}), **agents}


def _compare(lab: Lab, before: drift.Facts) -> None:
    """The hosts have to be left as they were found."""
    now = drift.look(lab)
    new = frozenset(key for key in now if key not in before and key[1].startswith("sysctl "))  # looked at since then
    changes = drift.differences(before, now, new)
    if changes:
        raise EnvironmentFault(
            "hosts are not as they were found",
            evidence="\n".join(f"{host}: {name}: was {was}, is {now}" for (host, name), (was, now) in changes.items()),
        )


def _refuse(problems: Iterable[Problem]) -> None:
    told = list(problems)
    if told:
        raise _unready(told)


def _unready(problems: list[Problem]) -> EnvironmentFault:
    return EnvironmentFault(
        f"the hosts of the inventory are not ready: {len(problems)} problem(s)",
        evidence="\n".join(str(problem) for problem in problems),
    )


def _close(executor: Hands) -> None:
    errors = executor.close()
    if errors:
        raise LabFailed("it was not left cleanly", host=executor.name, evidence="\n".join(map(str, errors)))


A = TypeVar("A")


def _each(over: Iterable[A], call: Callable[[A], T]) -> list[T]:
    """``call`` for each at the same time; all have ended before the first failure is raised."""
    items = list(over)
    with ThreadPoolExecutor(max(1, len(items))) as pool:
        futures = [pool.submit(call, item) for item in items]
    return [future.result() for future in futures]
