"""What a test has left in its run directory, as attachments: little of one that passed, all there is of one that did
not, bounded, and the rest named by where it lies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from hopscope.errors import HarnessFault
from hopscope.report import attachment, claimed, decoded, flow_picture, last_mile, plots
from hopscope.report.attachment import Attachment
from hopscope.report.flows import flow_filter
from hopscope.report.ladder import ladder
from hopscope.run import rundir
from hopscope.wire import sidecar
from hopscope.wire.merged import Source, write_merged
from hopscope.wire.trace import Trace
from hopscope.wire.tunnel import TunnelTrace

WORST = ("FAIL", "INCONCLUSIVE")
EMPTY = 24
"""Bytes of a pcap file without packets."""
START = 10_000
"""Bytes that are kept for what is to be read first, which is written last."""


@dataclass(frozen=True)
class Limits:
    """Bytes."""

    passed: int = 100_000
    """All that is attached to a test that passed."""
    total: int = 20_000_000
    """All that is attached to one that did not."""
    capture: int = 5_000_000
    """One capture; of a larger one the shown flow's frames are attached."""
    text: int = 200_000


@dataclass(frozen=True)
class Case:
    """A test that has ended. ``kind`` is whose fault it is, None where it passed; see ``hopscope.errors``."""

    run: Path
    directory: Path | None
    """Its folder in the run directory, None where it did not get that far."""
    lab: Path | None
    """The folder of its lab."""
    kind: str | None = None
    message: str = ""

    @property
    def windows(self) -> list[Path]:
        """Folders of captures, in their order."""
        return [] if self.directory is None else sorted(rundir.capture_folders(self.directory))

    @property
    def window(self) -> Path | None:
        """The window that matters: the first one with a verdict against the test, else the last."""
        worst = {folder for folder, verdicts in self.verdicts().items() if _against(verdicts)}
        against = [one for one in self.windows if self.directory and str(one.relative_to(self.directory)) in worst]
        return next(iter([*against, *self.windows[::-1]]), None)

    def verdicts(self) -> dict[str, list[dict[str, Any]]]:
        """Verdicts by the folder that they are about, relative to the test's."""
        if self.directory is None:
            return {}
        found = {}
        for file in sorted(self.directory.rglob(rundir.VERDICTS), key=lambda file: file.stat().st_mtime_ns):
            reached = [one for one in read_json(file, []) if isinstance(one, dict)]
            found[str(file.parent.relative_to(self.directory))] = reached
        return found


@dataclass
class Group:
    """Attachments under one title."""

    title: str
    attachments: list[Attachment] = field(default_factory=list)


class Evidence:
    """``work`` is a folder for files that are made for attaching, and must last until they have been."""

    def __init__(self, case: Case, work: Path, limits: Limits | None = None) -> None:
        self.case = case
        self.limits = limits or Limits()
        self.notes: list[str] = []
        self._work = work
        self._left = self.limits.total - START
        self.window, self.trace = self._loaded()
        self.flow = None if self.trace is None else shown_flow(self.trace, self._worst(), failed_ports(case.directory))

    def passed(self) -> list[Attachment]:
        """Verdicts, the ladder of one flow and its capture; of a tunnel, which has no flows, how its captures begin."""
        found = [attachment.text("Verdicts", verdict_text(self.case.verdicts()), limit=self.limits.passed // 4)]
        if self.trace is not None and self.flow is not None:
            shown = ladder(self.trace, self.flow)
            if plots.blocks(self.case.directory):
                latencies = plots.plots(self.trace, self.case.directory)[: len(plots.METRICS)]
                found += [Attachment(each.title, attachment.SVG, each.svg.encode()) for each in latencies]
            found.append(attachment.text("Ladder of one flow", shown, limit=self.limits.passed // 4))
            room = self.limits.passed - sum(each.size for each in found)
            if (capture := self._flow_capture("one-flow.pcapng", room)) is not None:
                found.append(capture)
        elif self.trace is None and self.window is not None:
            room = self.limits.passed - sum(each.size for each in found)
            if (capture := self._merged("all-taps-first.pcapng", self.window, limit=room)) is not None:
                found.append(capture)
        return found

    def failed(self) -> list[Group]:
        """Everything. The first group has what to look at first; of what is left out, ``notes`` say what and where."""
        first, captures, logs = (
            Group("Start here: what was wrong, and what shows it"),
            Group("Captures of each tap"),
            Group("Logs"),
        )
        details = Group("Settings and health")
        if verdicts := self.case.verdicts():
            self._add(first, attachment.text("Verdicts", verdict_text(verdicts), limit=self.limits.text))
        if self.trace is not None and self.flow is not None:
            marked = {(tap, frame) for tap, frames in self._frames().items() for frame in frames}
            drawn = flow_picture.svg(self.trace, self.flow, marked=marked)
            self._add(first, Attachment("The flow, drawn", attachment.SVG, drawn.encode()))
            for plot in plots.plots(self.trace, self.case.directory):
                self._add(first, Attachment(plot.title, attachment.SVG, plot.svg.encode()))
            self._add(first, attachment.text("Ladder of the flow", ladder(self.trace, self.flow, marked=marked)))
        if self.trace is not None and (lines := claimed.claimed(self.trace, self.flow)):
            self._add(first, attachment.table("Claims of the SUT beside the wire", claimed.HEAD, lines))
        if self.case.directory is not None and (told := read_json(self.case.directory / last_mile.FILE, {})):
            self._add(first, attachment.text("The last mile", "\n".join(last_mile.whole(told)), limit=self.limits.text))
        if self.window is not None:
            for each in self._captures(self.window):
                self._add(first if each.kind == attachment.PCAPNG else captures, each)
            if (told := self._decoded()) is not None:
                self._add(first, told)
        for each in self._logs():
            self._add(logs, each)
        for each in self._details():
            self._add(details, each)
        first.attachments.insert(
            0, attachment.text("Start here", self._start(), attachment.MARKDOWN, limit=START - 100)
        )
        return [group for group in (first, captures, logs, details) if group.attachments]

    # -- captures ------------------------------------------------------------------------------------------------

    def _loaded(self) -> tuple[Path | None, Trace | None]:
        """The window that matters, and its trace."""
        window = self.case.window
        if window is None:
            return None, None
        if len(self.case.windows) > 1:
            self.notes.append(f"{len(self.case.windows)} windows were captured; this is {window.name}")
        if TunnelTrace.is_one(window):
            return window, None
        try:
            return window, Trace.load(window)
        except HarnessFault as fault:
            self.notes.append(f"the captures cannot be correlated: {fault.message}")
            return window, None

    def _captures(self, window: Path) -> Iterator[Attachment]:
        """The merged capture, then that of each tap."""
        files = sorted([*window.glob("*.pcap"), *window.glob("*.pcapng")])
        if all(file.stat().st_size <= EMPTY for file in files):
            self.notes.append("no capture holds a packet")
            return
        whole = sum(file.stat().st_size for file in files) <= self.limits.capture * 2
        name = "all-taps.pcapng"
        if whole or self.trace is None:
            merged = self._merged(name, window, limit=self.limits.capture * 2)
        else:
            self.notes.append(f"{name} has the shown flow alone: all captures together are too large to attach")
            merged = self._flow_capture(name, self.limits.capture)
        if merged is not None:
            yield merged
        for file in files:
            if file.stat().st_size <= self.limits.capture:
                yield Attachment(file.name, attachment.PCAP, file)
            else:
                self.notes.append(f"{file.name} is too large to attach ({file.stat().st_size:,} bytes)")

    def _merged(self, name: str, window: Path, limit: int) -> Attachment | None:
        """Every capture of a window in one file, an interface for each; its first packets where ``limit`` is small."""
        files = sorted([*window.glob("*.pcap"), *window.glob("*.pcapng")])
        sources = [Source(file.stem, file, _describe(window, file.name)) for file in files]
        try:
            if not write_merged(self._work / name, sources, limit_bytes=limit):
                self.notes.append(f"{name} ends after {limit:,} bytes")
        except HarnessFault as fault:
            self.notes.append(f"{name} could not be made: {fault.message}")
            return None
        return Attachment(name, attachment.PCAPNG, self._work / name)

    def _flow_capture(self, name: str, limit: int) -> Attachment | None:
        """The shown flow at every tap, in one file."""
        if self.trace is None or self.flow is None or self.window is None or limit < 1000:
            return None
        path, flow = self._work / name, self.trace.flows[self.flow]
        sources = [
            Source(tap.name, self.window / tap.file, frames=tap.packets.frame[flow.rows(position)].tolist())
            for position, tap in self.trace.taps.items()
        ]
        if not write_merged(path, sources, limit_bytes=limit):
            self.notes.append(f"{name} ends after {limit:,} bytes")
        return Attachment(name, attachment.PCAPNG, path)

    def filter(self) -> str | None:
        """A Wireshark filter that shows the flow and no other, in any of the captures."""
        if self.trace is None or self.flow is None:
            return None
        return flow_filter(self.trace, self.flow)

    def _decoded(self) -> Attachment | None:
        """The flow's frames, a line each, and in full those that a verdict points at."""
        parts = []
        if (capture := self._flow_capture("flow.pcapng", self.limits.capture)) is not None:
            parts = [f"== {self._label()}, at every tap", decoded.lines(self._path(capture))]
        for tap, frames in list(self._frames().items())[:3]:
            if self.window is not None and (self.window / tap).is_file():
                told = decoded.layers(self.window / tap, frames[:5])
                parts += ["", f"== {tap}, frame {', '.join(map(str, frames[:5]))}, to which a verdict points", told]
        if not parts:
            return None
        return attachment.text("Frames decoded by tshark", "\n".join(parts), limit=self.limits.text)

    @staticmethod
    def _path(one: Attachment) -> Path:
        assert isinstance(one.body, Path)
        return one.body

    # -- the rest ------------------------------------------------------------------------------------------------

    def _logs(self) -> Iterator[Attachment]:
        """Programs' output, of the test, of its captures, and of a lab that could not be proven."""
        folders = [self.case.directory, self.window if self.case.kind == "harness" else None, self.case.lab]
        for folder in (each for each in folders if each is not None and each.is_dir()):
            for file in sorted([*folder.glob("*.out"), *folder.glob("*.err"), *folder.glob("connections-*.jsonl")]):
                if file.stat().st_size:
                    content = file.read_text(errors="replace")
                    if len(content) > self.limits.text:
                        self.notes.append(f"{file.name} is cut in the middle")
                    yield attachment.text(file.name, content, limit=self.limits.text)

    def _details(self) -> Iterator[Attachment]:
        """Settings with read-back, health of the captures, the fault, what the machine can do."""
        if (rows := settings(self.case)) is not None:
            yield attachment.table("Settings, read back", ("host", "setting", "wanted", "before", "read back"), rows)
        if self.window is not None and (taps := read_json(self.window / sidecar.NAME, {}).get("taps")):
            names = ("captured", "received", "dropped", "offloads", "problem")
            health = [(file, *(entry.get(name, "") for name in names)) for file, entry in taps.items()]
            yield attachment.table("Health of the captures", ("capture", *names), health)
        for folder in (self.case.lab, self.case.directory):
            if folder is None:
                continue
            if fault := read_json(folder / rundir.FAULT, {}):
                told = f"{fault.get('kind')}: {fault.get('message')}\n\n{fault.get('evidence') or ''}"
                yield attachment.text(f"Fault of the {'lab' if folder == self.case.lab else 'test'}", told)
            if seen := read_json(folder / "preflight.json", []):
                rows = [(one["name"], "yes" if one["present"] else "NO", one["detail"], one["remedy"]) for one in seen]
                yield attachment.table("What this machine can do", ("capability", "there", "seen", "remedy"), rows)

    def _start(self) -> str:
        """What happened, in the words of a person who has not seen this before."""
        what = {
            "product": "**The system under test did wrong**, as far as the captures show.",
            "environment": "**The environment was not as claimed**: nothing is said about the system under test.",
            "harness": "**Nothing may be concluded**: the harness could not see enough.",
            "test": "**The test itself went wrong**: nothing is said about the system under test.",
            "usage": "**What was asked for makes no sense**: mend the test, the topology or the options.",
        }.get(self.case.kind or "", "The test passed.")
        head, _, rest = self.case.message.partition("\n")
        lines = [what, "", *([f"`{head}`", ""] if head else [])]
        if self.flow is not None:
            lines += [f"- Flow shown here: `{self._label()}`"]
            lines += [f"- Wireshark filter, for all-taps.pcapng: `{self.filter()}`"]
        lines += [
            f"- Verdicts point at `{tap}`, frame {', '.join(map(str, frames[:10]))}"
            for tap, frames in self._frames().items()
        ]
        place = self.case.directory or self.case.lab or self.case.run
        lines += [f"- Everything is in `{place}`"]
        if self.window is not None:
            lines += [f"- Judge it again: `hopscope judge {self.window}`"]
        lines += [f"- Note: {note}; the whole is in the folder above" for note in self.notes]
        if rest:
            lines += ["", "```", attachment.bounded(dedent(rest), 4000), "```"]
        return "\n".join(lines) + "\n"

    def _label(self) -> str:
        assert self.trace is not None
        assert self.flow is not None
        return self.trace.flows[self.flow].label

    def _worst(self) -> list[dict[str, Any]]:
        """Verdicts against the test, the failed ones first."""
        every = [one for verdicts in self.case.verdicts().values() for one in verdicts]
        return [one for outcome in WORST for one in every if one.get("outcome") == outcome]

    def _frames(self) -> dict[str, list[int]]:
        """By capture, the frames that verdicts against the test point at: of the shown flow, where there are flows."""
        if self.flow is None and self.trace is not None:
            return {}
        found: dict[str, list[int]] = {}
        for item in (item for one in self._worst() for item in one.get("evidence", [])):
            if (self.flow is None or item.get("flow") == self._label()) and item.get("frames"):
                found.setdefault(item["tap"], []).extend(item["frames"])
        return {tap: sorted(set(frames)) for tap, frames in found.items()}

    def _add(self, group: Group, one: Attachment) -> None:
        if one.size > self._left:
            self.notes.append(f"{one.name} would make this too large to attach ({one.size:,} bytes)")
            return
        self._left -= one.size
        group.attachments.append(one)


def shown_flow(trace: Trace, against: Sequence[Mapping[str, Any]], ports: Sequence[int] = ()) -> int | None:
    """The flow to look at: the first that a verdict is against, else one of these client ports, else the first whole
    one. None where there are no flows."""
    by_label = {flow.label: flow.index for flow in trace.flows}
    for one in against:
        for item in one.get("evidence", []):
            if item.get("flow") in by_label:
                return by_label[item["flow"]]
    for port in ports:
        for flow in trace.flows:
            if flow.client[1] == port:
                return flow.index
    return next((flow.index for flow in trace.flows if flow.whole), 0 if len(trace) else None)


def failed_ports(directory: Path | None) -> list[int]:
    """Client ports of connections that the traffic generator saw go wrong."""
    found = []
    for file in sorted(directory.glob("connections-*.jsonl")) if directory is not None else ():
        for line in file.read_text(errors="replace").splitlines():
            fact = _object(line)
            if fact.get("outcome", "ok") != "ok" and isinstance(fact.get("local_port"), int):
                found.append(fact["local_port"])
    return found


def settings(case: Case) -> list[tuple[str, ...]] | None:
    """Host, name, wanted, before and read back of every setting of the test's lab; None where none is known."""
    facts = read_json(case.directory / rundir.FACTS, {}) if case.directory is not None else {}
    labs = (rundir.read_manifest(case.run) or {}).get("labs", [])
    mine = [lab for lab in labs if lab.get("lab") == facts.get("lab")] if facts else []
    if not mine and case.lab is not None:
        mine = [lab for lab in labs if rundir.slug(str(lab.get("topology", {}).get("name"))) == case.lab.name]
    if not mine:
        return None
    names = ("host", "name", "wanted", "before", "seen")
    return [tuple(str(one.get(name, "")) for name in names) for one in mine[-1].get("settings", [])]


def verdict_text(verdicts: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Every verdict on a line, evidence below those that are against the test."""
    lines: list[str] = []
    for folder, reached in verdicts.items():
        lines += [f"== {folder}"] if len(verdicts) > 1 else []
        for one in reached:
            lines.append(f"{one['outcome']:<14} {one['check']}: {one['summary']}")
            for item in one["evidence"] if one["outcome"] in WORST else ():
                frames = ", ".join(map(str, item["frames"])) or "-"
                lines.append(f"{'':15}{item['flow'] or ''} {item['tap']} frame {frames}".rstrip())
                lines += [f"{'':19}expected {item['expected']}", f"{'':19}seen     {item['seen']}"]
    return "\n".join(lines) or "no verdict was reached"


def read_json(path: Path, default: Any) -> Any:
    """The document, or ``default`` where there is none that can be read, or of another kind."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return default
    return found if isinstance(found, type(default)) else default


def _against(verdicts: Sequence[Mapping[str, Any]]) -> bool:
    return any(one.get("outcome") in WORST for one in verdicts)


def _describe(window: Path, file: str) -> str:
    entry = (read_json(window / sidecar.NAME, {}).get("taps") or {}).get(file) or {}
    return f"{entry['host']}, port {entry['interface']}" if entry.get("host") and entry.get("interface") else ""


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
