"""Repairs as transactions, on hosts of nothing: kept where fewer probes fail, else undone exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.errors import EnvironmentFault
from hopscope.lab.setting import read_back
from hopscope.lastmile import planner
from hopscope.lastmile.finding import Finding
from support.lastmile import GROUND, Broken

SMALL, BACK = "left to right small", "right to left small"


@dataclass
class Switch:
    """A fact in ``world``; one that is stuck stays, one that sticks does not come back."""

    world: dict[str, str]
    name: str
    wanted: str = "on"
    host: str = "right"
    stuck: bool = False
    sticks: bool = False
    before: list[str] = field(default_factory=list)

    def read(self, executor: Any) -> str:
        return self.world.get(self.name, "off")

    def apply(self, executor: Any) -> None:
        self.before.append(self.read(executor))
        if not self.stuck:
            self.world[self.name] = self.wanted

    def verify(self, executor: Any) -> str:
        return read_back(self, executor)

    def undo(self, executor: Any) -> None:
        if not self.sticks:
            self.world[self.name] = self.before.pop()


def finding(cause: str, *settings: Switch, explains: tuple[str, ...] = (SMALL,)) -> Finding:
    return Finding(cause, "right", "firewall", cause, ("seen",), settings=settings, explains=explains)


class Lab:
    """What fails, and what is found, follows from the facts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: Any, found: Any) -> None:
        self.world: dict[str, str] = {}
        self.hosts = {"right": SimpleNamespace()}
        monkeypatch.setattr(planner, "look", lambda hosts, ground: self.view(failing(self.world)))
        monkeypatch.setattr(planner, "infer", lambda view: found(self.world) if view.failing else [])

    @staticmethod
    def view(failing: set[str]) -> Any:
        broken = Broken()
        broken.lose(*failing, after=2)
        return broken.view()

    def mend(self) -> planner.Outcome:
        return planner.mend(self, GROUND)  # type: ignore[arg-type]


def on(world: dict[str, str], name: str) -> bool:
    return world.get(name) == "on"


def test_what_helps_is_kept_and_a_second_run_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch, lambda w: set() if on(w, "a") else {SMALL}, lambda w: [finding("firewall", a)])
    a = Switch(lab.world, "a")
    outcome = lab.mend()
    assert (outcome.conclusion(), lab.world) == ("resolved by mending: firewall on right", {"a": "on"})
    assert lab.mend().steps == []


@pytest.mark.parametrize(
    ("failing", "why"),
    [
        (lambda w: {SMALL}, "no probe succeeds that failed"),
        (lambda w: {BACK} if on(w, "a") else {SMALL}, "others fail now"),
        (lambda w: {SMALL, BACK} if on(w, "a") else {SMALL}, "no probe succeeds that failed"),
    ],
    ids=["no change", "another fails", "more fail"],
)
def test_what_does_not_help_is_undone(monkeypatch: pytest.MonkeyPatch, failing: Any, why: str) -> None:
    lab = Lab(monkeypatch, failing, lambda w: [finding("firewall", a)])
    a = Switch(lab.world, "a")
    (step,) = lab.mend().steps
    assert (step.kept, step.why, lab.world) == (False, why, {"a": "off"})


def test_what_lies_behind_joins_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two chains drop the same packets: either rule alone changes nothing."""

    def found(world: dict[str, str]) -> list[Finding]:
        return [finding("firewall", second if on(world, "a") else first)]

    lab = Lab(monkeypatch, lambda w: set() if on(w, "a") and on(w, "b") else {SMALL}, found)
    first, second = Switch(lab.world, "a"), Switch(lab.world, "b")
    outcome = lab.mend()
    assert not outcome.failing
    assert [setting.name for step in outcome.kept for setting in step.settings] == ["a", "b"]


def test_a_setting_that_does_not_take_is_told_and_the_rest_of_its_group_is_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = Lab(monkeypatch, lambda w: {SMALL}, lambda w: [finding("firewall", a, b)])
    a, b = Switch(lab.world, "a"), Switch(lab.world, "b", stuck=True)
    (step,) = lab.mend().steps
    assert (step.kept, step.why) == (False, "b did not take")
    assert lab.world == {"a": "off", "b": "off"}


def test_an_undo_that_fails_is_a_fault_with_both_values(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch, lambda w: {SMALL}, lambda w: [finding("firewall", a)])
    a = Switch(lab.world, "a", sticks=True)
    with pytest.raises(EnvironmentFault, match="a could not be brought back") as caught:
        lab.mend()
    assert caught.value.evidence == "before: off\nnow:    on"


def test_what_is_left_of_a_moment_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a repair one probe fails once more, and nothing explains it."""
    looks = []

    def failing(world: dict[str, str]) -> set[str]:
        looks.append(dict(world))
        mended = sum(on(each, "a") for each in looks)
        return {SMALL, BACK} if not mended else {BACK} if mended == 1 else set()

    lab = Lab(monkeypatch, failing, lambda w: [] if on(w, "a") else [finding("firewall", a)])
    a = Switch(lab.world, "a")
    assert lab.mend().conclusion() == "resolved by mending: firewall on right"
