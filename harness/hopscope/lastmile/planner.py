"""Repairs as transactions: one cause, one group of settings; kept only where fewer probes fail and no other does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from hopscope.errors import EnvironmentFault, HopscopeError
from hopscope.hosts.executor import Executor
from hopscope.lab.lab import Lab
from hopscope.lab.setting import Setting
from hopscope.lab.settings.mtu import Mtu
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.ground import Ground
from hopscope.lastmile.infer import infer
from hopscope.lastmile.look import look
from hopscope.lastmile.view import View
from hopscope.traffic.path_mtu import path_mtu

MOST_ROUNDS = 12
ENCAPSULATION = 60
"""Bytes that the search for an underlay's MTU leaves nothing for: the transport's segments are cut by TCP itself."""


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
        seen = self.seen or ("not read",) * len(self.settings)
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
    for _ in range(MOST_ROUNDS):
        chosen = _choose(hosts, ground, outcome, tried)
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


def attempt(
    hosts: Mapping[str, Executor], ground: Ground, view: View, finding: Finding, settings: Sequence[Setting]
) -> tuple[Step, View]:
    """One transaction. The step says what became of it; the view is the one after it was applied, or before."""
    before = view.failing
    with ExitStack() as undo:
        seen: list[str] = []
        try:
            for setting in settings:
                executor = hosts[setting.host]
                was = setting.read(executor)
                undo.callback(_undo, setting, executor, was)
                setting.apply(executor)
                seen.append(setting.verify(executor))
        except HopscopeError as fault:
            return Step(finding, tuple(settings), (), before, before, False, fault.message), view
        after = look(hosts, ground)
        if after.failing < before or (len(after.failing) == len(before) and _further(view, after)):
            undo.pop_all()
            return Step(finding, tuple(settings), tuple(seen), before, after.failing, True), after
        why = "no probe succeeds that failed" if before <= after.failing else "others fail now"
        return Step(finding, tuple(settings), tuple(seen), before, after.failing, False, why), view


def _further(view: View, after: View) -> bool:
    """The same probes fail, and each at least as far on its way and one further: a second fault was behind the first."""
    if view.failing != after.failing:
        return False
    old, new = ({loss.probe.name: _progress(loss) for loss in each.losses()} for each in (view, after))
    return all(new[name] >= old[name] for name in old) and any(new[name] > old[name] for name in old)


def _progress(loss: Any) -> int:
    path = (*loss.probe.there, *loss.probe.back)
    return 2 * len(path) if loss.next is None else (*loss.probe.there,).index(loss.next) if loss.way == "there" else (
        len(loss.probe.there) + loss.probe.back.index(loss.next)
    )  # fmt: skip


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
