"""Build a lab of network namespaces from a topology: keeper, links, delay lines, addresses, offloads, in that order."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hopscope.errors import LabFailed, ToolMissing
from hopscope.hosts.executor import Executor
from hopscope.hosts.netns import NetnsExecutor
from hopscope.hosts.ready import LogLine
from hopscope.lab import plan, state
from hopscope.lab.lab import Lab
from hopscope.lab.lifeline import PROGRAMS, Lifeline, builder_command
from hopscope.lab.setting import SettingRecord
from hopscope.lab.settings.offload import Offload
from hopscope.model.topology import Link, Topology

SEED = 1
THREADS = 4


def assemble(
    topology: Topology,
    directory: Path,
    name: str,
    *,
    offloads: bool = False,
    mechanism: plan.Mechanism | None = None,
) -> Lab:
    """Build ``topology`` and return the lab; ``directory`` is its state directory, made here and removed at its end.

    ``offloads`` leaves checksum and segmentation offload on; ``mechanism`` forces how impaired links are made.
    Raises LabFailed, SettingRefused, or ToolMissing; nothing is left then.
    """
    directory = directory.absolute()
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        raise LabFailed(f"there is a lab {name} already: {directory} (give another name, or end it)") from None
    return _Assembly(topology, directory, name, offloads, mechanism).build()


class _Assembly:
    def __init__(
        self, topology: Topology, directory: Path, name: str, offloads: bool, mechanism: plan.Mechanism | None
    ) -> None:
        self.topology = topology
        self.directory = directory
        self.name = name
        self.offloads = offloads
        self.forced = mechanism
        self.executors: dict[str, NetnsExecutor] = {}

    def build(self) -> Lab:
        try:
            lifeline = Lifeline(self.directory / "keeper.err")
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        lab: Lab | None = None
        try:
            lifeline.tell({"namespaces": plan.namespaces(self.topology), "builder": builder_command()})
            descriptors: dict[str, int] = lifeline.hear("namespaces")["namespaces"]
            self._make_executors(lifeline, descriptors)
            mechanism = self._choose()
            lifeline.tell(plan.build_plan(self.topology, descriptors, mechanism))
            lab = self._lab(lifeline, descriptors, mechanism)
            self._start_lines(lab, "tap-line")  # makes its ports itself, while the builder is still loading
            lifeline.hear("links")
            self._start_lines(lab, "packet-line")
            lifeline.tell({"go": True})
            self._record(lab, lifeline.hear("built")["built"])
            if not self.offloads:
                self._without_offloads(lab, self.topology.links)
        except BaseException:
            if lab is not None:
                lab.__exit__(*sys.exc_info())
            else:
                lifeline.close()
                shutil.rmtree(self.directory, ignore_errors=True)
            raise
        return lab

    def _make_executors(self, lifeline: Lifeline, descriptors: dict[str, int]) -> None:
        for namespace, descriptor in descriptors.items():
            scratch = self.directory / namespace
            scratch.mkdir(parents=True)
            self.executors[namespace] = NetnsExecutor(
                namespace, scratch, lifeline.pid, descriptor, lifeline.own_user_namespace
            )

    def _lab(self, lifeline: Lifeline, descriptors: dict[str, int], mechanism: dict[str, plan.Mechanism]) -> Lab:
        """The lab, with what ends it, and its name in the state directory."""
        hosts: dict[str, Executor] = {host.name: self.executors[host.name] for host in self.topology.hosts}
        middles: dict[str, Executor] = {
            link.name: self.executors[plan.middle(link)] for link in self.topology.links if link.impairment.active
        }
        lab = Lab(self.name, self.topology, self.directory, hosts, mechanism, middles)
        lab.life_line = lifeline
        lab.on_close(self._forget)
        lab.on_close(lifeline.close)
        for executor in self.executors.values():
            lab.on_close(partial(_close, executor))
        state.LabState(
            name=self.name,
            owner=state.this_process(),
            keeper=state.identify(lifeline.pid),
            own_user_namespace=lifeline.own_user_namespace,
            namespaces=descriptors,
            mechanisms=dict(mechanism),
            topology=self.topology.document(),
        ).write(self.directory)
        return lab

    def _forget(self) -> None:
        with suppress(FileNotFoundError):  # whoever sweeps sees a dead keeper as soon as we do
            shutil.rmtree(self.directory)

    def _choose(self) -> dict[str, plan.Mechanism]:
        impaired = [link for link in self.topology.links if link.impairment.active]
        offers = offers_of(self.executors[plan.middle(impaired[0])]) if impaired else plan.Offers(False, False)
        return {link.name: plan.choose(link, offers, self.forced) for link in self.topology.links}

    def _start_lines(self, lab: Lab, mechanism: plan.Mechanism) -> None:
        for link in self.topology.links:
            if lab.mechanism[link.name] == mechanism:
                lab.lines[link.name] = self.executors[plan.middle(link)].spawn(
                    [
                        sys.executable,
                        "-I",
                        "-S",
                        str(PROGRAMS / "delayline.py"),
                        json.dumps(self._line(link, mechanism)),
                    ],
                    name="line",
                    ready=LogLine('"event": "ready"', "stdout"),
                )

    def _line(self, link: Link, mechanism: plan.Mechanism) -> dict[str, Any]:
        """The delay line's configuration. Inside the lab the keeper is process 1, and holds the namespaces."""
        middle = self.executors[plan.middle(link)]
        if mechanism == "tap-line":
            ends = {
                end: {"netns": f"/proc/1/fd/{self.executors[port.host].netns_fd}", "port": port.name}
                for end, port in (("a", link.a), ("b", link.b))
            }
        else:
            ends = {end: {"netns": f"/proc/1/fd/{middle.netns_fd}", "port": end} for end in ("a", "b")}
        return {
            "kind": "tap" if mechanism == "tap-line" else "packet",
            **ends,
            "control": str(middle.directory / "line.json"),
            "seed": SEED,
            **plan.line_options(link.impairment),
        }

    def _record(self, lab: Lab, seen: dict[str, dict[str, str]]) -> None:
        """What the builder wrote and read back, as settings of a fresh namespace."""
        for host, values in seen.items():
            for key, value in values.items():
                lab.settings.append(SettingRecord(host, f"sysctl {key}", value, "fresh", value))

    def _without_offloads(self, lab: Lab, links: Iterable[Link]) -> None:
        settings = [Offload(port.host, port.name) for link in links for port in link.ports]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda setting: lab.apply(setting, undo=False), settings))


def _close(executor: NetnsExecutor) -> None:
    """End a host's processes; what went wrong with any of them is raised together."""
    errors = executor.close()
    if errors:
        raise LabFailed("processes that did not end", host=executor.name, evidence="\n".join(map(str, errors)))


def offers_of(middle: Executor) -> plan.Offers:
    """netem by use, on the loopback of a link's namespace; TUN by opening the device, which makes no port yet."""
    netem = ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    try:
        has_netem = middle.run(netem, check=False).returncode == 0
    except ToolMissing:
        has_netem = False
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError:
        return plan.Offers(has_netem, tun=False)
    return plan.Offers(has_netem, tun=True)
