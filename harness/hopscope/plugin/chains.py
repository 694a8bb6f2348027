"""The session's lab: acquired from a provider, measured, its taps proven, its SUTs looked up by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hopscope import data
from hopscope.capture.probe import verify_taps
from hopscope.errors import UsageError
from hopscope.hosts.executor import Executor
from hopscope.lab.lab import Lab
from hopscope.lab.rtt import check_rtt
from hopscope.lab.sut import RunningSut
from hopscope.model.document import load_topology
from hopscope.model.sut import Sut
from hopscope.model.topology import Host, Topology
from hopscope.plugin import suts
from hopscope.plugin.options import LabOptions
from hopscope.providers.registry import provider
from hopscope.run.rundir import Run


class Chain:
    """A lab that is up and proven: the declared round trip is achieved and both taps of every hop see a probe.

    ``rtt_ns`` is the achieved idle round trip from client to server.
    """

    def __init__(self, lab: Lab, run: Run, rtt_ns: int, source: Path) -> None:
        self.lab = lab
        self.run = run
        self.rtt_ns = rtt_ns
        self._source = source

    @property
    def topology(self) -> Topology:
        return self.lab.topology

    def host(self, role: str) -> Executor:
        """The hands of the host of a role: ``chain.host("server").run([...])``."""
        return self.lab.hosts[self.topology.role(role).name]

    def ends(self) -> tuple[str, str]:
        """Names of the hosts at the two ends."""
        client: Host = self.topology.role("client")
        return client.name, self.topology.service.host

    def sut(self, name: str, folders: Iterable[Path] = ()) -> Sut:
        """A SUT by name, or a mix: the topology's own, in one of the folders, beside the topology, or built in."""
        return suts.find(name, self.topology, (*folders, self._source.parent))

    def running(self, name: str, directory: Path, folders: Iterable[Path] = ()) -> RunningSut:
        """The SUT as a context manager; see hopscope.lab.sut."""
        return RunningSut(self.lab, self.sut(name, folders), directory)


def topology_of(options: LabOptions, wanted: str, beside: Path | None) -> tuple[Topology, Path]:
    """The topology that a test names (or the session's), with ``--lab-rtt`` applied, and the file it came from."""
    source = data.find("topologies", wanted, beside=beside)
    topology = load_topology(source)
    if options.rtt_ms is not None and wanted == options.topology:
        topology = topology.with_rtt(options.rtt_ms)
    return topology, source


@contextmanager
def acquire(options: LabOptions, run: Run, topology: Topology, source: Path) -> Iterator[Chain]:
    """A proven chain for as long as the context lasts. What was built and measured is in the run's manifest."""
    if not topology.hosts:
        raise UsageError(f"topology {topology.name} has no hosts")
    directory = run.directory / "labs" / topology.name
    directory.mkdir(parents=True, exist_ok=True)
    hands = provider(options.provider)
    lab = hands.acquire(topology, directory=directory)
    try:
        facts: dict[str, Any] = {"topology": topology.document(), "provider": options.provider}
        try:
            client, server = topology.role("client").name, topology.service.host
            rtt_ns = check_rtt(lab, client, server)
            facts |= {"rtt_ns": rtt_ns, "declared_rtt_ms": topology.rtt_ms(client, server)}
            verify_taps(lab, directory / "probe")
        finally:
            run.append("labs", facts | {"settings": settings(lab), "mechanism": dict(lab.mechanism)})
        yield Chain(lab, run, rtt_ns, source)
        run.append("lines", {link: lab.link_counters(link) for link in lab.lines})
    finally:
        hands.release(lab)


def settings(lab: Lab) -> list[Mapping[str, Any]]:
    """Every setting with what was wanted, what was there before and what was read back."""
    return [
        {"host": each.host, "name": each.name, "wanted": each.wanted, "before": each.before, "seen": each.seen}
        for each in lab.settings
    ]
