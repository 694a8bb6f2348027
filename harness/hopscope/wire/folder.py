"""Read a folder of captures: which file was taken where.

File names say the host, ``HOST-ANYTHING.pcap`` or ``.pcapng`` (client, clientnic, servernic, server; any case, and
``-``, ``_`` or ``.`` after it). A side-car ``taps.json``, which capture sessions write, says the rest: host,
interface, counters and times of each file, the links between ports, whether all share a clock. Without it the sides
of a box are told from the packets (orient.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hopscope.errors import HarnessFault
from hopscope.wire import orient, pcap
from hopscope.wire.orient import Candidate
from hopscope.wire.taps import Position, Tap, TapHealth

SIDECAR = "taps.json"

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


def read(path: Path) -> Content:
    """Read all captures of a folder. Raises HarnessFault: no folder, none named after a host, or one that cannot
    be read."""
    if not path.is_dir():
        raise HarnessFault(f"{path}: no such folder of captures")
    sidecar = _sidecar(path / SIDECAR)
    entries: Mapping[str, Any] = sidecar.get("taps") or {}
    notes: list[str] = []
    candidates: list[Candidate] = []
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
        candidates += _candidates(file, host, entry, sidecar)
    notes += [f"{name}: named in {SIDECAR} and not there" for name in entries if not (path / name).is_file()]
    if not candidates:
        raise HarnessFault(
            f"{path}: no captures: files are named HOST-ANYTHING.pcap or .pcapng, HOST being client, clientnic, "
            "servernic or server"
        )
    taps, remarks = orient.place(candidates)
    rtt = sidecar.get("rtt_ns")
    return Content(
        taps=taps,
        same_clock=bool(sidecar.get("same_clock", False)),
        rtt_ns=int(rtt) if isinstance(rtt, int | float) else None,
        sut_events=tuple(_events(sidecar.get("sut"))),
        notes=(*notes, *remarks),
    )


def _sidecar(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise HarnessFault(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("taps") or {}, dict):
        raise HarnessFault(f"{path}: not a side-car of captures: an object with an object `taps` is wanted")
    return content


def _candidates(file: Path, host: str, entry: Mapping[str, Any], sidecar: Mapping[str, Any]) -> list[Candidate]:
    """One for the file, or one for each port where it holds several (`tcpdump -i any`, pcapng)."""
    packets = pcap.read(file)
    tap = Tap(
        file=file.name,
        host=host,
        interface=entry.get("interface"),
        position=orient.SIDES[host][0],
        packets=packets,
        health=_health(entry),
        mac=_mac(entry.get("mac")),
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
    return [Candidate(tap, _linked(file.stem, host, sidecar))]


def _linked(port: str, host: str, sidecar: Mapping[str, Any]) -> Position | None:
    """Which side of its host a port is on, by the host at the other end of its link."""
    sides = orient.SIDES[host]
    if len(sides) == 1:
        return sides[0]
    for link in sidecar.get("links") or ():
        if port in link:
            (other,) = [str(end) for end in link if end != port][:1] or [""]
            return orient.BETWEEN.get((host, _role(other, sidecar)))
    return None


def _role(port: str, sidecar: Mapping[str, Any]) -> str:
    """Role of the host of a port: as its capture's entry says, else as its name begins."""
    for file, entry in (sidecar.get("taps") or {}).items():
        if Path(file).stem == port and entry.get("role"):
            return str(entry["role"]).lower()
    match = _NAME.match(port)
    return match[1].lower() if match else ""


def _health(entry: Mapping[str, Any]) -> TapHealth | None:
    counters = [entry.get(name) for name in ("captured", "received", "dropped")]
    if not all(isinstance(value, int) for value in counters):
        return None
    captured, received, dropped = (int(value) for value in counters if value is not None)
    return TapHealth(
        captured,
        received,
        dropped,
        _time(entry.get("live_ns")),
        _time(entry.get("end_ns")),
        bool(entry.get("offloads")),
    )


def _time(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _mac(value: object) -> int | None:
    text = str(value or "").replace(":", "").replace("-", "")
    return int(text, 16) if re.fullmatch(r"[0-9a-fA-F]{12}", text) else None


def _events(sut: object) -> Iterable[dict[str, Any]]:
    """Events as a list of objects, or an object of such lists by host."""
    if isinstance(sut, list):
        yield from (event for event in sut if isinstance(event, dict))
    elif isinstance(sut, dict):
        for host, events in sut.items():
            yield from ({"host": host, **event} for event in _events(events))
