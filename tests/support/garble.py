"""Bytes and texts that were right once, damaged in a few places: seeded, so that what was found can be had again."""

from __future__ import annotations

import random
from collections.abc import Iterator

#: Numbers that parsers stumble over, as bytes of either order.
EDGES = [
    value.to_bytes(size, order)
    for size in (1, 2, 4, 8)
    for value in (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
    for order in ("big", "little")
]
#: Pieces that YAML, shells, paths and numbers give a meaning of their own.
PIECES = [
    "&a ", "*a", "<<: ", "!!python/object:os.system ", "---\n", "? ", ": ", "- ", "[", "{", "}", "]", "'", '"',
    "|\n", "\t",
    "\0", "\ufeff", "\u2028", "\ud7ff", "../", "/etc/passwd", "$(id)", "`id`", ";", "1e999", "-1", "0x10",
    "0o7", "1:30",
    "9" * 40, ".inf", ".nan", "null", "~", "yes", "on", "2001-01-01", "%", "#", "\r", "é", "𝔘", "a" * 300,
]  # fmt: skip


def damaged(good: bytes, rng: random.Random) -> bytes:
    """``good`` with one to four places changed: a bit, an edge of numbers, a piece gone, doubled or moved."""
    data = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 16, 60))
        match rng.randrange(6):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                edge = rng.choice(EDGES)
                data[at : at + len(edge)] = edge
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                source = rng.randrange(len(data) + 1)
                data[at : at + length] = data[source : source + length]
            case _ if rng.random() < 0.3:
                del data[at:]
    return bytes(data)


def garbled(good: str, rng: random.Random) -> str:
    """A text with one to four pieces put in, put in the place of others, or words and lines changed round."""
    text = good
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(5):
            case 0:
                text = text[:at] + rng.choice(PIECES) + text[at:]
            case 1:
                text = text[:at] + rng.choice(PIECES) + text[at + rng.randrange(8) :]
            case 2:
                text = text[:at] + text[at + rng.randrange(20) :]
            case 3:
                lines = text.splitlines(keepends=True)
                if lines:
                    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                    text = "".join(lines)
            case _:
                words = text.split(" ")
                one, other = rng.randrange(len(words)), rng.randrange(len(words))
                words[one] = words[other]
                text = " ".join(words)
    return text


def many(count: int, seed: int) -> Iterator[random.Random]:
    """As many generators, each of its own seed, so that one case can be run alone."""
    for number in range(count):
        yield random.Random(f"{seed}-{number}")
