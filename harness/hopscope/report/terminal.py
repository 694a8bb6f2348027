"""Plain text for a terminal: the table of comparisons and the count of verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_ORDER = ("PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as they need to be: the first flush left, the others flush right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def milliseconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f} ms"


def comparisons(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The comparisons of a session, plain TCP beside the SUT, medians."""
    head = (
        "SUT",
        "RTT",
        "TTFB plain",
        "TTFB SUT",
        "saved",
        "first data out plain",
        "first data out SUT",
        "connections",
        "drops",
    )
    body = [
        (
            str(row["sut"]),
            milliseconds(row["rtt_ms"]),
            milliseconds(row["plain_ttfb_ms"]),
            milliseconds(row["sut_ttfb_ms"]),
            f"{row['saved_rtts']:.3f} RTT",
            milliseconds(row["plain_send_unlock_ms"]),
            milliseconds(row["sut_send_unlock_ms"]),
            f"{row['completed']} of {row['asked']}",
            str(row["drops"]),
        )
        for row in rows
    ]
    return table(head, body)


def verdict_counts(verdicts: Iterable[Mapping[str, str]]) -> list[str]:
    """How often each check came to each outcome."""
    counts = Counter((verdict["check"], verdict["outcome"]) for verdict in verdicts)
    checks = sorted({check for check, _ in counts})
    return table(
        ("check", *_ORDER), [(check, *(str(counts[check, outcome] or "") for outcome in _ORDER)) for check in checks]
    )


def summary(rows: Sequence[Mapping[str, Any]], verdicts: Sequence[Mapping[str, str]]) -> list[str]:
    """All of it, with a sentence for newcomers."""
    lines: list[str] = []
    if rows:
        lines += ["Plain TCP against the SUT (medians, alternating blocks on the same chain, from the captures):", ""]
        lines += [*comparisons(rows), ""]
        lines += [
            "TTFB: from the client's SYN to the first byte of the answer.",
            "First data out: to its request. Drops: packets that any of the six captures lost.",
            "",
        ]
    if verdicts:
        lines += ["Verdicts, from captures on both sides of every hop:", "", *verdict_counts(verdicts), ""]
    return lines
