"""Checks applied to a trace together, and the claim that goes with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass, replace

from hopscope.checks import proxy
from hopscope.checks.capture_health import capture_health, unhealthy
from hopscope.checks.carried_by import carried_by
from hopscope.checks.check import Check
from hopscope.checks.checksums import checksums
from hopscope.checks.claims import claims
from hopscope.checks.clocks import clocks
from hopscope.checks.delivery import delivery
from hopscope.checks.identities import identities
from hopscope.checks.next_hop import next_hop
from hopscope.checks.options import options
from hopscope.checks.ordering import ordering
from hopscope.checks.passage import passage
from hopscope.checks.placement import placement
from hopscope.checks.round_trips import round_trips
from hopscope.checks.teardown import teardown
from hopscope.checks.translation import translation
from hopscope.checks.verdict import Outcome, Verdict
from hopscope.checks.windows import windows
from hopscope.wire.trace import Trace


def standard() -> tuple[Check, ...]:
    """All checks, in the order in which they are told."""
    return (
        capture_health(),
        ordering(),
        carried_by(),
        translation(),
        options(),
        windows(),
        clocks(),
        passage(),
        identities(promised=True),
        round_trips(promised=True),
        delivery(),
        checksums(),
        next_hop(),
        teardown(),
        claims(),
    )


@dataclass(frozen=True)
class Expectation:
    """``placement`` is a claim ("stamp", "hold", "plain", "early", "proxy"): every whole flow is to be of this kind.

    A proxy (claimed, or declared by what the run put on the path) has its two parts judged: see ``checks.proxy``.

    With a claim the check ``placement`` is added, and the checks that infer a placement are told of it.
    """

    checks: tuple[Check, ...]
    placement: str | None = None

    def proxied(self, trace: Trace) -> bool:
        """Whether a proxy is claimed, or declared by what the run put on the path."""
        return self.placement == proxy.CLAIM or (self.placement is None and proxy.declared(trace))

    def judge(self, trace: Trace, progress: Callable[[str], object] = lambda _: None) -> tuple[Verdict, ...]:
        """One verdict for each check; ``progress`` is told which.

        What rests on a capture that lost packets is INCONCLUSIVE, but for faults of frames that are there.
        """
        if self.proxied(trace):
            lossy = unhealthy(trace)
            return tuple(_weighed(verdict, lossy) for verdict in proxy.judge(self.checks, trace))
        checks = tuple(_told(check, self.placement) for check in self.checks)
        if self.placement is not None and not any(check.name == "placement" for check in checks):
            checks = (*checks[:1], placement(self.placement), *checks[1:])
        lossy = unhealthy(trace)
        verdicts = []
        for number, check in enumerate(checks, 1):
            progress(f"check {number} of {len(checks)}: {check.name}")
            verdicts.append(_weighed(check(trace), lossy))
        return tuple(verdicts)


def expectation(*checks: Check, placement: str | None = None) -> Expectation:
    """The named checks, or the standard ones when none is named."""
    return Expectation(checks or standard(), placement)


def worst(verdicts: Iterable[Verdict]) -> Outcome:
    """FAIL over INCONCLUSIVE over PASS over NOT_APPLICABLE."""
    order = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS, Outcome.NOT_APPLICABLE)
    seen = {verdict.outcome for verdict in verdicts}
    return next((outcome for outcome in order if outcome in seen), Outcome.NOT_APPLICABLE)


def _told(check: Check, claim: str | None) -> Check:
    """The same check with the claim, if it takes one and has none of its own."""
    if claim is None or not is_dataclass(check) or isinstance(check, type):
        return check
    if "claim" not in {one.name for one in fields(check)} or getattr(check, "claim", None) is not None:
        return check
    return replace(check, claim=claim)


_STANDS = frozenset({"carried_by", "checksums", "next_hop"})
"""Checks that find fault with frames that are there. The others compare what two taps, or two directions, have: a
packet that one capture missed looks to them like one that a box swallowed, made up or changed."""


def _weighed(verdict: Verdict, lossy: tuple[str, ...]) -> Verdict:
    if not lossy or verdict.outcome not in (Outcome.PASS, Outcome.FAIL):
        return verdict
    if verdict.outcome is Outcome.FAIL and verdict.check in _STANDS:
        return verdict
    return replace(
        verdict,
        outcome=Outcome.INCONCLUSIVE,
        summary=f"{verdict.summary}; but {', '.join(lossy)} lost packets or began late",
    )
