"""What this process is doing now, in words, for whoever tells people: what may take long says so here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_open: list[Callable[[], str]] = []


@contextmanager
def doing(tell: Callable[[], str]) -> Iterator[None]:
    """While the block runs, ``tell`` says what it does; it may be asked from another thread."""
    _open.append(tell)
    try:
        yield
    finally:
        _open.remove(tell)


@contextmanager
def stages(what: str) -> Iterator[Callable[[str], object]]:
    """Yields a callable that is told of each stage of ``what``."""
    reached = [what]
    with doing(lambda: reached[-1]):
        yield lambda stage: reached.append(f"{what}: {stage}")


def now() -> str:
    """The outermost first; empty where nobody has said anything."""
    return ", ".join(tell() for tell in tuple(_open))
