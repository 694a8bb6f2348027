"""All taps of a lab as one capture: started together, drained together, with a side-car that proves their health.

Six taps of a chain start in 0.2 s and end 0.1 s after the last packet, measured on two busy cores; with tcpdump 0.1 s
and 0.8 s (``tap`` says why).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from hopscope.capture.programs import Options
from hopscope.capture.tap import CaptureTap, TapReport
from hopscope.errors import CaptureUnhealthy, EnvironmentFault, HarnessFault
from hopscope.hosts.executor import Executor
from hopscope.lab.lab import Lab
from hopscope.model.topology import Port, Role

T = TypeVar("T")

SIDECAR = "taps.json"

#: Free space that has to be there for each tap, whatever its bound: a full disk spoils more than this capture.
RESERVE_BYTES = 64 * 2**20

#: Features of ``ethtool -k`` that merge segments or leave checksums to be filled in later.
_OFFLOADS = re.compile(
    r"^(?:tx-checksumming|tcp-segmentation-offload|generic-segmentation-offload|generic-receive-offload"
    r"|large-receive-offload): on",
    re.MULTILINE,
)


class CaptureSession:
    """Captures of the ports of a lab (all, or those given) into ``directory``, one file each, and ``taps.json``.

    ``filter`` is in the language of pcap-filter(7); without one everything is taken: in a lab of ours that is
    little, and nobody has to ask what was left out. ``limit_mb`` bounds each file; a capture that reaches it ends and
    is unhealthy. ``program`` is one of ``hopscope.capture.programs.PROGRAMS``.
    """

    def __init__(
        self,
        lab: Lab,
        directory: Path,
        *,
        filter: str | None = None,
        snaplen: int = 0,
        ports: Iterable[str | Port] | None = None,
        limit_mb: int = 2000,
        program: str = "recorder",
    ) -> None:
        self._lab = lab
        self.directory = directory.absolute()
        topology = lab.topology
        chosen = topology.ports if ports is None else ports
        self.ports = tuple(topology.port(each) if isinstance(each, str) else each for each in chosen)
        self._options = Options(filter=filter, snaplen=snaplen, limit_bytes=limit_mb * 1_000_000)
        self._program = program
        self._taps: list[CaptureTap] = []
        self._ended: list[TapReport] = []
        self._stopped: list[CaptureTap] = []
        self._brought: dict[str, None] = {}
        self.reports: tuple[TapReport, ...] = ()

    @property
    def taps(self) -> tuple[CaptureTap, ...]:
        """The taps that are capturing now."""
        return tuple(self._taps)

    def start(self) -> None:
        """Start every tap; returns when all are live. What the lab sets aside on a port (the harness's own SSH
        connection) is not captured.

        Raises EnvironmentFault when the disk has no room or a tap does not start; nothing is left running then.
        """
        if self._taps:
            raise HarnessFault(f"the captures into {self.directory} were started already")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._check_disk()
        self._taps = [self._tap(port, f"{port.tap}.pcap") for port in self.ports]
        try:
            _together([tap.start for tap in self._taps])
        except BaseException:
            self._abandon()
            raise

    def add(self, port: Port) -> None:
        """One more tap while the others capture: on a port that is no part of the topology, such as a tunnel's device.

        A port that has been captured before gets a file of its own: ``left-tun0-2.pcap`` is the second life of tun0.
        """
        before = sum(each.port.key == port.key for each in self._ended)
        tap = self._tap(port, f"{port.tap}-{before + 1}.pcap" if before else f"{port.tap}.pcap")
        tap.start()
        self._taps.append(tap)

    def end(self, port: Port) -> None:
        """Drain and end the tap on a port now, before the port goes; the others capture on."""
        for tap in [each for each in self._taps if each.port.key == port.key]:
            self._taps.remove(tap)
            self._ended.append(tap.stop())

    def snapshot(self, extra: Mapping[str, Any] | None = None) -> None:
        """Have every tap write what it has taken, and write a side-car that is true of it; the captures go on."""
        self._write_sidecar((*self._ended, *_together([tap.snapshot for tap in self._taps])), extra or {})

    def stop(self, extra: Mapping[str, Any] | None = None) -> tuple[TapReport, ...]:
        """Drain and end every tap, write ``taps.json`` (with the keys of ``extra`` in it), and report each tap.

        Raises CaptureUnhealthy for a tap that ended by itself or whose file is not whole, after everything was
        written. Packets that the kernel dropped are no reason to raise: the report and the side-car tell them.
        Stopping twice is harmless.
        """
        if not self._taps:
            return self.reports
        taps, self._taps = self._taps, []
        self._stopped += taps
        try:
            self.reports = (*self._ended, *_together([tap.stop for tap in taps]))
        except BaseException:
            _together([tap.kill for tap in taps])
            raise
        self._write_sidecar(self.reports, extra or {})
        # A device may go with the program that made it: that is told in the side-car, and is nobody's fault here.
        declared = {port.key for port in self._lab.topology.ports}
        failed = [report for report in self.reports if report.problem and report.port.key in declared]
        if failed:
            raise CaptureUnhealthy(
                "; ".join(f"tap {report.port.tap} {report.problem}" for report in failed),
                host=failed[0].port.host,
                evidence=failed[0].evidence,
            )
        return self.reports

    @property
    def thinned(self) -> bool:
        """There are captures that came thinned, and are whole where they were taken."""
        return any(tap.thinned for tap in self._stopped)

    def bring(self, flows: Sequence[str]) -> None:
        """Have every byte of these flows, and of those asked for before, in captures that came thinned; each frame has
        the number that it had.

        Raises EnvironmentFault; a capture that could not be fetched is as it was then.
        """
        wanted = self._brought | dict.fromkeys(flows)
        if wanted != self._brought:
            _together([partial(tap.bring, tuple(wanted)) for tap in self._stopped if tap.thinned])
            self._brought = wanted

    def forget(self) -> None:
        """What hosts have kept for ``bring`` goes."""
        _together([tap.forget for tap in self._stopped])
        self._stopped.clear()
        self._brought.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _abandon(self) -> None:
        taps, self._taps = self._taps, []
        _together([tap.kill for tap in taps])

    def _check_disk(self) -> None:
        wanted = RESERVE_BYTES * max(1, len(self.ports))
        far = {port.host for port in self.ports if not self._lab.hosts[port.host].here}
        for name, there in zip(far, _together([partial(_free, self._lab.hosts[name]) for name in far]), strict=True):
            if there < (needed := RESERVE_BYTES * sum(port.host == name for port in self.ports)):
                raise EnvironmentFault(
                    f"no room for captures: {there // 2**20} MiB are free, its taps need {needed // 2**20} MiB",
                    host=name,
                )
        free = shutil.disk_usage(self.directory).free
        if free < wanted:
            raise EnvironmentFault(
                f"no room for captures: {free // 2**20} MiB are free at {self.directory}, "
                f"{len(self.ports)} taps need {wanted // 2**20} MiB"
            )

    def _tap(self, port: Port, name: str) -> CaptureTap:
        options = self._options.without(self._lab.aside.get(port.key))
        host = self._lab.hosts[port.host]
        # What was sent and what arrived is judged at the ends, byte by byte; for boxes in between headers are enough.
        between = self._lab.topology.host(port.host).role in (Role.CLIENTNIC, Role.SERVERNIC)
        whole = self._lab.whole_bytes.get(port.host) if between and not options.snaplen else None
        return CaptureTap(host, port, self.directory / name, options, program=self._program, whole_bytes=whole)

    def _write_sidecar(self, reports: Sequence[TapReport], extra: Mapping[str, Any]) -> None:
        topology = self._lab.topology
        facts = _together([partial(self._facts, each) for each in reports])
        captured = {port.key for port in self.ports}
        links = [[link.a.tap, link.b.tap] for link in topology.links if {link.a.key, link.b.key} <= captured]
        sidecar = {
            "taps": {report.file.name: fact for report, fact in zip(reports, facts, strict=True)},
            "links": links,
            "same_clock": self._lab.same_clock,
            "filter": self._options.filter,
            **({"aside": dict(self._lab.aside)} if self._lab.aside else {}),
            **extra,
        }
        part = self.directory / f".{SIDECAR}.part"
        part.write_text(json.dumps(sidecar, indent=1) + "\n")
        part.replace(self.directory / SIDECAR)

    def _told_off(self, port: Port) -> bool:
        """The lab has turned the port's offloads off: then packets that show them are no matter of course."""
        here = (port.host, f"offload {port.name}")
        mine = [record for record in self._lab.settings if (record.host, record.name) == here]
        return here not in self._lab.in_force and bool(mine) and "tx=off" in mine[0].wanted

    def _facts(self, report: TapReport) -> dict[str, Any]:
        port = report.port
        host = self._lab.hosts[port.host]
        features = host.run(["ethtool", "-k", port.name], timeout=10, check=False).text
        shown = host.run(["ip", "-j", "link", "show", "dev", port.name], timeout=10, check=False).stdout
        address = (json.loads(shown or b"[]") or [{}])[0].get("address")  # a device that has gone, or has none
        facts: dict[str, Any] = {
            "host": port.host,
            "role": str(self._lab.topology.host(port.host).role),
            "interface": port.name,
            "captured": report.captured,
            "received": report.received,
            "dropped": report.dropped,
            "live_ns": report.live_ns,
            "end_ns": report.end_ns,
            "offloads": bool(_OFFLOADS.search(features)) and not self._told_off(port),
            "mac": address,
        }
        if (error_ns := self._lab.clock_error_ns.get(port.host)) is not None:
            facts["clock_error_ns"] = error_ns
        if report.thinned:
            facts["thinned"] = True
        return facts | {"problem": report.problem} if report.problem else facts


def _free(host: Executor) -> int:
    """Bytes that are free for a host's scratch files."""
    return int(host.run(["df", "--output=avail", "-B1", str(host.directory)]).text.split()[-1])


def _together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Call all at once and return their results in order; when some fail, all have ended before the first is raised."""
    if not calls:
        return []
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]
