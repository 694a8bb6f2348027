"""Read a folder of captures: which file was taken where.

File names say the host, ``HOST-ANYTHING.pcap`` or ``.pcapng`` (client, clientnic, servernic, server; any case, and
``-``, ``_`` or ``.`` after it). A side-car ``taps.json``, which capture sessions write, says the rest: host,
interface, counters and times of each file, the links between ports, whether all share a clock. Without it the sides
of a box are told from the packets (orient.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hopscope.errors import HarnessFault
from hopscope.wire import orient, pcap, sidecar
from hopscope.wire.orient import Candidate
from hopscope.wire.packets import Packets
from hopscope.wire.sidecar import Sidecar
from hopscope.wire.taps import Position, Tap

SIDECAR = sidecar.NAME

_NAME = re.compile(r"(clientnic|servernic|client|server)(?![a-z])", re.IGNORECASE)
_SUFFIXES = (".pcap", ".pcapng", ".cap")


@dataclass(frozen=True)
class Content:
    """What a folder holds."""

    taps: tuple[Tap, ...]
    same_clock: bool
    rtt_ns: int | None
    sut_events: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...] = ()
    """Captures that the side-car names and that are not there."""


def read(
    path: Path,
    progress: Callable[[str], object] = lambda _: None,
    *,
    reader: Callable[[Path], Packets] | None = None,
    placed: Mapping[tuple[str, str | None], Position] | None = None,
) -> Content:
    """Read all captures of a folder, with ``reader`` one by one (default: whole files, small ones together).

    ``placed`` says by file and interface where each capture was taken, instead of its packets. Raises HarnessFault: no
    folder, none named after a host, or one that cannot be read.
    """
    if not path.is_dir():
        raise HarnessFault(f"{path}: no such folder of captures")
    said = sidecar.read(path / SIDECAR)
    entries = said.taps
    notes: list[str] = [*said.notes]
    chosen: list[tuple[Path, str, Mapping[str, Any]]] = []
    for file in sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file()):
        entry = entries.get(file.name) or {}
        host = str(entry.get("role") or entry.get("host") or "").lower()
        if host not in orient.SIDES:
            match = _NAME.match(file.name)
            host = match[1].lower() if match else ""
        if host not in orient.SIDES:
            notes.append(f"{file.name}: left out: its name does not begin with client, clientnic, servernic or server")
            continue
        if entry.get("problem"):
            notes.append(f"{file.name}: {entry['problem']}")
        chosen.append((file, host, entry))
    files = [file for file, _, _ in chosen]
    opened = pcap.every(files) if reader is None else map(reader, files)
    candidates: list[Candidate] = []
    for file, host, entry in chosen:
        progress(f"reading {file.name}")
        candidates += _candidates(file, host, entry, said, next(opened))
    missing = tuple(name for name in entries if not (path / name).is_file())
    notes += [f"{name}: named in {SIDECAR} and not there" for name in missing]
    if not candidates:
        raise HarnessFault(
            f"{path}: no captures: files are named HOST-ANYTHING.pcap or .pcapng, HOST being client, clientnic, "
            "servernic or server"
        )
    if placed is None:
        taps, remarks = orient.place(candidates)
    else:
        known = [c.tap for c in candidates if (c.tap.file, c.tap.interface) in placed]
        taps = tuple(
            sorted((replace(tap, position=placed[tap.file, tap.interface]) for tap in known), key=lambda t: t.position)
        )
        remarks = []
    return Content(
        taps=taps,
        same_clock=said.same_clock,
        rtt_ns=said.rtt_ns,
        sut_events=said.events,
        notes=(*notes, *remarks),
        missing=missing,
    )


def _candidates(file: Path, host: str, entry: Mapping[str, Any], said: Sidecar, packets: Packets) -> list[Candidate]:
    """One for the file, or one for each port where it holds several (`tcpdump -i any`, pcapng)."""
    packets = replace(packets, vouched=entry.get("thinned") is True)
    health, doubts = sidecar.health(entry)
    tap = Tap(
        file=file.name,
        host=host,
        interface=entry.get("interface"),
        position=orient.SIDES[host][0],
        packets=packets,
        health=health,
        mac=sidecar.mac(entry),
        doubts=doubts,
        clock_error_ns=sidecar.clock_error(entry),
    )
    interfaces = np.unique(packets.interface[packets.is_tcp])
    if len(interfaces) > 1:
        return [
            Candidate(replace(tap, interface=f"#{number}", packets=packets.take(packets.interface == number)), None)
            for number in interfaces.tolist()
        ]
    if len(orient.SIDES[host]) == 2 and (packets.outgoing >= 0).any():
        return [
            Candidate(replace(tap, interface=f"#{n}", packets=side), place)
            for n, place, side in orient.taken_apart(tap)
        ]
    return [Candidate(tap, _linked(file.stem, host, said))]


def _linked(port: str, host: str, said: Sidecar) -> Position | None:
    """Which side of its host a port is on, by the host at the other end of its link."""
    sides = orient.SIDES[host]
    if len(sides) == 1:
        return sides[0]
    for near, far in said.links:
        if port in (near, far):
            return orient.BETWEEN.get((host, _role(far if port == near else near, said)))
    return None


def _role(port: str, said: Sidecar) -> str:
    """Role of the host of a port: as its capture's entry says, else as its name begins."""
    for file, entry in said.taps.items():
        if Path(file).stem == port and entry.get("role"):
            return str(entry["role"]).lower()
    match = _NAME.match(port)
    return match[1].lower() if match else ""
