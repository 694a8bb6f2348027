"""The page of a run. What failed comes first; captures are read of as many tests as time and size allow."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hopscope.draw.svg import STYLE as PICTURES
from hopscope.page.article import section
from hopscope.page.html import Inside, Markup, anchor, code, details, joined, listed, table, tag
from hopscope.page.read import FAULTS, ORDER, Test, Told, read
from hopscope.page.style import STYLE

CAPTURE_BYTES = {True: 100_000_000, False: 30_000_000}
"""Captures that are read in all: of tests that did not pass, and of those that did."""
PAGE_BYTES = 1_600_000
"""Beyond this size of the page no further captures are drawn."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The page may load nothing and run nothing, whatever a run has put into it."""
WORDS = {"PASS": "passed", "FAIL": "failed", "INCONCLUSIVE": "could not be concluded", "SKIPPED": "skipped"}


def page(run: Path) -> str:
    """The whole document. UsageError for what is no run."""
    told = read(run)
    sections = list(_sections(told.tests))
    title = f"Hopscope: {told.manifest.get('run', run.name)}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", f"{_tally(told.tests)} - {title}"),
        tag("style", Markup(STYLE + PICTURES)),
    )
    body = tag(
        "body",
        tag("a", "to the tests", href="#tests", class_="skip"),
        tag("header", tag("h1", title), *_summary(told)),
        tag("main", *_troubles(told), tag("h2", "Tests", id="tests"), *sections, *_machine(told)),
        tag("footer", tag("p", f"Rendered from {', '.join(map(str, told.runs))}.", class_="dim")),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _sections(tests: list[Test]) -> Iterator[Markup]:
    left, size = dict(CAPTURE_BYTES), 0
    for test in tests:
        window = test.case.window
        weight = sum(file.stat().st_size for file in window.glob("*.pcap*")) if window is not None else 0
        drawn = size < PAGE_BYTES and weight <= left[test.bad]
        left[test.bad] -= weight if drawn else 0
        one = _section(test, captures=drawn, folded=not test.bad and len(tests) > 1)
        size += len(one)
        yield one


def _section(test: Test, *, captures: bool, folded: bool) -> Markup:
    """A file of the run that is not as we write them costs its test's section, and no page."""
    try:
        return section(test, captures=captures, folded=folded)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        told = f"This cannot be rendered: a file of {test.case.directory} is not as it was written ({error!r})."
        head = tag("h3", tag("span", test.outcome, class_="word"), " ", test.nodeid)
        return tag("article", head, tag("p", told), id=anchor(test.nodeid), class_=test.outcome)


def _tally(tests: list[Test]) -> str:
    counts = Counter(test.outcome for test in tests)
    return ", ".join(f"{counts[outcome]} {WORDS[outcome]}" for outcome in ORDER if counts[outcome]) or "no tests"


def _summary(told: Told) -> Iterator[Inside]:
    started = told.manifest.get("started_ns")
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(started / 1e9)) if isinstance(started, int) else "?"
    ended = told.manifest.get("ended_ns")
    state = (
        f"took {(ended - started) / 1e9:.1f} s"
        if isinstance(ended, int) and isinstance(started, int)
        else "is going on" if told.going_on else "was killed"
    )  # fmt: skip
    yield tag("p", f"Began {when}, {state}. {_tally(told.tests)}.")
    counts = Counter(test.outcome for test in told.tests)
    yield tag(
        "ul",
        *(
            tag("li", tag("b", str(counts[outcome])), WORDS[outcome], class_=outcome)
            for outcome in ORDER
            if counts[outcome]
        ),
        class_="tally",
    )


def _troubles(told: Told) -> Iterator[Inside]:
    """What did not pass, whose fault it is, and where it is told."""
    bad = [test for test in told.tests if test.bad]
    if bad:
        yield tag("h2", "What did not pass")
        whose = Counter(test.kind for test in bad)
        yield listed(
            joined((tag("strong", f"{number} "), FAULTS.get(kind or "", "nobody has told whose fault")))
            for kind, number in whose.items()
        )
        rows = [
            (
                tag("span", test.outcome, class_=f"word {test.outcome}"),
                test.kind or "-",
                tag("a", test.nodeid, href=f"#{anchor(test.nodeid)}"),
                test.reason,
            )
            for test in bad
        ]
        yield table("tests that did not pass", ("outcome", "whose fault", "test", "why"), rows, stacked=True)
    for topology, fault in told.lab_faults:
        yield tag("h3", f"The lab of {topology} could not be had")
        yield tag("p", code(f"{fault.get('kind')}: {fault.get('message')}"))


def _machine(told: Told) -> Iterator[Inside]:
    names = ("hopscope", "python", "kernel", "machine", "cpus", "root", "replay_of")
    rows = [(name, str(told.manifest[name])) for name in names if told.manifest.get(name) is not None]
    rows.append(("arguments", " ".join(map(str, told.manifest.get("arguments", [])))))
    rows += sorted({row for test in told.tests for row in _suts(test.entry)})
    yield tag("h2", "What ran")
    yield details("machine, call and binaries", table("as the run says", ("what", "value"), rows))


def _suts(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, facts in entry.get("suts", {}).items():
        module = facts.get("module") or {}
        told = (facts.get("version"), module.get("git"), str(module.get("sha256") or facts.get("sha256") or "")[:16])
        yield f"SUT {name}", " ".join(str(each) for each in told if each)
