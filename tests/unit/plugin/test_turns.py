"""Who may load the machine, with locks in a directory of the test's own."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import pytest

from hopscope.errors import HarnessFault
from hopscope.lab.wait import wait_until
from hopscope.plugin import turns
from hopscope.plugin.turns import Turns


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(turns.HELD, raising=False)
    return tmp_path


def silent(line: str) -> None:
    pass


def meet(monkeypatch: pytest.MonkeyPatch, first: dict[str, bool], second: dict[str, bool], *, sessions: bool) -> bool:
    """Whether the second may begin while the first is at it; two workers of one session, or two sessions."""
    monkeypatch.setattr(turns, "PATIENCE_S", 0.15)
    one, other = Turns("one", silent), Turns("two" if sessions else "one", silent)
    with one.turn(**first):
        monkeypatch.delenv(turns.HELD, raising=False)  # in one process: the other would take itself for a part of it
        try:
            with other.turn(**second):
                return True
        except HarnessFault:
            return False


BUDGET, LAB, PLAIN = ({"budget": b, "lab": lab} for b, lab in ((True, True), (False, True), (False, False)))


@pytest.mark.parametrize(
    ("first", "second", "sessions", "both"),
    [
        (BUDGET, BUDGET, True, False),
        (BUDGET, LAB, True, True),
        (BUDGET, BUDGET, False, False),
        (BUDGET, LAB, False, False),
        (LAB, BUDGET, False, False),
        (LAB, LAB, False, True),
        (BUDGET, PLAIN, False, True),
    ],
)
def test_who_may_run_beside_whom(
    monkeypatch: pytest.MonkeyPatch, first: dict[str, bool], second: dict[str, bool], sessions: bool, both: bool
) -> None:
    assert meet(monkeypatch, first, second, sessions=sessions) is both


def test_the_turn_comes_when_the_other_is_done_and_the_wait_is_told() -> None:
    said: list[str] = []
    begun = threading.Event()

    def second() -> None:
        with Turns("one", said.append).turn(budget=True, lab=True):
            begun.set()

    with Turns("one", silent).turn(budget=False, lab=True):
        thread = threading.Thread(target=second)
        thread.start()
        wait_until(lambda: said, timeout=5, what="the wait to be told")
        assert not begun.is_set()
    thread.join(timeout=5)
    assert begun.is_set()
    assert said == ["waiting for tests of the other workers"]


def test_a_session_inside_a_budget_test_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.1)
    with Turns(None, silent).turn(budget=True, lab=True):
        assert os.environ[turns.HELD] == str(os.getpid())
        with Turns(None, silent).turn(budget=True, lab=True):
            pass
    assert turns.HELD not in os.environ


def test_a_session_inside_a_test_gets_by_a_budget_test_that_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []

    def waiting() -> None:
        with Turns("one", said.append).turn(budget=True, lab=True):
            pass

    with Turns("one", silent).turn(budget=False, lab=True):
        thread = threading.Thread(target=waiting)
        thread.start()
        wait_until(lambda: said, timeout=5, what="the wait to be told")
        monkeypatch.delenv(turns.HELD, raising=False)  # all in one process: it would take itself for a part of it
        monkeypatch.setattr(turns, "PATIENCE_S", 0.1)
        with Turns(None, silent).turn(budget=True, lab=True):
            pass
    thread.join(timeout=5)


def test_the_locks_of_a_session_go_with_it(own_locks: Path) -> None:
    with Turns("one", silent).turn(budget=False, lab=True):
        pass
    turns.forget("one")
    turns.forget("one")
    assert list(turns.directory().iterdir()) == []


def test_a_directory_that_is_not_ours_is_refused(own_locks: Path) -> None:
    (own_locks / f"hopscope-{os.getuid()}").symlink_to(own_locks)
    with pytest.raises(HarnessFault, match="not a directory of ours"):
        turns.directory()


def test_one_worker_has_the_hosts_until_it_ends_and_the_next_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    one, other = (Turns("one", said.append, alone=name) for name in ("gw0", "gw1"))
    for _ in range(2):  # it keeps them between its tests
        with one.turn(budget=False, lab=True):
            pass
    with other.turn(budget=False, lab=False):
        pass
    monkeypatch.setattr(turns, "HOSTS_PATIENCE_S", 0.15)
    with pytest.raises(HarnessFault, match="its turn did not come"), other.turn(budget=True, lab=True):
        pass
    with one.turn(budget=True, lab=True):  # whoever waits has taken nothing else
        pass
    one.end()
    with other.turn(budget=False, lab=True):
        pass
    assert said == ["waiting for gw0, which has the hosts"]
    with Turns("two", said.append, alone="gw0").turn(budget=False, lab=True):
        pass


def test_as_many_workers_as_there_are_places_have_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    one, two, three = (Turns("one", said.append, alone=name, places=2) for name in ("gw0", "gw1", "gw2"))
    for each in (one, two):
        with each.turn(budget=False, lab=True):
            pass
    monkeypatch.setattr(turns, "HOSTS_PATIENCE_S", 0.15)
    with pytest.raises(HarnessFault, match="its turn did not come"), three.turn(budget=False, lab=True):
        pass
    assert said == ["waiting for gw0 and gw1, which have the hosts"]
    two.end()
    with three.turn(budget=False, lab=True), one.turn(budget=False, lab=True):
        pass
