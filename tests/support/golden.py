"""Golden captures: a chain of four hosts, simulated frame by frame, written as six pcap files and a sidecar.

The simulation shares no code with the judge: frames, checksums and files are made here with ``struct`` alone. What a
test changes, it changes in one ``Frame`` of one tap before the file is written; checksums are made right again unless
the change is to the checksum itself.

    chain = golden.build(Recipe("stamp"))
    golden.change(chain, "client-eth0", "response", flow=1, seq=lambda seq: seq + 1)
    golden.write(chain, folder)
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from support.golden_frames import ACK, FIN, PSH, RST, SYN, Frame, Options, arp, encode, pcap

__all__ = [
    "TAPS",
    "Chain",
    "Frame",
    "Recipe",
    "build",
    "change",
    "digest",
    "drop",
    "drop_from",
    "empty",
    "encode",
    "recount",
    "write",
]

TAPS = ("client-eth0", "clientnic-eth0", "clientnic-eth1", "servernic-eth0", "servernic-eth1", "server-eth0")
LINKS = ((0, 1), (2, 3), (4, 5))
START_NS = 1_760_000_000_000_000_000
LAN_NS, BOX_NS, ANSWER_NS, APP_NS = 20_000, 15_000, 50_000, 40_000


@dataclass(frozen=True)
class Recipe:
    """What the chain does. Times of the chain follow from ``rtt_ms``, the round trip of the WAN leg."""

    placement: str = "plain"  # plain, hold, stamp, or early: as stamp, without a visible stamp
    flows: int = 3
    rtt_ms: float = 20.0
    request: int = 100
    response: int = 3000
    mss: int = 1448
    rounds: int = 1
    options: bool = True  # timestamps, SACK and window scale
    shift: bool = True  # the box shifts the server's timestamps by a constant
    lose: bool = True  # the WAN link loses a response segment of flow 1
    zero_window: str = ""  # "": no; "early": the box opens the window at once; "late": when the server has answered
    carried: bool = False  # the kernel forwards, and the box's own SYN-ACK comes late
    close: str = "fin"  # fin, rst, or open
    resend_syn: bool = False  # flow 0 sends its SYN twice
    background: bool = True  # ARP, ping and UDP on every hop
    client: str = "10.1.0.10"
    server: str = "10.1.2.10"
    port: int = 8080
    first_port: int = 40000
    seed: int = 1
    spacing_ms: float = 5.0
    wrap: bool = False  # sequence numbers pass 2**32 within the handshake
    offsets_ns: tuple[int, int, int, int] = (0, 0, 0, 0)  # clock errors of client, clientnic, servernic, server
    macs: tuple[str, ...] = tuple(f"02:00:00:00:00:{n:02x}" for n in range(1, 7))


@dataclass
class Chain:
    """Six taps of frames, and what the sidecar says about them. ``taps`` is keyed as ``TAPS``."""

    recipe: Recipe
    taps: dict[str, list[Frame]] = field(default_factory=lambda: {name: [] for name in TAPS})
    sidecar: dict[str, Any] = field(default_factory=dict)
    tap_facts: dict[str, dict[str, Any]] = field(default_factory=lambda: {name: {} for name in TAPS})
    isns: list[tuple[int, int, int]] = field(default_factory=list)  # client's, real, spoofed

    def find(self, tap: str, label: str, flow: int | None = 0) -> list[Frame]:
        return [frame for frame in self.taps[tap] if frame.label == label and frame.flow == flow]


def copied(chain: Chain) -> Chain:
    """A chain whose frames may be changed without changing this one's."""
    return replace(
        chain,
        taps={name: [frame.copied() for frame in frames] for name, frames in chain.taps.items()},
        sidecar=copy.deepcopy(chain.sidecar),
        tap_facts=copy.deepcopy(chain.tap_facts),
        isns=list(chain.isns),
    )


def build(recipe: Recipe) -> Chain:
    """The chain's captures, in memory: the same recipe gives the same frames."""
    chain = Chain(recipe)
    if recipe.background:
        _background(chain)
    for index in range(recipe.flows):
        _Flow(chain, index).run()
    last = max(frame.time_ns for frames in chain.taps.values() for frame in frames)
    if recipe.placement in ("hold", "stamp", "early"):
        boxes = ("clientnic",) if recipe.placement == "hold" else ("clientnic", "servernic")
        chain.sidecar["sut"] = [
            {"event": "syn_answered", "host": "clientnic", "flow": _between(recipe, index), "isn": spoofed}
            for index, (_client, _real, spoofed) in enumerate(chain.isns)
        ] + [
            {"event": "counters", "host": box, "role": box, "flows": 0, "time_ns": last + 1_000_000_000}
            for box in boxes
        ]  # fmt: skip
        recount(chain)
    for position, name in enumerate(TAPS):
        error = recipe.offsets_ns[(position + 1) // 2]
        for frame in chain.taps[name]:
            frame.time_ns += error
    return chain


def _between(recipe: Recipe, index: int) -> str:
    """The two ends of a flow, as rewriters name it in what they say."""
    client, server = (f"[{end}]" if ":" in end else end for end in (recipe.client, recipe.server))
    return f"{client}:{recipe.first_port + index}>{server}:{recipe.port}"


def recount(chain: Chain) -> None:
    """Have the boxes count what their taps hold now: for changes that the boxes themselves made, and know of."""
    for event in chain.sidecar.get("sut", ()):
        if event.get("event") == "counters":
            event.update(_sent(chain, event["host"]))


def _sent(chain: Chain, box: str) -> dict[str, int]:
    """What a box counts of its own sending: the TCP frames that left each of its ports."""
    counts = {}
    for side, tap in (("client", f"{box}-eth0"), ("server", f"{box}-eth1")):
        own = chain.recipe.macs[TAPS.index(tap)]
        counts[f"sent_{side}"] = sum(frame.src_mac == own and frame.flow is not None for frame in chain.taps[tap])
    return counts | ({"syn_answered": len(chain.isns)} if box == "clientnic" else {})


def write(
    chain: Chain,
    folder: Path,
    *,
    sidecar: bool = True,
    only: tuple[str, ...] = TAPS,
    names: dict[str, str] | None = None,
) -> Path:
    """Write the files of the taps in ``only`` and, unless told not to, ``taps.json``. Returns the folder.

    ``names`` gives files other names than ``TAP.pcap``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {}
    times = [frame.time_ns for frames in chain.taps.values() for frame in frames]
    for position, name in enumerate(TAPS):
        if name not in only:
            continue
        frames = sorted(chain.taps[name], key=lambda frame: frame.time_ns)
        file = (names or {}).get(name, f"{name}.pcap")
        (folder / file).write_bytes(pcap(frames))
        host, interface = name.split("-")
        facts[file] = {
            "host": host,
            "interface": interface,
            "captured": len(frames),
            "received": len(frames),
            "dropped": 0,
            "live_ns": min(times, default=START_NS) - 500_000_000,
            "end_ns": max(times, default=START_NS) + 2_000_000_000,
            "offloads": False,
            "mac": chain.recipe.macs[position],
            **chain.tap_facts[name],
        }
    if sidecar:
        document = {
            "taps": facts,
            "links": [[TAPS[a], TAPS[b]] for a, b in LINKS],
            "same_clock": not any(chain.recipe.offsets_ns),
            "rtt_ns": int(chain.recipe.rtt_ms * 1e6) + 200_000,
            **chain.sidecar,
        }
        (folder / "taps.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return folder


def change(chain: Chain, tap: str, label: str, *, flow: int | None = 0, nth: int = 0, **fields: Any) -> Frame:
    """Change fields of one frame of one tap. A value may be a function of the old one; ``opt_X`` changes option X."""
    frame = chain.find(tap, label, flow)[nth]
    for name, value in fields.items():
        target: Any = frame
        if name.startswith("opt_"):
            target, name = frame.options, name.removeprefix("opt_")
        setattr(target, name, value(getattr(target, name)) if callable(value) else value)
    return frame


def change_all(chain: Chain, label: str, *, taps: tuple[str, ...] = TAPS, flow: int | None = 0, **fields: Any) -> None:
    """``change`` on every frame with that label, on all of the taps named."""
    for tap in taps:
        for nth in range(len(chain.find(tap, label, flow))):
            change(chain, tap, label, flow=flow, nth=nth, **fields)


def drop(chain: Chain, tap: str, label: str, *, flow: int | None = 0, nth: int = 0) -> None:
    """Take one frame out of one tap."""
    doomed = chain.find(tap, label, flow)[nth]
    chain.taps[tap] = [frame for frame in chain.taps[tap] if frame is not doomed]


def drop_from(chain: Chain, label: str, taps: tuple[str, ...], *, flow: int | None = 0) -> None:
    """Take every frame with that label out of all the taps named: what a hop or a box has lost."""
    for tap in taps:
        chain.taps[tap] = [frame for frame in chain.taps[tap] if (frame.label, frame.flow) != (label, flow)]


def empty(chain: Chain) -> Chain:
    """The same taps, that have seen nothing."""
    return replace(chain, taps={name: [] for name in TAPS})


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder, to prove that a recipe is reproduced."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _background(chain: Chain) -> None:
    """ARP on each hop, one ping and one UDP datagram through the whole chain, before the first flow."""
    macs, recipe = chain.recipe.macs, chain.recipe
    if ":" not in recipe.client:
        for a, b in LINKS:
            for position in (a, b):
                for late, (src, dst) in enumerate(((macs[a], macs[b]), (macs[b], macs[a]))):
                    raw = arp(src, dst, request=late == 0)
                    moment = START_NS - 80_000_000 + 1000 * (late * 5 + (position == b) ^ late)
                    chain.taps[TAPS[position]].append(Frame(moment, src, dst, raw=raw, label="arp", flow=None))
    for label, proto in (("ping", 1), ("udp", 17)):
        sport, dport = (0, 0) if proto == 1 else (5353, 53)
        segment = Frame(
            0, "", "", recipe.client, recipe.server, proto=proto, sport=sport, dport=dport, payload=b"tagged probe 1",
            label=label, flow=None,
        )  # fmt: skip
        _walk(chain, segment, 0, 5, START_NS - 60_000_000)


def _walk(
    chain: Chain,
    segment: Frame,
    start: int,
    stop: int,
    moment: int,
    cross: Callable[[Frame, int, int], Frame] = lambda frame, _here, _there: frame,
) -> int:
    """Record a segment on every tap from ``start`` to ``stop``; returns when the last one saw it.

    ``cross(frame, here, there)`` is what a box makes of the frame on the way between its two ports.
    """
    step = 1 if stop >= start else -1
    frame = segment
    for position in range(start, stop + step, step):
        if position != start:
            previous = position - step
            inside = {previous, position} in ({1, 2}, {3, 4})
            wan = {previous, position} == {2, 3}
            moment += BOX_NS if inside else int(chain.recipe.rtt_ms * 500_000) if wan else LAN_NS
            if inside:
                ttl = frame.ttl - 1
                frame = cross(frame, previous, position).copied()
                frame.ttl = ttl
        hop = next(pair for pair in LINKS if position in pair)
        src, dst = hop if step > 0 else hop[::-1]
        seen = frame.copied()
        seen.time_ns, seen.src_mac, seen.dst_mac = moment, chain.recipe.macs[src], chain.recipe.macs[dst]
        chain.taps[TAPS[position]].append(seen)
    return moment


class _Flow:
    """One connection: handshake by the recipe's placement, rounds of request and response, close."""

    def __init__(self, chain: Chain, index: int) -> None:
        self.chain, self.index, self.recipe = chain, index, chain.recipe
        recipe = self.recipe
        rng = random.Random(recipe.seed * 1_000_003 + index)
        if recipe.wrap:
            self.c, self.r, self.v = 0xFFFFFFFF, 0xFFFFFFFE - index, 0xFFFFFFFF
        else:
            self.c, self.r, self.v = rng.getrandbits(32), rng.getrandbits(32), rng.getrandbits(32) | 1
        self.rewritten = recipe.placement != "plain" and not recipe.carried
        if recipe.placement == "plain":
            self.v = self.r
        chain.isns.append((self.c, self.r, self.v))
        self.box = {"hold": (1, 2)}.get(recipe.placement, (3, 4)) if self.rewritten else None
        self.delta = (self.v - self.r) % 2**32 if self.rewritten else 0
        self.start = START_NS + int(index * recipe.spacing_ms * 1e6)
        self.client_clock, self.server_clock = rng.getrandbits(31), rng.getrandbits(31)
        answers_at = self.start + LAN_NS + ANSWER_NS
        self.spoofed_clock = self.v if recipe.shift else self._clock("server", answers_at)
        self.shift = 0
        self.ready = 0  # when the translating box knows the real ISN
        self.sent = {"client": (self.c + 1) % 2**32, "server": 0}
        self.ip_id = {"client": rng.getrandbits(15), "server": rng.getrandbits(15)}
        self.echo = {"client": 0, "server": 0}  # last TSval each end has seen
        self.random = rng

    # -- segments ------------------------------------------------------------------------------------------------

    def _clock(self, end: str, moment: int) -> int:
        base = self.client_clock if end == "client" else self.server_clock
        return (base + (moment - START_NS) // 1_000_000) % 2**32

    def _segment(self, end: str, label: str, moment: int, flags: int, **more: Any) -> Frame:
        recipe = self.recipe
        client = (recipe.client, recipe.first_port + self.index)
        server = (recipe.server, recipe.port)
        (src, sport), (dst, dport) = (client, server) if end == "client" else (server, client)
        self.ip_id[end] = (self.ip_id[end] + 1) % 2**16
        options = more.pop("options", None) or Options()
        if recipe.options:
            options = replace(options, tsval=self._clock(end, moment), tsecr=self.echo[end])
        frame = Frame(
            0, "", "", src, dst, 64, self.ip_id[end], sport=sport, dport=dport, flags=flags, options=options,
            label=label, flow=self.index, window=more.pop("window", 502),
        )  # fmt: skip
        return replace(frame, **more)

    def _hello(self) -> Options:
        mss = 1460 if self.recipe.request <= 1448 else 8960  # a request is one segment
        return Options(mss=mss, wscale=7, sack_permitted=True) if self.recipe.options else Options(mss=mss)

    def _cross(self, frame: Frame, here: int, there: int) -> Frame:
        if self.box is None or {here, there} != set(self.box):
            return frame
        options = replace(frame.options)
        if there > here:
            if options.tsecr:
                options.tsecr = (options.tsecr - self.shift) % 2**32
            options.sack = [((a - self.delta) % 2**32, (b - self.delta) % 2**32) for a, b in options.sack]
            return replace(frame, ack=(frame.ack - self.delta) % 2**32, options=options)
        if options.tsval >= 0:
            options.tsval = (options.tsval + self.shift) % 2**32
        return replace(frame, seq=(frame.seq + self.delta) % 2**32, options=options)

    def _up(self, frame: Frame, moment: int) -> int:
        """Client to server; the translating box keeps it until it knows the real ISN."""
        if self.box is None:
            return _walk(self.chain, frame, 0, 5, moment)
        near, far = self.box
        arrived = _walk(self.chain, frame, 0, near, moment, self._cross)
        crossed = self._cross(frame, near, far)
        passed = replace(crossed, ttl=64 - (far + 1) // 2 + 0)
        leaves = max(arrived + BOX_NS, self.ready)
        self.ready = max(self.ready, leaves + 1_000 if leaves == self.ready else self.ready)
        return _walk(self.chain, passed, far, 5, leaves)

    def _down(self, frame: Frame, moment: int, stop: int = 0) -> int:
        return _walk(self.chain, frame, 5, stop, moment, self._cross)

    # -- the story -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        recipe = self.recipe
        syn = self._segment("client", "syn", self.start, SYN, seq=self.c, window=64240, options=self._hello())
        if recipe.carried:
            moment = self._carried(syn)
        elif self.rewritten:
            moment = self._spoofed(syn)
        else:
            moment = self._plain(syn)
        self._talk(moment + APP_NS)

    def _answer(self, moment: int) -> Frame:
        self.echo["server"] = self._clock("client", self.start)
        return self._segment(
            "server", "synack", moment, SYN | ACK, seq=self.r, ack=(self.c + 1) % 2**32, window=65160,
            options=self._hello(),
        )  # fmt: skip

    def _plain(self, syn: Frame) -> int:
        moment = _walk(self.chain, syn, 0, 5, self.start) + APP_NS
        answer = self._answer(moment)
        arrived = self._down(answer, moment)
        self.echo["client"] = answer.options.tsval
        self.sent["server"] = (self.r + 1) % 2**32
        return arrived

    def _carried(self, syn: Frame) -> int:
        """The kernel wins the race; the box's own SYN-ACK reaches the client when it has long moved on."""
        arrived = self._plain(syn)
        late = arrived + int(self.recipe.rtt_ms * 3e6)
        _walk(self.chain, self._spoof(), 1, 0, late)
        return arrived

    def _spoof(self) -> Frame:
        options = self._hello()
        frame = Frame(
            0, "", "", self.recipe.server, self.recipe.client, sport=self.recipe.port,
            dport=self.recipe.first_port + self.index, seq=self.v, ack=(self.c + 1) % 2**32, flags=SYN | ACK,
            window=0 if self.recipe.zero_window else 65160, options=options, label="spoof", flow=self.index,
        )  # fmt: skip
        if self.recipe.options:
            options.tsval, options.tsecr = self.spoofed_clock, self._clock("client", self.start)
        return frame

    def _spoofed(self, syn: Frame) -> int:
        recipe, chain = self.recipe, self.chain
        assert self.box is not None
        _near, far = self.box

        def stamped(frame: Frame, _here: int, there: int) -> Frame:
            if recipe.placement != "stamp":
                return frame
            return replace(frame, ack=self.v if there in (2, 3) else 0)

        at_box = _walk(chain, syn, 0, 1, self.start)
        arrived = _walk(chain, self._spoof(), 1, 0, at_box + ANSWER_NS)
        self.echo["client"] = self.spoofed_clock
        onward = replace(stamped(syn, 1, 2), ttl=63)
        at_server = _walk(chain, onward, 2, 5, at_box + ANSWER_NS + 10_000, stamped)
        if recipe.resend_syn and self.index == 0:
            again = at_box + 1_000_000
            _walk(chain, syn, 0, 1, again - LAN_NS)
            _walk(chain, onward, 2, 5, again + BOX_NS, stamped)
        answer = self._answer(at_server + APP_NS)
        known = _walk(chain, answer, 5, far, at_server + APP_NS)
        if recipe.options:
            self.shift = (self.spoofed_clock - answer.options.tsval) % 2**32 if recipe.shift else 0
        self.ready = known + BOX_NS
        self.sent["server"] = (self.v + 1) % 2**32
        if recipe.zero_window:
            opened = (
                arrived + ANSWER_NS if recipe.zero_window == "early" else at_box + int(recipe.rtt_ms * 1e6) + 4 * LAN_NS
            )
            update = replace(self._spoof(), seq=(self.v + 1) % 2**32, flags=ACK, window=502, label="update")
            update.options = replace(update.options, mss=-1, wscale=-1, sack_permitted=False)
            opened = _walk(chain, update, 1, 0, opened)
            ack = self._segment(
                "client", "ack0", arrived, ACK, seq=(self.c + 1) % 2**32, ack=(self.v + 1) % 2**32
            )  # the handshake's own ACK leaves before the window opens
            self._up(ack, arrived + 10_000)
            return opened
        return arrived

    def _talk(self, moment: int) -> None:
        """From the client's first ACK to the close. Server's numbers are kept in the client's space in ``server``."""
        client, server = self.sent["client"], (self.v + 1) % 2**32 if self.rewritten else (self.r + 1) % 2**32
        base = self.delta
        now = moment
        self._up(self._segment("client", "ack", now, ACK, seq=client, ack=server), now - 20_000)
        for number in range(self.recipe.rounds):
            request = self.random.randbytes(self.recipe.request)
            label = f"request{number or ''}"
            frame = self._segment("client", label, now, PSH | ACK, seq=client, ack=server, payload=request)
            arrived = self._up(frame, now)
            client = (client + len(request)) % 2**32
            self.echo["server"] = frame.options.tsval
            now, server = self._respond(number, arrived + APP_NS, client, server, base)
        self._close(now + APP_NS, client, server, base)

    def _respond(self, number: int, moment: int, client: int, server: int, base: int) -> tuple[int, int]:
        """The response in mss-sized segments; flow 1's second one is lost on the WAN and sent again after a SACK."""
        body, mss = self.random.randbytes(self.recipe.response), self.recipe.mss
        pieces = [(at, body[at : at + mss]) for at in range(0, len(body), mss)]
        suffix = str(number or "")
        lost = 1 if self.recipe.lose and self.index == 1 and number == 0 and len(pieces) >= 3 else -1
        first, now = server, moment
        for nth, (at, piece) in enumerate(pieces):
            seq = (first + at - base) % 2**32
            flags = ACK | (PSH if nth == len(pieces) - 1 else 0)
            segment = self._segment("server", f"response{suffix}", now, flags, seq=seq, ack=client, payload=piece)
            reached = self._down(segment, now, stop=3 if nth == lost else 0)
            now += 15_000
            if nth == lost:
                continue
            self.echo["client"] = (segment.options.tsval + self.shift) % 2**32 if self.recipe.options else 0
            upto = (first + (lost * mss if 0 <= lost < nth else at + len(piece))) % 2**32
            options = Options()
            if self.recipe.options and 0 <= lost < nth:
                options.sack = [((first + (lost + 1) * mss) % 2**32, (first + at + len(piece)) % 2**32)]
            ack = self._segment("client", f"ack-response{suffix}", reached, ACK, seq=client, ack=upto, options=options)
            acked = self._up(ack, reached + 5_000)
        if lost >= 0:
            at, piece = pieces[lost]
            again = self._segment(
                "server", "again", acked, ACK, seq=(first + at - base) % 2**32, ack=client, payload=piece
            )
            reached = self._down(again, acked + 10_000)
            ack = self._segment("client", "ack-again", reached, ACK, seq=client, ack=(first + len(body)) % 2**32)
            self._up(ack, reached + 5_000)
        return reached + 10_000, (first + len(body)) % 2**32

    def _close(self, moment: int, client: int, server: int, base: int) -> None:
        if self.recipe.close == "open":
            return
        if self.recipe.close == "rst":
            self._up(self._segment("client", "rst", moment, RST | ACK, seq=client, ack=server), moment)
            return
        fin = self._segment("client", "fin-client", moment, FIN | ACK, seq=client, ack=server)
        arrived = self._up(fin, moment)
        client = (client + 1) % 2**32
        answer = self._segment("server", "fin-server", arrived, FIN | ACK, seq=(server - base) % 2**32, ack=client)
        back = self._down(answer, arrived + APP_NS)
        last = self._segment("client", "ack-last", back, ACK, seq=client, ack=(server + 1) % 2**32)
        self._up(last, back + 10_000)
