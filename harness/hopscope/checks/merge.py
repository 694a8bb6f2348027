"""Judgements of the shards of one trace as one: outcome, counts and metrics are those of the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hopscope.checks.expectation import Expectation, standard
from hopscope.checks.judge import Judgement, Samples, judge_trace, latencies, samples
from hopscope.checks.observations import tell
from hopscope.checks.sights import Sights, joined, look
from hopscope.checks.verdict import Outcome, Verdict
from hopscope.wire.trace import Trace

_OF_FILES = ("capture_health",)
"""Checks that judge captures and not connections: every shard judges the same ones."""
_NO_SUMS = ("clauses",)
"""Metrics that say how something was judged and count nothing: the largest stands."""


@dataclass(frozen=True, eq=False)
class Part:
    """What a shard tells of itself."""

    judgement: Judgement
    """Without observations, which look at flows together."""
    samples: Samples
    sights: Sights

    @staticmethod
    def of(trace: Trace, expect: str | None = None, *, source: str = "") -> Part:
        """Judge the trace of one shard. ``expect`` claims a placement."""
        chosen = Expectation(standard(), expect)
        judgement = judge_trace(trace, expectation=chosen, source=source, observing=False)
        return Part(judgement, samples(trace), Sights() if chosen.proxied(trace) else look(trace))


def merged(parts: Sequence[Part]) -> Judgement:
    """One judgement of all parts; at least one is given."""
    observations = tell(joined(part.sights for part in parts))
    if len(parts) == 1:
        return replace(parts[0].judgement, observations=observations)
    judgements = [part.judgement for part in parts]
    first = judgements[0]
    taken = {key: np.concatenate([part.samples[key] for part in parts]) for key in parts[0].samples}
    taps = tuple(
        replace(tap, packets=sum(judgement.taps[at].packets for judgement in judgements))
        for at, tap in enumerate(first.taps)
    )
    placements: Counter[str] = Counter()
    for judgement in judgements:
        placements.update(judgement.placements)
    return replace(
        first,
        taps=taps,
        flows=sum(judgement.flows for judgement in judgements),
        whole=sum(judgement.whole for judgement in judgements),
        placements=dict(placements),
        verdicts=tuple(
            _one(verdicts) for verdicts in zip(*(judgement.verdicts for judgement in judgements), strict=True)
        ),
        latencies=latencies(taken),
        notes=(*dict.fromkeys(note for judgement in judgements for note in judgement.notes),
               f"judged in {len(parts)} shards"),
        observations=observations,
    )  # fmt: skip


def _one(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of one check, from its verdicts on all shards."""
    told = [each for each in verdicts if not _idle(each)]
    outcomes = {each.outcome for each in told}
    if not told:  # nothing to judge anywhere: who has a reason why it need not be is heard first
        reasons = [each for each in verdicts if each.outcome is Outcome.NOT_APPLICABLE]
        return (reasons or verdicts)[0]
    outcome = next(one for one in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS) if one in outcomes)
    chief = max((each for each in told if each.outcome is outcome), key=lambda each: (each.failed, each.judged))
    metrics: Counter[str] = Counter()
    for each in verdicts:
        metrics.update({name: value for name, value in each.metrics.items() if name not in _NO_SUMS})
    metrics.update({name: max(each.metrics[name] for each in told) for name in _NO_SUMS if name in chief.metrics})
    judged = chief.judged if chief.check in _OF_FILES else sum(each.judged for each in verdicts)
    failed = chief.failed if chief.check in _OF_FILES else sum(each.failed for each in verdicts)
    counted = f"{failed:,} of {judged:,} failed" if outcome is Outcome.FAIL else f"{judged:,} judged"
    others = len(told) > 1 and chief.check not in _OF_FILES
    return replace(
        chief,
        summary=f"{counted} in {len(verdicts)} shards; of one: {chief.summary}" if others else chief.summary,
        judged=judged,
        failed=failed,
        evidence=tuple(dict.fromkeys(item for each in told if each.outcome is outcome for item in each.evidence)),
        metrics=dict(metrics),
    )


def _idle(verdict: Verdict) -> bool:
    """Nothing of what this shard holds was there to judge."""
    if verdict.outcome is Outcome.NOT_APPLICABLE:
        return True
    return verdict.outcome is Outcome.INCONCLUSIVE and not verdict.judged and not verdict.evidence
