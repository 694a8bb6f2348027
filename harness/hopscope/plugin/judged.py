"""What a test does with a trace: expect checks of it. A verdict becomes a pass, a ProductFault or a HarnessFault."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from hopscope.checks.check import Check
from hopscope.checks.expectation import expectation, standard
from hopscope.checks.latency import Limit
from hopscope.checks.verdict import Outcome, Verdict
from hopscope.errors import EnvironmentFault, HarnessFault, HopscopeError, ProductFault
from hopscope.plugin.limits import configured
from hopscope.report.second_opinion import second_opinion
from hopscope.run.doing import stages
from hopscope.run.rundir import VERDICTS, write_json
from hopscope.wire.trace import Trace

#: Worst first, in the order in which they decide a test; NOT_APPLICABLE decides nothing.
_WORST = (Outcome.FAIL, Outcome.INCONCLUSIVE)


class Judged:
    """A trace together with the verdicts reached so far; they are written to ``directory/verdicts.json``."""

    def __init__(
        self,
        trace: Trace,
        directory: Path,
        limits: Mapping[str, Limit] | None = None,
        more: Sequence[Check] = (),
        bring: Callable[[Sequence[str]], None] = lambda flows: None,
    ) -> None:
        """``limits`` (by metric) are for budgets that name none; ``more`` are judged with the standard checks;
        ``bring`` is told of flows that failed, so that their frames are whole in the captures that people look at."""
        self.trace = trace
        self.directory = directory
        self.limits = limits or {}
        self.more = tuple(more)
        self._bring = bring
        self.verdicts: list[Verdict] = []
        self._claims: list[str | None] = []

    def judge(self, *checks: Check, placement: str | None = None) -> tuple[Verdict, ...]:
        """Verdicts without consequences, for tests of broken systems. See :meth:`expect`."""
        if not checks and self.more:
            checks = (*standard(), *self.more)
        checks = tuple(configured(check, self.limits) for check in checks)
        with stages("Judging") as progress:
            reached = expectation(*checks, placement=placement).judge(self.trace, progress)
        self.record(reached, placement)
        return reached

    def expect(self, *checks: Check, placement: str | None = None) -> tuple[Verdict, ...]:
        """Every check must pass (the standard ones when none is named); one that does not apply is left aside.

        ``placement`` claims who translates ("stamp", "hold", "plain", "proxy"); a claim that does not hold is a FAIL.
        Raises ProductFault for a FAIL, HarnessFault when something could not be concluded, or when no check applied.
        """
        reached = self.judge(*checks, placement=placement)
        raise_for(reached)
        return reached

    def second_opinion(self, sample: int = 20) -> Verdict:
        """tshark's view of a sample of the flows, held against ours: checksums, flows and retransmissions.

        Raises HarnessFault when the two disagree, or when tshark could not be asked: then neither view counts.
        """
        verdict = second_opinion(self.trace, sample=sample)
        self.record((verdict,))
        raise_for((verdict,))
        return verdict

    def record(self, verdicts: Iterable[Verdict], claim: str | None = None) -> None:
        """Write the verdicts beside the captures, each with the claim under which it was reached."""
        found = tuple(verdicts)
        self.verdicts += found
        self._claims += [claim] * len(found)
        told = [
            verdict.to_json() | {"claim": claimed} for verdict, claimed in zip(self.verdicts, self._claims, strict=True)
        ]
        write_json(self.directory / VERDICTS, told)
        shown = (each.flow for verdict in found if verdict.outcome is Outcome.FAIL for each in verdict.evidence)
        failing = tuple(dict.fromkeys(flow for flow in shown if flow is not None))
        if failing:
            self._bring(failing)


def raise_for(verdicts: Sequence[Verdict]) -> None:
    """Nothing when all is well, else the error that the worst verdict stands for."""
    for outcome in _WORST:
        found = [verdict for verdict in verdicts if verdict.outcome is outcome]
        if found:
            raise _fault(outcome, found)
    if verdicts and not any(verdict.outcome is Outcome.PASS for verdict in verdicts):
        reasons = "; ".join(f"{verdict.check}: {verdict.summary}" for verdict in verdicts)
        raise HarnessFault(f"no check applied, so nothing was tested: {reasons}")


def _fault(outcome: Outcome, verdicts: Sequence[Verdict]) -> HopscopeError:
    kind: type[HopscopeError] = HarnessFault
    if outcome is Outcome.FAIL:
        # What the environment did is not to be blamed on the product, unless the product failed as well.
        blame = {verdict.fault for verdict in verdicts}
        kind = EnvironmentFault if blame == {"environment"} else ProductFault
    head = "; ".join(f"{verdict.check} {outcome.name}: {verdict.summary}" for verdict in verdicts)
    return kind(head, evidence="\n".join(line for verdict in verdicts for line in _lines(verdict)))


def _lines(verdict: Verdict) -> list[str]:
    return [
        f"{verdict.check}: flow {item.flow or '-'}, {item.tap} frame {', '.join(map(str, item.frames)) or '-'}: "
        f"expected {item.expected}, seen {item.seen}"
        for item in verdict.evidence[:5]
    ]
