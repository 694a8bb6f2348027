"""The chain: hosts in a row, and on each link between two what crossed it either way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hopscope.draw.svg import element, line, picture, text

FIRST, BETWEEN, BOX, HEIGHT = 75.0, 308.0, 110.0, 140.0


@dataclass(frozen=True)
class Way:
    """One direction over a link. ``delay_ms`` is a median; None where the clocks of its ends cannot tell."""

    packets: int
    lost: int
    delay_ms: float | None

    def __str__(self) -> str:
        parts = [f"{self.packets:,}", f"{self.lost:,} lost" if self.lost else "none lost"]
        return " · ".join([*parts, *([] if self.delay_ms is None else [f"{self.delay_ms:.3f} ms"])])


@dataclass(frozen=True)
class Hop:
    """A link from the nearer host to the farther one. A way is None where an end has no capture."""

    ports: tuple[str, str]
    away: Way | None
    back: Way | None

    @property
    def lossy(self) -> bool:
        return any(way is not None and way.lost for way in (self.away, self.back))


def draw(hosts: Sequence[str], hops: Sequence[Hop], *, name: str = "chain", styled: bool = True) -> str:
    """As SVG. There is one hop fewer than hosts."""
    x = [FIRST + BETWEEN * at for at in range(len(hosts))]
    body = [part for at, hop in enumerate(hops) for part in _hop(hop, x[at] + BOX / 2, x[at + 1] - BOX / 2)]
    for at, host in zip(x, hosts, strict=True):
        body.append(element("rect", x=at - BOX / 2, y=52, width=BOX, height=36, rx=5, class_="box"))
        body.append(text(at, 74, host, "strong", anchor="middle"))
    told = "; ".join(
        f"{hosts[at]} to {hosts[at + 1]}: {hop.away or 'not captured'}, back: {hop.back or 'not captured'}"
        for at, hop in enumerate(hops)
    )
    return picture(
        x[-1] + FIRST, HEIGHT, body, title="The chain, hop by hop", description=told, name=name, styled=styled
    )


def _hop(hop: Hop, left: float, right: float) -> Iterator[str]:
    kind = "lost" if hop.lossy else "edge"
    yield line(left, 70, right, 70, f"arrow {kind}{' marked' if hop.lossy else ''}")
    yield text(left + 4, 66, hop.ports[0], "note on")
    yield text(right - 4, 66, hop.ports[1], "note on", anchor="end")
    for way, arrow, y in ((hop.away, "→", 34), (hop.back, "←", 112)):
        told = f"{arrow} {way}" if way is not None else f"{arrow} not captured"
        yield text((left + right) / 2, y, told, "lost strong" if way is not None and way.lost else "", anchor="middle")
