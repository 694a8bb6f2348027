"""Repairs as transactions: one cause, one group of settings; kept only where fewer probes fail and no other does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from hopscope.errors import EnvironmentFault, HopscopeError
from hopscope.hosts.executor import Executor
from hopscope.lab.lab import Lab
from hopscope.lab.setting import Setting
from hopscope.lab.settings.mtu import Mtu
from hopscope.lastmile.causes.mtu import transport
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.ground import Ground
from hopscope.lastmile.infer import infer
from hopscope.lastmile.look import look
from hopscope.lastmile.view import View
from hopscope.traffic.path_mtu import path_mtu

MOST_ROUNDS = 12
BACKOFF_S = 8.0
"""How long a transport is waited for that has backed off while it was blocked."""
MOST_BEHIND = 4
"""How many causes one behind the other a group takes in."""


@dataclass(frozen=True)
class Step:
    """One group: what was set where, what was read back, how many probes failed before and after, and what became."""

    finding: Finding
    settings: tuple[Setting, ...]
    seen: tuple[str, ...]
    before: frozenset[str]
    after: frozenset[str]
    kept: bool
    why: str = ""

    def rows(self) -> list[tuple[str, ...]]:
        state = "kept" if self.kept else f"undone: {self.why}"
        seen = (*self.seen, *("not read",) * (len(self.settings) - len(self.seen)))
        return [
            (self.finding.cause, each.host, each.name, read, str(len(self.before)), str(len(self.after)), state)
            for each, read in zip(self.settings, seen, strict=True)
        ]

    def __str__(self) -> str:
        return "; ".join(" | ".join(row) for row in self.rows())


@dataclass
class Outcome:
    """``failing`` is what fails at the end, ``findings`` what is known of it; ``first`` what was found first."""

    first: list[Finding]
    findings: list[Finding]
    view: View
    steps: list[Step] = field(default_factory=list)

    @property
    def failing(self) -> frozenset[str]:
        return self.view.failing

    @property
    def kept(self) -> list[Step]:
        return [step for step in self.steps if step.kept]

    def conclusion(self) -> str:
        if not self.first:
            return "every probe succeeded: nothing to mend"
        causes = "; ".join(f"{step.finding.cause} on {step.finding.host}" for step in self.kept)
        if not self.failing:
            return f"resolved by mending: {causes}"
        return f"not resolved: {len(self.failing)} probes fail" + (f" after mending {causes}" if causes else "")

    def document(self) -> dict[str, Any]:
        return {
            "findings": [each.document() for each in self.first],
            "steps": [{"rows": step.rows(), "kept": step.kept, "why": step.why} for step in self.steps],
            "failing": sorted(self.failing), "left": [each.document() for each in self.findings],
            "conclusion": self.conclusion(),
        }  # fmt: skip


def mend(
    lab: Lab, ground: Ground, view: View | None = None, *, say: Callable[[str], None] = lambda text: None
) -> Outcome:
    """Diagnose, apply one group, read back, probe again, keep or undo exactly; until done or nothing helps.

    What is kept stays until the lab ends. Raises EnvironmentFault when an undo did not bring back what was there.
    """
    hosts = {**lab.hosts}
    view = view or look(hosts, ground)
    first = infer(view)
    outcome = Outcome(first, first, view)
    tried: set[tuple[str, ...]] = set()
    again = False
    for _ in range(MOST_ROUNDS):
        chosen = _choose(hosts, ground, outcome, tried)
        if chosen is None and outcome.failing and not again:
            again = True
            chosen = _again(hosts, ground, outcome, tried)
        if chosen is None:
            break
        finding, settings = chosen
        tried.add(_names(settings))
        say(f"{finding.cause} on {finding.host}: {', '.join(each.name for each in settings)}")
        step, after = attempt(hosts, ground, outcome.view, finding, settings)
        outcome.steps.append(step)
        if step.kept:
            outcome.view, outcome.findings = after, infer(after)
    return outcome


def _again(
    hosts: Mapping[str, Executor], ground: Ground, outcome: Outcome, tried: set[tuple[str, ...]]
) -> tuple[Finding, tuple[Setting, ...]] | None:
    """What another look finds to try: what is left after a repair may be of a moment that has passed, and a transport
    that backs off shows what stops it only when it tries again."""
    until = time.monotonic() + BACKOFF_S
    in_the_dark = all(each.confidence == "possible" for each in outcome.findings)
    while outcome.failing and (outcome.kept or (in_the_dark and _backs_off(ground, outcome.view))):
        outcome.view = look(hosts, ground)
        outcome.findings = infer(outcome.view)
        chosen = _choose(hosts, ground, outcome, tried)
        if chosen is not None or outcome.kept or time.monotonic() > until:
            return chosen
    return None


def attempt(
    hosts: Mapping[str, Executor], ground: Ground, view: View, finding: Finding, settings: Sequence[Setting]
) -> tuple[Step, View]:
    """One transaction. The step says what became of it; the view is the one after it was applied, or before.

    Where the same probes fail for what comes behind (the next chain, a fault hidden by the first), that joins the
    group: each of both alone changes nothing.
    """
    before = view.failing
    group, pending, seen = list(settings), list(settings), list[str]()
    with ExitStack() as undo:
        for _ in range(MOST_BEHIND):
            try:
                for setting in pending:
                    executor = hosts[setting.host]
                    undo.callback(_undo, setting, executor, setting.read(executor))
                    setting.apply(executor)
                    seen.append(setting.verify(executor))
            except HopscopeError as fault:
                return Step(finding, tuple(group), (), before, before, False, fault.message), view
            after = _settled(hosts, ground)
            if after.failing < before:
                undo.pop_all()
                return Step(finding, tuple(group), tuple(seen), before, after.failing, True), after
            if after.failing != before:
                break
            pending = _behind(hosts, ground, finding, infer(after), group)
            group += pending
            if not pending:
                break
        why = "no probe succeeds that failed" if before <= after.failing else "others fail now"
        return Step(finding, tuple(group), tuple(seen), before, after.failing, False, why), view


def _settled(hosts: Mapping[str, Executor], ground: Ground) -> View:
    """A look; another one while the transport still backs off from what it could not send."""
    view = look(hosts, ground)
    until = time.monotonic() + BACKOFF_S
    while view.failing and time.monotonic() < until:
        if not _backs_off(ground, view):
            break
        view = look(hosts, ground)
    return view


def _backs_off(ground: Ground, view: View) -> bool:
    sockets = [each for side in ground.sides for each in transport(view, side.host, late=False)]
    return any(each["unacked"] or each["send_queue"] for each in sockets)


def _behind(
    hosts: Mapping[str, Executor], ground: Ground, finding: Finding, findings: list[Finding], group: list[Setting]
) -> list[Setting]:
    """What would mend the first of the causes that now stop the probes which ``finding`` explained."""
    known = set(_names(group))
    for each in findings:
        if set(each.explains) & set(finding.explains):
            new = [s for s in settings_of(hosts, ground, each) if not set(_names([s])) & known]
            if new and not all(_holds(hosts, setting) for setting in new):
                return new
    return []


def _undo(setting: Setting, executor: Executor, was: str) -> None:
    setting.undo(executor)
    now = setting.read(executor)
    if now != was:
        raise EnvironmentFault(
            f"{setting.name} could not be brought back", host=setting.host, evidence=f"before: {was}\nnow:    {now}"
        )


def _choose(
    hosts: Mapping[str, Executor], ground: Ground, outcome: Outcome, tried: set[tuple[str, ...]]
) -> tuple[Finding, tuple[Setting, ...]] | None:
    for finding in outcome.findings:
        settings = tuple(each for each in settings_of(hosts, ground, finding) if not _holds(hosts, each))
        if settings and _names(settings) not in tried:
            return finding, settings
    return None


def _holds(hosts: Mapping[str, Executor], setting: Setting) -> bool:
    return setting.read(hosts[setting.host]) == setting.wanted


def _names(settings: Sequence[Setting]) -> tuple[str, ...]:
    return tuple(f"{each.host} {each.name} {each.wanted}" for each in settings)


def settings_of(hosts: Mapping[str, Executor], ground: Ground, finding: Finding) -> tuple[Setting, ...]:
    """The group of a finding; an MTU is searched for first."""
    if not finding.search:
        return finding.settings
    if finding.search == "tunnel":
        pairs = [(side.host, ground.other(side.host).inner) for side in ground.sides]
        found = [path_mtu(hosts[host], address, wanted=1500, wait_s=0.1).bytes for host, address in pairs]
        passes = min((each for each in found if each), default=None)
        return () if passes is None else tuple(Mtu(side.host, side.device, passes) for side in ground.sides)
    pairs = [(side.host, ground.other(side.host).outer) for side in ground.sides]
    found = [path_mtu(hosts[host], address, wanted=1500, wait_s=0.1).bytes for host, address in pairs]
    passes = min((each for each in found if each), default=None)
    if passes is None:
        return ()
    from hopscope.lab.settings.route_mtu import RouteMtu

    return tuple(RouteMtu(side.host, ground.other(side.host).outer, passes) for side in ground.sides)
