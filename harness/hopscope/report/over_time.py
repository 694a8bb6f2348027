"""Two runs held against each other: which tests and budgets came to something else, and what else had changed.

Nothing is judged: a budget is *worse* or *better* only where the intervals of both runs do not touch, and what had
changed is named beside it, not blamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hopscope.checks.evidence import count
from hopscope.report.attachment import redacted
from hopscope.report.digest import Digest, Value
from hopscope.report.terminal import table

MOST = 40
"""Things that had changed which are told; the rest is counted."""
HEAD = ("budget", "before", "now", "")
_MARKS = {"worse": "**worse**", "better": "better"}


@dataclass(frozen=True)
class Change:
    before: Digest
    now: Digest

    @property
    def tests(self) -> list[tuple[str, str, str]]:
        """Test, outcome then and now, "-" where there was none; those that failed now come first."""
        names = dict.fromkeys([*self.before.outcomes, *self.now.outcomes])
        found = [(name, self.before.outcomes.get(name, "-"), self.now.outcomes.get(name, "-")) for name in names]
        return sorted((each for each in found if each[1] != each[2]), key=lambda each: each[2] != "FAIL")

    @property
    def budgets(self) -> list[tuple[str, Value, Value, str]]:
        """Budgets of both runs, with ``worse``, ``better`` or nothing; the worse first."""
        found = []
        for name, value in self.now.budgets.items():
            was = self.before.budgets.get(name)
            if was is None or was.unit != value.unit:
                continue
            word = "worse" if value.worse_than(was) else "better" if was.worse_than(value) else ""
            found.append((name, was, value, word))
        return sorted(found, key=lambda each: ("worse", "better", "").index(each[3]))

    @property
    def context(self) -> list[tuple[str, str, str]]:
        """What had changed: name, value then and now; settings last, there are many."""
        names = dict.fromkeys([*self.before.context, *self.now.context])
        found = [(name, self.before.context.get(name, "-"), self.now.context.get(name, "-")) for name in names]
        return sorted((each for each in found if each[1] != each[2]), key=lambda each: each[0].startswith("setting"))


def changes(digests: Sequence[Digest]) -> list[Change]:
    """Each run against the one before it."""
    ordered = sorted(digests, key=lambda each: (each.started_ns, each.run))
    return [Change(*pair) for pair in pairwise(ordered)]


def text(change: Change) -> str:
    """For a terminal."""
    lines = [f"{change.now.run} against {change.before.run}: {_headline(change)}"]
    if change.budgets:
        lines += ["", *table(HEAD, [(name, str(was), str(now), word) for name, was, now, word in change.budgets])]
    if change.tests:
        lines += ["", "tests:", *(f"  {name}: was {was}, is {now}" for name, was, now in change.tests)]
    lines += ["", "what else had changed:", *(f"  {line}" for line in _others(change))]
    return redacted("\n".join(lines))


def markdown(change: Change) -> str:
    """For a pull request."""
    lines = [f"### {_cell(change.now.run)} against {_cell(change.before.run)}", "", f"{_headline(change)}.", ""]
    if change.budgets:
        rows = ((name, str(was), str(now), _MARKS.get(word, "")) for name, was, now, word in change.budgets)
        lines += [*_grid(HEAD, rows), ""]
    if change.tests:
        lines += [*_grid(("test", "was", "is"), change.tests), ""]
    others = [*_others(change)]
    lines += ["<details><summary>What else had changed</summary>", "", *(f"- {_cell(each)}" for each in others), ""]
    return redacted("\n".join([*lines, "</details>"]))


def _headline(change: Change) -> str:
    words = [word for *_, word in change.budgets]
    told = [f"{words.count(word)} {word}" for word in ("worse", "better") if word in words]
    failed = sum(now == "FAIL" for _, _, now in change.tests)
    told += [f"{count(failed, 'test')} newly failing"] if failed else []
    return ", ".join(told) or "no budget has moved beyond its interval, and no test fails newly"


def _others(change: Change) -> Iterator[str]:
    found = change.context
    if not found:
        yield "nothing that the runs know of"
    for name, was, now in found[:MOST]:
        yield f"{name}: was {was}, is {now}"
    if len(found) > MOST:
        yield f"{len(found) - MOST} more"


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(each if each in _MARKS.values() else _cell(each) for each in row)} |"


def _cell(value: str) -> str:
    """Words, and nothing that Markdown or HTML would act on."""
    plain = " ".join(value.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{each}" if each in "\\`*_[]|#@!~" else each for each in plain)
