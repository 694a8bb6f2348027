"""What every benchmark prints: one JSON object per line, and the statistics behind it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence


def line(
    name: str,
    variant: str,
    values: Sequence[float],
    unit: str,
    *,
    baseline: float | None = None,
    ratios: Sequence[float] = (),
) -> None:
    """Print one result: median and quartiles of ``values``; ``ratios`` are of interleaved pairs, larger is better."""
    ordered = sorted(values)
    quartiles = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else [ordered[0]] * 3
    print(
        json.dumps(
            {
                "name": name,
                "variant": variant,
                "value": round(statistics.median(ordered), 6),
                "unit": unit,
                "baseline": None if baseline is None else round(baseline, 6),
                "ratio": round(statistics.median(ratios), 4) if ratios else None,
                "n": len(ordered),
                "spread": [round(quartiles[0], 6), round(quartiles[2], 6)],
            }
        ),
        flush=True,
    )


def absent(variant: str, why: str) -> None:
    """Print that a variant could not be measured here, and why."""
    told = " ".join(why.split())
    print(json.dumps({"name": "absent", "variant": variant, "value": None, "why": told[:400]}), flush=True)
