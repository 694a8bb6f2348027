"""Golden traces for the tests of checks: built once for each recipe, copied before a test changes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hopscope.checks.check import Check
from hopscope.checks.verdict import Outcome, Verdict
from hopscope.wire import pcap
from hopscope.wire.packets import Packets
from hopscope.wire.trace import Trace
from support import golden
from support.golden import Chain, Recipe

_built = cache(golden.build)
_parsed: dict[bytes, Packets] = {}
_unchanged: dict[tuple[Recipe, str], Trace] = {}


@pytest.fixture(scope="module", autouse=True)
def _maps_of_one_module_at_a_time() -> Iterator[None]:
    """Each capture that is kept holds a mapped file open."""
    yield
    _parsed.clear()
    _unchanged.clear()


@pytest.fixture(autouse=True)
def _equal_files_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutation changes one file of six: the other five need not be decoded again for each test."""

    def every(paths: Sequence[Path]) -> Iterator[Packets]:
        for path in paths:
            content = hashlib.sha256(path.read_bytes()).digest()
            if content not in _parsed:
                _parsed[content] = pcap.read(path)
            yield _parsed[content]

    monkeypatch.setattr(pcap, "every", every)


@pytest.fixture(scope="module")
def _captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is written anew by each test; what was mapped of earlier files stays as it was."""
    return tmp_path_factory.mktemp("captures")


@pytest.fixture
def load(_captures: Path) -> Callable[..., Trace]:
    """``load(recipe, change, **how)``: the golden trace of a recipe after ``change(chain)``, through files."""

    def written(chain: Chain, how: dict[str, Any]) -> Path:
        for file in _captures.iterdir():
            file.unlink()
        return golden.write(chain, _captures, **how)

    def loaded(recipe: Recipe, change: Callable[[Chain], object] | None = None, **how: Any) -> Trace:
        if change is None:
            known = recipe, repr(how)
            if known not in _unchanged:
                _unchanged[known] = Trace.load(written(_built(recipe), how))
            return _unchanged[known]
        chain = golden.copied(_built(recipe))
        change(chain)
        return Trace.load(written(chain, how))

    return loaded


@pytest.fixture
def rejects(load: Callable[..., Trace]) -> Callable[..., Verdict]:
    """Judge a changed golden trace: the check must pass on the unchanged one and fail for the reason on this one."""

    def judged(check: Check, recipe: Recipe, change: Callable[[Chain], object], reason: str) -> Verdict:
        verdict = check(load(recipe, change))
        told = "\n".join([verdict.summary, *(f"{item.tap} {item.expected} | {item.seen}" for item in verdict.evidence)])
        assert verdict.outcome is Outcome.FAIL, told
        assert reason in told, told
        assert verdict.evidence, "a failure without evidence"
        assert verdict.failed > 0
        return verdict

    return judged
