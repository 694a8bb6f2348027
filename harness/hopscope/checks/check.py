"""What a check is."""

from __future__ import annotations

from typing import Protocol

from hopscope.checks.verdict import Verdict
from hopscope.wire.trace import Trace


class Check(Protocol):
    """A pure function of a trace, with a name.

    The discipline every check keeps: nothing to judge where there should have been is INCONCLUSIVE; what does not
    concern this system is NOT_APPLICABLE and says why; a FAIL that rests on something *absent* from an unhealthy tap is
    INCONCLUSIVE, one that rests on frames that were seen stays FAIL.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, trace: Trace) -> Verdict: ...
