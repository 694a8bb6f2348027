"""A folder of captures cut by connection, so that each part fits into memory and can be judged on its own.

Both directions of a connection, at every tap, are in one shard. One pass over the files notes for each shard where its
packets are; loading a shard then decodes those alone. What a part does not show of the whole (how many packets a file
has, when it ends, what a box has sent) is kept beside every tap, and the sides of boxes are told once, from all SYNs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import decode, folder, pcap
from hopscope.wire.decode import Ends
from hopscope.wire.packets import ACK, FIN, RST, SYN, V4_MAPPED, Packets
from hopscope.wire.records import COLUMNS, Records
from hopscope.wire.taps import Elsewhere, Position, Tap
from hopscope.wire.trace import Trace

_SPAN = 64 << 20
"""Bytes of a file looked at together."""

_MANY = 5_000
"""SYNs of one span that are all looked at to tell the sides of boxes."""

_COUNTED = ("sent_client", "sent_server", "syn_answered")


@dataclass(frozen=True, eq=False)
class Shards:
    """Where the packets of each shard are; plain enough to be handed to another process."""

    folder: Path
    spill: Path
    count: int
    positions: dict[tuple[str, str | None], Position]
    ends: dict[str, tuple[int, int, bool]]
    """By file: packets, time of the last in ns, whether the file is cut."""

    def load(self, shard: int) -> Trace:
        """The trace of one shard's connections; packets that are no TCP are in the first."""
        content = folder.read(self.folder, reader=lambda path: self._read(path, shard), placed=self.positions)
        events = [event for event in content.sut_events if _owner(event, self.count) in (None, shard)]
        if shard:
            events = [_without_counts(event) for event in events]
        return Trace.of(
            (self._told(tap) for tap in content.taps),
            same_clock=content.same_clock,
            rtt_ns=content.rtt_ns,
            sut_events=events,
            notes=content.notes,
            missing=content.missing,
        )

    def _read(self, path: Path, shard: int) -> Packets:
        table = np.fromfile(self.spill / f"{path.name}.{shard}", np.int64).reshape(-1, len(COLUMNS) + 1)
        columns: dict[str, Any] = {
            name: table[:, at].astype(np.int32 if at >= 4 else np.int64) for at, name in enumerate(COLUMNS)
        }
        records = Records(**columns, truncated=self.ends[path.name][2])
        packets = decode.columns(str(path), pcap.mapped(path), records)
        packets.frame[:] = table[:, -1]
        return packets

    def _told(self, tap: Tap) -> Tap:
        packets, last_ns, _ = self.ends[tap.file]
        whole = np.fromfile(self.spill / f"{tap.file}.sent", np.int64).reshape(-1, 2)
        mine = whole[:, 0] == (-1 if tap.mac is None else tap.mac)
        own = tap.packets.src_mac == np.uint64(tap.mac or 0)
        answers = own & tap.packets.is_tcp & (tap.packets.flags & (SYN | ACK) == SYN | ACK)
        sent, answered = int(np.count_nonzero(mine)), int(whole[mine, 1].sum())
        return replace(
            tap,
            elsewhere=Elsewhere(
                packets - len(tap.packets), last_ns, sent - int(own.sum()), answered - int(answers.sum())
            ),
        )


def cut(path: Path, count: int, spill: Path, progress: Callable[[str], object] = lambda _: None) -> Shards:
    """Cut a folder of captures into ``count`` shards; ``spill`` is a folder for what has to be noted."""
    heads: dict[str, Packets] = {}
    ends: dict[str, tuple[int, int, bool]] = {}

    def syns(file: Path) -> Packets:
        progress(f"cutting {file.name}")
        heads[file.name], ends[file.name] = _scan(file, count, spill)
        return heads[file.name]

    content = folder.read(path, reader=syns)
    positions = {(tap.file, tap.interface): tap.position for tap in content.taps}
    return Shards(path, spill, count, positions, ends)


def shard_of(packets: Packets | Ends, count: int) -> NDArray[np.int64]:
    """The shard of each row: the same for both directions of a connection; 0 for what is no TCP."""
    ends = [
        _mixed(hi, lo, port)
        for hi, lo, port in (
            (packets.src_hi, packets.src_lo, packets.sport), (packets.dst_hi, packets.dst_lo, packets.dport),
        )
    ]  # fmt: skip
    number = ((ends[0] + ends[1]) >> np.uint64(32)) % np.uint64(count)
    return np.where(packets.is_tcp, number.astype(np.int64), 0)


def _mixed(hi: NDArray[np.uint64], lo: NDArray[np.uint64], port: NDArray[np.uint16]) -> NDArray[np.uint64]:
    value = hi * np.uint64(0x9E3779B97F4A7C15) + lo + (port.astype(np.uint64) << np.uint64(48))
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray((value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))


def _scan(path: Path, count: int, spill: Path) -> tuple[Packets, tuple[int, int, bool]]:
    """Note each shard's records; returns the SYNs of the file (or its first packets), and its end."""
    data, kept, before, last, truncated = pcap.mapped(path), [], 0, 0, False
    files = [(spill / f"{path.name}.{shard}").open("wb") for shard in range(count)]
    with (spill / f"{path.name}.sent").open("wb") as sent:
        for records in pcap.spans(path, data, _SPAN):
            ends = decode.ends(data, records)
            truncated = records.truncated
            last = max(last, int(records.time.max(initial=0)))
            number = shard_of(ends, count)
            _note(records, before, number, files)
            answers = ends.is_tcp & (ends.flags & (SYN | ACK) == SYN | ACK)
            sent.write(np.stack([ends.src_mac.astype(np.int64), answers.astype(np.int64)], axis=1).tobytes())
            opening = ends.is_tcp & (ends.flags & (SYN | RST | FIN) == SYN)
            # Of many a sample tells as well, and that of one shard is the same at every tap.
            if np.count_nonzero(opening) > _MANY:
                opening &= number == 0
            rows = np.flatnonzero(opening) if opening.any() else np.arange(min(len(records), 1))
            kept.append(decode.columns(str(path), data, records[rows]))
            kept[-1].frame[:] = before + 1 + rows
            before += len(records)
    for file in files:
        file.close()
    return _joined(path, data, kept), (before, last, truncated)


def _note(records: Records, before: int, number: NDArray[np.int64], files: Sequence[BinaryIO]) -> None:
    """Write where each shard's records are, and their numbers in the file."""
    table = np.empty((len(records), len(COLUMNS) + 1), np.int64)
    for at, name in enumerate(COLUMNS):
        table[:, at] = getattr(records, name)
    table[:, -1] = np.arange(before + 1, before + 1 + len(records))
    order = np.argsort(number.astype(np.uint16), kind="stable")
    bounds = np.searchsorted(number[order], np.arange(len(files) + 1))
    for shard, file in enumerate(files):
        file.write(table[order[bounds[shard] : bounds[shard + 1]]].tobytes())


def _joined(path: Path, data: NDArray[np.uint8], parts: list[Packets]) -> Packets:
    """Packets of several spans as one."""
    if not parts:
        return decode.columns(str(path), data, pcap.index(path, data))
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name, value in vars(parts[0]).items()
        if isinstance(value, np.ndarray) and name != "data" and len(value) == len(parts[0])
    }
    return replace(parts[0], **columns)


def _owner(event: dict[str, Any], count: int) -> int | None:
    """The shard that judges what an event says of one connection; None where it is about no connection."""
    if not isinstance(event.get("flow"), str):
        return None
    numbers = []
    for end in event["flow"].split(">"):
        host, _, port = end.rpartition(":")
        try:
            address, number = ip_address(host.strip().strip("[]")), int(port)
        except ValueError:
            return 0
        value = int(address) if address.version == 6 else V4_MAPPED | int(address)
        high, low = np.array([value >> 64], np.uint64), np.array([value & (1 << 64) - 1], np.uint64)
        numbers.append(_mixed(high, low, np.array([number & 0xFFFF], np.uint16))[0])
    with np.errstate(over="ignore"):
        return int((sum(numbers, np.uint64(0)) >> np.uint64(32)) % np.uint64(count))


def _without_counts(event: dict[str, Any]) -> dict[str, Any]:
    """An event of the whole system, for a shard that does not judge it: counters are held against all shards once."""
    if event.get("event") != "counters":
        return event
    kept = {key: value for key, value in event.items() if key not in _COUNTED}
    return kept | {"flows": 0} if "flows" in kept else kept
