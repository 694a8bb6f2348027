"""What crossed each hop of a window, either way: segments, those that were lost, and how long the others took."""

from __future__ import annotations

import numpy as np

from hopscope.checks.capture_health import unhealthy
from hopscope.checks.correlation import Kind, Passage, correlate
from hopscope.draw import chain
from hopscope.draw.chain import Hop, Way
from hopscope.page.html import Inside, Markup, table, tag
from hopscope.wire.taps import HOPS, Position
from hopscope.wire.trace import Trace

HEAD = ("hop", "segments", "lost", "bytes lost", "delay, median", "99 % within")


def section(trace: Trace, name: str) -> list[Inside]:
    """The chain drawn, and the same in a table."""
    passages = {(one.source, one.target): one for one in correlate(trace)}
    hops = [_hop(trace, passages, near, far) for near, far in HOPS]
    hosts = [_host(trace, pair) for pair in ((0,), (1, 2), (3, 4), (5,))]
    drawn = chain.draw(hosts, hops, name=name, styled=False)
    rows, classes = _rows(trace, passages)
    if not rows:
        return []
    told = "segments with data, SYN, FIN or RST of connections that the captures hold whole"
    if not trace.same_clock:
        told += "; hosts have clocks of their own, so no delay is told"
    if blind := unhealthy(trace):
        told += f"; {', '.join(blind)} may have missed some of them: what is called lost was not seen, and no more"
    return [
        tag("h4", "The chain, hop by hop"),
        tag("div", Markup(drawn), class_="wide", tabindex="0", role="region", aria_label="the chain, hop by hop"),
        table(told, HEAD, rows, classes=classes),
    ]


def _host(trace: Trace, positions: tuple[int, ...]) -> str:
    taps = [trace.taps[Position(at)] for at in positions if Position(at) in trace.taps]
    return taps[0].host if taps else Position(positions[0]).host


def _hop(trace: Trace, passages: dict[tuple[Position, Position], Passage], near: Position, far: Position) -> Hop:
    ports = [tap.interface or "" if (tap := trace.taps.get(end)) is not None else "" for end in (near, far)]
    away, back = (_way(trace, passages.get(ends)) for ends in ((near, far), (far, near)))
    return Hop((ports[0], ports[1]), away, back)


def _way(trace: Trace, passage: Passage | None) -> Way | None:
    if passage is None:
        return None
    delays = _delays(trace, passage)
    return Way(_went_in(passage), len(passage.of(Kind.LOST)), float(np.median(delays)) if len(delays) else None)


def _went_in(passage: Passage) -> int:
    return len(passage.twins[0]) + len(passage.of(Kind.LOST))


def _delays(trace: Trace, passage: Passage) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Milliseconds, of the segments that were seen at both ends; empty where two clocks cannot tell."""
    source, target = (trace.taps[end] for end in (passage.source, passage.target))
    if not trace.same_clock and source.host != target.host:
        return np.zeros(0)
    rows, later = passage.twins
    return np.asarray(target.packets.time[later] - source.packets.time[rows], np.float64) / 1e6


def _rows(
    trace: Trace, passages: dict[tuple[Position, Position], Passage]
) -> tuple[list[tuple[str, ...]], list[str | None]]:
    rows: list[tuple[str, ...]] = []
    classes: list[str | None] = []
    for near, far in HOPS:
        for ends in ((near, far), (far, near)):
            if (passage := passages.get(ends)) is None:
                continue
            delays = _delays(trace, passage)
            lost = len(passage.of(Kind.LOST))
            middle, most = np.quantile(delays, (0.5, 0.99)) if len(delays) else (np.nan, np.nan)
            names = [trace.taps[end].name for end in ends]
            rows.append(
                (
                    f"{names[0]} → {names[1]}", f"{_went_in(passage):,}", f"{lost:,}",
                    f"{passage.bytes_of(Kind.LOST):,}", _ms(middle), _ms(most),
                )
            )  # fmt: skip
            classes.append("lost" if lost else None)
    return rows, classes


def _ms(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f} ms"
