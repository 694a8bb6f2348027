"""Grids of parameters too large for every run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest


def sparse(*axes: Sequence[Any], every: int) -> list[Any]:
    """All combinations, of which one in ``every`` runs by day, such that each value meets as many others as can be
    (those whose places on their axes add up to a multiple); the others run at night."""
    return [
        pytest.param(*values, marks=() if sum(places) % every == 0 else pytest.mark.nightly)
        for places, values in zip(product(*map(range, map(len, axes))), product(*axes), strict=True)
    ]
