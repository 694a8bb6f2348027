"""A session's lab comes up and goes: told while it happens, remembered where it failed, kept where that is asked."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hopscope.errors import HarnessFault, HopscopeError, UsageError
from hopscope.plugin import ended
from hopscope.plugin.session import Session
from hopscope.run.phase import Phase
from hopscope.run.rundir import note_fault, write_json

if TYPE_CHECKING:
    from hopscope.checks.check import Check
    from hopscope.model.topology import Topology
    from hopscope.plugin.chains import Chain


@contextmanager
def building(session: Session, key: Any) -> Iterator[Chain]:
    """The chain of a key (what a test wants, and the folder to look for it). Raises what kept it from being built."""
    from hopscope.lab import footprint
    from hopscope.plugin import chains

    ended.listen()
    wanted, beside = key
    say, item = session.teller.say, session.item
    try:
        topology, source = chains.topology_of(session.options, wanted, beside)
        session.lab_directories[key] = session.run.lab_directory(topology.name)
        session.run.enter(Phase.BUILDING)
        say(f"{'using' if session.options.use else 'building'} {session.options.use or topology.name}")
        context = chains.acquire(session.options, session.run, topology, source, _hooks(session, key))
        built = context.__enter__()
    except BaseException as error:
        if item is not None and isinstance(error, Exception):
            session.ahead.unbuilt(item, error)
        if isinstance(error, HopscopeError) and key in session.lab_directories:
            _explain(session, session.lab_directories[key], error)
        raise
    if item is not None:
        session.ahead.built(item)
    say(f"{built.lab.name} is up: idle RTT {built.rtt_ns / 1e6:.2f} ms, every hop seen on both taps")
    session.chains[key] = built
    made = footprint.of(built.lab)
    try:
        yield built
    except BaseException:
        context.__exit__(*sys.exc_info())
        raise
    finally:
        del session.chains[key]
    session.run.enter(Phase.TEARING_DOWN)
    context.__exit__(None, None, None)
    if made is not None and not session.keeps(key) and (left := made.left()):
        raise HarnessFault(f"lab {built.lab.name} has ended and left: {'; '.join(left)}")


def _explain(session: Session, directory: Path, error: HopscopeError) -> None:
    """Leave the fault in the lab's folder, and what this machine can do where that may be why."""
    note_fault(directory, error)
    if not isinstance(error, UsageError):
        write_json(directory / "preflight.json", [asdict(each) for each in session.ahead.capabilities().values()])


def _hooks(session: Session, key: Any) -> Any:
    from hopscope.plugin.chains import Hooks

    config = session.config

    def kept(text: str) -> None:
        session.kept.append(text)
        session.teller.say(text)

    return Hooks(
        provider=lambda name: config.hook.pytest_hopscope_provider(config=config, name=name),
        sut=lambda name, topology: config.hook.pytest_hopscope_sut(config=config, name=name, topology=topology),
        keep=lambda: session.keeps(key),
        kept=kept,
    )


def asked_checks(config: pytest.Config, topology: Topology) -> tuple[Check, ...]:
    """The checks of outsiders, in the order of their plugins."""
    found: list[Check] = []
    for answer in config.hook.pytest_hopscope_check(config=config, topology=topology):
        found += answer if isinstance(answer, Iterable) else [answer]
    return tuple(found)
