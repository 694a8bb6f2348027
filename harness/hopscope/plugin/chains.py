"""The session's lab: acquired from a provider, measured, its taps proven, its SUTs looked up by name."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopscope import data
from hopscope.capture.probe import verify_taps
from hopscope.errors import HarnessFault, HopscopeError, UsageError
from hopscope.hosts.executor import Executor
from hopscope.lab import attached, drift, staying
from hopscope.lab.lab import Lab
from hopscope.lab.rtt import check_rtt
from hopscope.lab.sut import RunningSut
from hopscope.model.document import from_document, load_topology
from hopscope.model.sut import Sut
from hopscope.model.topology import Host, Topology
from hopscope.plugin import suts
from hopscope.plugin.options import LabOptions
from hopscope.providers.provider import Provider
from hopscope.providers.registry import provider
from hopscope.run import story
from hopscope.run.rundir import Run

#: How long a lab that --lab-keep keeps waits for a person.
KEEP_SECONDS = 8 * 3600.0


class Chain:
    """A lab that is up and proven: the declared round trip is achieved and both taps of every hop see a probe.

    ``rtt_ns`` is the achieved idle round trip from client to server.
    """

    def __init__(
        self,
        lab: Lab,
        run: Run,
        rtt_ns: int,
        source: Path,
        ask_sut: Callable[[str, Topology], Sut | None] | None = None,
    ) -> None:
        """``ask_sut`` knows SUTs that no file has; see ``plugin.newhooks``."""
        self.lab = lab
        self.run = run
        self.rtt_ns = rtt_ns
        self._source = source
        self._ask_sut = ask_sut

    def with_rtt(self, rtt_ns: int) -> Chain:
        """The same lab while its round trip is another one."""
        changed = copy.copy(self)
        changed.rtt_ns = rtt_ns
        return changed

    @property
    def topology(self) -> Topology:
        return self.lab.topology

    def facts(self) -> dict[str, Any]:
        """Which lab it is, for the folder of a test."""
        declared_ms = self.topology.rtt_ms(*self.ends())
        return {
            "topology": self.topology.name,
            "lab": self.lab.name,
            "rtt_ms": self.rtt_ns / 1e6,
            "declared_rtt_ms": declared_ms,
        }

    def host(self, role: str) -> Executor:
        """The hands of the host of a role: ``chain.host("server").run([...])``."""
        return self.lab.hosts[self.topology.role(role).name]

    def ends(self) -> tuple[str, str]:
        """Names of the hosts at the two ends."""
        client: Host = self.topology.role("client")
        return client.name, self.topology.service.host

    def sut(self, name: str, folders: Iterable[Path] = ()) -> Sut:
        """A SUT by name, or a mix: the topology's own, in one of the folders, beside the topology, or built in."""
        return suts.find(name, self.topology, (*folders, self._source.parent), ask=self._ask_sut)

    def running(self, name: str, directory: Path, folders: Iterable[Path] = ()) -> RunningSut:
        """The SUT as a context manager; see hopscope.lab.sut. UsageError for a tunnel: its fixture starts it."""
        sut = self.sut(name, folders)
        if sut.tunnel is not None:
            raise UsageError(f"SUT {name} is a tunnel: tests of it ask the fixture `tunnel`")
        return RunningSut(self.lab, sut, directory)


def topology_of(options: LabOptions, wanted: str, beside: Path | None) -> tuple[Topology, Path]:
    """The topology that a test names (or the session's), with ``--lab-rtt`` applied, and the file it came from."""
    if options.use is not None:
        return _topology_in_use(options, options.use, wanted, beside)
    source = data.find("topologies", wanted, beside=beside)
    topology = load_topology(source)
    if options.rtt_ms is not None and wanted in (options.topology, options.tunnel_topology):
        topology = topology.with_rtt(options.rtt_ms)
    return topology, source


def _topology_in_use(options: LabOptions, name: str, wanted: str, beside: Path | None) -> tuple[Topology, Path]:
    """The topology of the lab that is up. HarnessFault for a test that names another: nothing can be said of it."""
    directory, known = staying.find(options.labs_dir, name)
    topology = from_document(known.topology)
    if beside is not None:  # named by the test itself
        named = load_topology(data.find("topologies", wanted, beside=beside))
        if named.document() != topology.document():
            raise HarnessFault(f"it is for topology {named.name}, and lab {name} has another, {topology.name}")
    if known.sut is not None:
        raise UsageError(
            f"lab {name} has SUT {known.sut} on its path to stay: tests start their own, so build it without"
        )
    return topology, Path(known.source) if known.source is not None else directory / "topology.yaml"


@dataclass(frozen=True)
class Hooks:
    """What a session says about its labs: providers and SUTs of outsiders, whether a lab stays, what to tell of it."""

    provider: Callable[[str], Provider | None] = lambda name: None
    sut: Callable[[str, Topology], Sut | None] = lambda name, topology: None
    keep: Callable[[], bool] = lambda: False
    kept: Callable[[str], None] = lambda text: None


@contextmanager
def acquire(
    options: LabOptions, run: Run, topology: Topology, source: Path, hooks: Hooks | None = None
) -> Iterator[Chain]:
    """A proven chain for as long as the context lasts. What was built and measured is in the run's manifest."""
    hooks = hooks or Hooks()
    if not topology.hosts:
        raise UsageError(f"topology {topology.name} has no hosts")
    directory = run.lab_directory(topology.name)
    with ExitStack() as stack:
        with story.step(directory, f"Lab {topology.name}: hosts and links, every setting read back"):
            lab = stack.enter_context(_up(options, topology, source, hooks))
        topology = lab.topology  # hosts that were found have interfaces and a round trip of their own
        facts: dict[str, Any] = {"topology": topology.document(), "provider": options.provider, "lab": lab.name}
        try:
            client, server = topology.role("client").name, topology.service.host
            with story.step(directory, "Idle round trip measured") as step:
                rtt_ns = check_rtt(lab, client, server)
                facts |= {"rtt_ns": rtt_ns, "declared_rtt_ms": topology.rtt_ms(client, server)}
                step.title += f": {rtt_ns / 1e6:.2f} ms, {facts['declared_rtt_ms']:g} ms declared"
            with story.step(directory, "A tagged probe seen on both taps of every hop"):
                verify_taps(lab, directory / "probe")
            drift.remember(lab)
        except HopscopeError:
            _keep_logs(lab, directory)
            raise
        finally:
            run.append("labs", facts | {"settings": settings(lab), "mechanism": dict(lab.mechanism)})
        yield Chain(lab, run, rtt_ns, source, hooks.sut)
        run.append("lines", {link: lab.link_counters(link) for link in lab.lines})


@contextmanager
def _up(options: LabOptions, topology: Topology, source: Path, hooks: Hooks) -> Iterator[Lab]:
    """A lab of ours, or the one to be used; at the end it is released, left, or handed to a holder."""
    if options.use is not None:
        with attached.attach(options.labs_dir / options.use) as lab:
            attached.claim(lab)
            yield lab
        return
    given = dict(options.aws) if options.inventory is None else {"inventory": options.inventory}
    hands = hooks.provider(options.provider) or provider(options.provider, **given)
    lab = hands.acquire(topology, directory=options.labs_dir)
    proven = False
    try:
        yield lab
        proven = True
    finally:
        if proven and hooks.keep():
            staying.hand_over(lab, KEEP_SECONDS, source=source)
            labs, host = options.labs_dir, next(iter(lab.hosts))
            hooks.kept(
                f"lab {lab.name} stays for {KEEP_SECONDS / 3600:g} h; walk in: "
                f"{staying.typed('shell', labs, lab.name, host)}; end it: {staying.typed('down', labs, lab.name)}"
            )
        else:
            hands.release(lab)


def _keep_logs(lab: Lab, directory: Path) -> None:
    """The logs of a lab that could not be proven: its own folder goes with it."""
    for file in [*lab.directory.rglob("*.out"), *lab.directory.rglob("*.err")]:
        if file.stat().st_size:
            shutil.copyfile(file, directory / f"{file.parent.name}-{file.name}")


def settings(lab: Lab) -> list[Mapping[str, Any]]:
    """Every setting with what was wanted, what was there before and what was read back."""
    return [
        {"host": each.host, "name": each.name, "wanted": each.wanted, "before": each.before, "seen": each.seen}
        for each in lab.settings
    ]
