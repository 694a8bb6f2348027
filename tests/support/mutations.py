"""Golden traces with one thing wrong, and others that differ in nothing that matters: a name, a recipe, a change.

``wrong()`` yields more than 500 of the first kind, with the check that has to reject them; ``harmless()`` as many of
the second, which no check may mind. Both are lists that do not change, so that a test may take every n-th.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from support import golden
from support.golden import TAPS, Chain, Recipe

PLACEMENTS = ("hold", "stamp", "early")
UP = ("request", "ack-response", "fin-client", "ack-last")
DOWN = ("response", "fin-server")
FLOWS = 3


@dataclass(frozen=True)
class Variant:
    name: str
    recipe: Recipe
    change: Callable[[Chain], object]
    check: str = ""


def wrong() -> Iterator[Variant]:
    """One thing wrong; ``check`` is who has to reject it."""
    for placement, flow in product(PLACEMENTS, range(FLOWS)):
        recipe = Recipe(placement, lose=False)

        def variant(
            name: str, check: str, change: Callable[[Chain], object], recipe: Recipe = recipe, flow: int = flow
        ) -> Variant:
            return Variant(f"{recipe.placement}-{flow}-{name}", recipe, change, check)

        yield from (variant(*each) for each in _numbers(placement, flow))
        yield from (variant(*each) for each in _frames(placement, flow))
        yield from (variant(*each) for each in _whole_flows(placement, flow))


_Kind = tuple[str, str, Callable[[Chain], object]]


def _numbers(placement: str, flow: int) -> Iterator[_Kind]:
    """One field of one segment, as it left a box."""
    for label, tap in product((*UP, *DOWN), TAPS[1:5]):
        if (label in UP) != (tap in (TAPS[2], TAPS[4])):  # where segments of this direction come out of a box
            continue
        for off in (1, -1000):
            yield f"seq{off:+}-{label}-{tap}", "translation", _field(tap, label, flow, "seq", off)
            yield f"ack{off:+}-{label}-{tap}", "translation", _field(tap, label, flow, "ack", off)
        yield f"tsval-{label}-{tap}", "translation", _field(tap, label, flow, "opt_tsval", 3)
        yield f"tsecr-{label}-{tap}", "translation", _field(tap, label, flow, "opt_tsecr", -50_000)
        yield f"window-{label}-{tap}", "windows", _field(tap, label, flow, "window", -9)


def _frames(placement: str, flow: int) -> Iterator[_Kind]:
    """Bytes and addresses of one frame."""
    for label, tap in product(("request", "response"), TAPS):
        yield f"sum-{label}-{tap}", "checksums", _field(tap, label, flow, "spoil", "l4")
        yield f"header-{label}-{tap}", "checksums", _field(tap, label, flow, "spoil", "ip")
    for place in range(5):
        later, earlier = TAPS[place + 1 :], TAPS[: place + 1]
        yield f"swap-up-{place}", "delivery", _everywhere(later, "request", flow, payload=_swapped)
        yield f"swap-down-{place}", "delivery", _everywhere(earlier, "response", flow, payload=_swapped)
        yield f"drop-up-{place}", "delivery", _without(later, "request", flow)
        yield f"drop-down-{place}", "delivery", _without(earlier, "response", flow)
        yield f"fin-up-{place}", "teardown", _without(later, "fin-client", flow)
        yield f"fin-down-{place}", "teardown", _without(earlier, "fin-server", flow)
    for hop, label in product(range(3), ("request", "response")):
        taps = TAPS[2 * hop : 2 * hop + 2]
        yield f"mac-{label}-{hop}", "next_hop", _everywhere(taps, label, flow, dst_mac="02:00:00:00:00:99")
    for label, tap in (("request", TAPS[2]), ("response", TAPS[1]), ("request", TAPS[4]), ("response", TAPS[3])):
        yield f"twice-{label}-{tap}", "passage", _twice(tap, label, flow)


def _whole_flows(placement: str, flow: int) -> Iterator[_Kind]:
    """The handshake, and what the boxes say."""
    yield "late-spoof", "ordering", _field(TAPS[1], "spoof", flow, "time_ns", 30_000_000)
    yield "spoof-acks-else", "translation", _everywhere(TAPS[:2], "spoof", flow, ack=lambda ack: ack + 1)
    yield "spoof-twice", "translation", lambda c: [_twice(tap, "spoof", flow)(c) for tap in TAPS[:2]]
    yield from ((f"syn-{name}", "options", change) for name, change in _handshakes(flow))
    yield "promise", "windows", _everywhere(TAPS[:2], "spoof", flow, window=lambda window: window + 300)
    yield "real-answer-too", "carried_by", lambda c: _real_answer_too(c, flow)
    yield "said-isn", "claims", lambda c: c.sidecar["sut"][flow].update(isn=c.sidecar["sut"][flow]["isn"] ^ 1)
    if placement == "stamp":
        for tap in TAPS[2:4]:
            yield f"stamp-{tap}", "translation", _field(tap, "syn", flow, "ack", 1)
        for tap in TAPS[4:]:
            yield f"leak-{tap}", "translation", _field(tap, "syn", flow, "ack", 12345)


def _handshakes(flow: int) -> Iterator[tuple[str, Callable[[Chain], object]]]:
    """Options that come or grow in a box, and an answer to what was not offered."""
    for name, box in (("clientnic", TAPS[2:]), ("servernic", TAPS[4:])):
        before = TAPS[: TAPS.index(box[0])]
        yield f"mss-{name}", _everywhere(box, "syn", flow, opt_mss=1461)
        yield f"scale-{name}", _everywhere(box, "syn", flow, opt_wscale=5)
        yield f"sack-{name}", _everywhere(before, "syn", flow, opt_sack_permitted=False)
        yield f"stamps-{name}", _everywhere(before, "syn", flow, opt_tsval=-1)
    yield "no-stamps", _everywhere(TAPS[4:], "synack", flow, opt_tsval=-1)
    yield "small-server", _everywhere(TAPS[4:], "synack", flow, opt_mss=99)


def _field(tap: str, label: str, flow: int, name: str, value: int | str) -> Callable[[Chain], object]:
    """A field moved by a number, or set to a word."""
    new = value if isinstance(value, str) else lambda old: (old + value) % (1 << 62 if name == "time_ns" else 1 << 32)
    return lambda chain: golden.change(chain, tap, label, flow=flow, **{name: new})


def _everywhere(taps: tuple[str, ...], label: str, flow: int, **fields: object) -> Callable[[Chain], object]:
    return lambda chain: [golden.change(chain, tap, label, flow=flow, **fields) for tap in taps]


def _without(taps: tuple[str, ...], label: str, flow: int) -> Callable[[Chain], object]:
    return lambda chain: golden.drop_from(chain, label, taps, flow=flow)


def _twice(tap: str, label: str, flow: int) -> Callable[[Chain], object]:
    def change(chain: Chain) -> None:
        frame = chain.find(tap, label, flow)[0]
        chain.taps[tap].append(replace(frame, time_ns=frame.time_ns + 3_000))

    return change


def _swapped(payload: bytes) -> bytes:
    """Two words in each other's place: the checksum does not notice."""
    return payload[2:4] + payload[:2] + payload[4:]


def _real_answer_too(chain: Chain, flow: int) -> None:
    """The server's own SYN-ACK comes through to the client, behind the box's."""
    real, macs = chain.find(TAPS[4], "synack", flow)[0], chain.recipe.macs
    for at in range(3, -1, -1):
        if not chain.find(TAPS[at], "synack", flow):
            source, target = (at, at - 1) if at % 2 else (at + 1, at)
            moment = real.time_ns + (20_000 if at >= 2 else 12_000_000) + (3 - at) * 20_000
            chain.taps[TAPS[at]].append(replace(real, time_ns=moment, src_mac=macs[source], dst_mac=macs[target]))


def harmless(count: int = 520) -> Iterator[Variant]:
    """What networks and hosts do all day: repetition, reordering, other pieces, other clocks; several at once."""
    for number in range(count):
        rng = random.Random(number)
        recipe = Recipe(
            rng.choice(PLACEMENTS), lose=rng.random() < 0.5, rounds=rng.choice((1, 1, 2)), wrap=rng.random() < 0.2,
            request=rng.choice((100, 700, 4000)), response=rng.choice((1000, 3000, 9000)),
            resend_syn=rng.random() < 0.2, shift=rng.random() < 0.8, seed=number,
            offsets_ns=rng.choice(((0, 0, 0, 0), (0, 2_000_000_000, -1_000_000_000, 400_000))),
        )  # fmt: skip
        names = rng.sample(sorted(HARMLESS), rng.choice((1, 1, 2)))

        def change(chain: Chain, names: list[str] = names, number: int = number) -> None:
            for name in names:
                HARMLESS[name](chain, random.Random(number))
            golden.recount(chain)

        yield Variant(f"{number}-{'+'.join(names)}-{recipe.placement}", recipe, change)


def _data(chain: Chain, rng: random.Random) -> tuple[str, int, int]:
    """A label that carries data, a flow, and which of its segments."""
    label, flow = rng.choice(("request", "response")), rng.randrange(chain.recipe.flows)
    return label, flow, rng.randrange(min(len(chain.find(tap, label, flow)) for tap in (TAPS[0], TAPS[5])))


def _repeated(chain: Chain, rng: random.Random) -> None:
    """A segment is sent again by its end, and passes everything a second time."""
    label, flow, nth = _data(chain, rng)
    late = rng.choice((300_000, 40_000_000, 250_000_000))
    for tap in TAPS:
        if nth < len(chain.find(tap, label, flow)):
            frame = chain.find(tap, label, flow)[nth]
            chain.taps[tap].append(replace(frame, time_ns=frame.time_ns + late, ip_id=(frame.ip_id + 99) % 2**16))


def _lost_and_repeated(chain: Chain, rng: random.Random) -> None:
    """A segment is lost on a link and sent again."""
    label, flow, nth = _data(chain, rng)
    order = TAPS if label == "request" else TAPS[::-1]
    reached = rng.choice((1, 3, 5))
    for at, tap in enumerate(order):
        if nth >= len(chain.find(tap, label, flow)):
            continue
        frame = chain.find(tap, label, flow)[nth]
        again = replace(frame, time_ns=frame.time_ns + 1_500_000, ip_id=(frame.ip_id + 99) % 2**16)
        chain.taps[tap].append(again)
        if at >= reached:
            chain.taps[tap] = [each for each in chain.taps[tap] if each is not frame]


def _in_other_pieces(chain: Chain, rng: random.Random) -> None:
    """A segment is cut in two, by its end or on its way."""
    label, flow, nth = _data(chain, rng)
    order = TAPS if label == "request" else TAPS[::-1]
    for tap in order[rng.randrange(6) :]:
        if nth >= len(chain.find(tap, label, flow)):
            continue
        whole = chain.find(tap, label, flow)[nth]
        if len(whole.payload) > 2:
            cut = len(whole.payload) // 2
            rest = replace(whole, seq=whole.seq + cut, payload=whole.payload[cut:], time_ns=whole.time_ns + 500)
            whole.payload = whole.payload[:cut]
            chain.taps[tap].append(rest)


def _reordered(chain: Chain, rng: random.Random) -> None:
    """The last two segments of a response change places from some link on."""
    flow = rng.randrange(chain.recipe.flows)
    for tap in TAPS[: rng.choice((1, 3, 5))]:
        frames = chain.find(tap, "response", flow)
        if len(frames) > 1:
            frames[-1].time_ns, frames[-2].time_ns = frames[-2].time_ns, frames[-1].time_ns


def _acks_lost(chain: Chain, rng: random.Random) -> None:
    """An acknowledgement in the middle is lost on a link; later ones cover it."""
    flow, reached = rng.randrange(chain.recipe.flows), rng.choice((1, 3, 5))
    for tap in TAPS[reached:]:
        acks = chain.find(tap, "ack-response", flow)
        if len(acks) > 1:
            chain.taps[tap] = [frame for frame in chain.taps[tap] if frame is not acks[0]]


def _keepalive(chain: Chain, rng: random.Random) -> None:
    """The server's last acknowledgement is said twice."""
    flow = rng.randrange(chain.recipe.flows)
    for tap in TAPS:
        frame = chain.find(tap, "ack-response", flow)[-1]
        chain.taps[tap].append(replace(frame, time_ns=frame.time_ns + 1_000, ip_id=(frame.ip_id + 99) % 2**16))


def _other_fields(chain: Chain, rng: random.Random) -> None:
    """IP identification, TTL and PSH are nobody's business."""
    flow = rng.randrange(chain.recipe.flows)
    for tap in TAPS:
        for frame in chain.find(tap, "response", flow):
            frame.ip_id, frame.ttl, frame.flags = (frame.ip_id * 7 + 1) % 2**16, frame.ttl - 1, frame.flags ^ 8


HARMLESS: dict[str, Callable[[Chain, random.Random], None]] = {
    "repeated": _repeated,
    "lost": _lost_and_repeated,
    "pieces": _in_other_pieces,
    "reordered": _reordered,
    "acks-lost": _acks_lost,
    "said-twice": _keepalive,
    "fields": _other_fields,
}
