"""Numbers in the events of systems under test. Strangers write them: what is no number is not told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def number(event: Mapping[str, Any], key: str) -> int | None:
    """The number under a key; None where there is none, or it is none."""
    value = event.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return int(value)
