"""What is known before a test is set up and makes that pointless: a capability that is missing, a lab that could not be
built before. One cause is told once; the tests that share it are skipped with it, or fail with it when strict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _pytest.outcomes import Skipped

from hopscope.errors import HopscopeError

if TYPE_CHECKING:
    from hopscope.lab.preflight import Capability


class NotRun(Skipped):
    """The test was not run, because of the machine or its lab."""


class Ahead:
    """``strict``: what keeps a test from being run fails it."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._unbuilt: dict[Any, tuple[str, str]] = {}
        self._capabilities: dict[str, Capability] | None = None

    def unbuilt(self, item: pytest.Item, error: BaseException) -> None:
        """The lab of a test could not be built."""
        cause = str(error) if isinstance(error, HopscopeError) else f"{type(error).__name__}: {error}"
        self._unbuilt.setdefault(lab_of(item), (item.nodeid, cause))

    def built(self, item: pytest.Item) -> None:
        self._unbuilt.pop(lab_of(item), None)

    def check(self, item: pytest.Item) -> None:
        """Skip or fail a test that needs no set-up to be known to go wrong."""
        missing = [text for name in required(item) if (text := self._missing(name)) is not None]
        if missing:
            self.refuse(f"needs {'; '.join(missing)}")
        first, cause = self._unbuilt.get(lab_of(item), (item.nodeid, ""))
        if first != item.nodeid:
            self.refuse(f"its lab could not be built (first met by {first}): {cause}")

    def capabilities(self) -> dict[str, Capability]:
        """What `hopscope preflight` says, by name; tried once in a session, which takes about a second."""
        if self._capabilities is None:
            from hopscope.lab.preflight import preflight

            self._capabilities = {each.name: each for each in preflight()}
        return self._capabilities

    def refuse(self, reason: str) -> None:
        """Skip the test that runs, or fail it where that is strict."""
        if self._strict:
            pytest.fail(reason, pytrace=False)
        raise NotRun(reason)

    def _missing(self, name: str) -> str | None:
        """What is wrong with a capability, in words."""
        found = self.capabilities()[name]
        if found.present:
            return None
        seen = found.detail.splitlines()[:1]
        return f"{name} ({''.join(seen)}; remedy: {found.remedy})"


def required(item: pytest.Item) -> list[str]:
    """What the markers of a test require, in order, each once."""
    return list(dict.fromkeys(name for marker in item.iter_markers("lab_requires") for name in marker.args))


def lab_of(item: pytest.Item) -> Any:
    """What tells the labs of a session apart: the parameter of ``chain``, or None for a test without a lab."""
    specification = getattr(item, "callspec", None)
    return None if specification is None else specification.params.get("chain")
