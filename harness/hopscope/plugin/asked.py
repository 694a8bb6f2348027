"""``--lab-sut``, checked before anything is built: a name that means nothing on any topology is wrong usage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hopscope.model.sut import Sut
    from hopscope.model.topology import Topology
    from hopscope.plugin.options import LabOptions


def check(config: pytest.Config, options: LabOptions, items: Iterable[pytest.Item]) -> None:
    """Raise pytest.UsageError when ``--lab-sut`` can be found for none of the collected tests on a chain.

    Workers of pytest-xdist leave it to the tests themselves: an error during their collection would be one of xdist's.
    """
    if options.sut is None or hasattr(config, "workerinput"):
        return
    places = {found for item in items if (found := _place(item)) is not None}
    problems = dict.fromkeys(_problem(config, options, *place) for place in sorted(places, key=str))
    if problems and None not in problems:
        raise pytest.UsageError(f"--lab-sut {options.sut}: " + "; ".join(map(str, problems)))


def _place(item: pytest.Item) -> tuple[str, Path | None, Path] | None:
    """The topology that a test asks for, the folder it is looked up in, and the test's own."""
    callspec = getattr(item, "callspec", None)
    wanted = None if callspec is None else callspec.params.get("chain")
    return None if wanted is None else (wanted[0], wanted[1], item.path.parent)


def _problem(config: pytest.Config, options: LabOptions, wanted: str, beside: Path | None, own: Path) -> str | None:
    from hopscope.errors import HopscopeError, UsageError
    from hopscope.plugin import chains, suts

    try:
        topology, source = chains.topology_of(options, wanted, beside)
    except HopscopeError:
        return None  # for the test to tell: that is another mistake

    def ask(name: str, topology: Topology) -> Sut | None:
        found: Sut | None = config.hook.pytest_hopscope_sut(config=config, name=name, topology=topology)
        return found

    try:
        topology.boxes(suts.find(str(options.sut), topology, (own, config.rootpath, source.parent), ask=ask))
    except UsageError as error:
        return error.message
    return None
