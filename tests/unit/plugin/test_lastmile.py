"""What a failing test of a tunnel is told by itself, and the fixture ``lastmile``: looks and repairs are made up."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.errors import EnvironmentFault
from hopscope.lastmile import faults, look, planner
from hopscope.lastmile.infer import infer
from hopscope.model.laid import lay
from hopscope.plugin.lastmile import LastMile, explain
from support.lastmile import TOPOLOGY, Broken

pytest_plugins = ["pytester"]

SMALL = "left to right small"


@pytest.fixture
def tunnel() -> Any:
    lab = SimpleNamespace(topology=TOPOLOGY, hosts={"left": None, "right": None})
    return SimpleNamespace(running=SimpleNamespace(lab=lab, laid=lay(TOPOLOGY, faults.sut())))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Broken:
    """Pings of one way are not answered; a repair mends it."""
    made = Broken()
    made.lose(SMALL, after=2)
    made.reports["right"]["before"]["sysctl"]["net/ipv4/icmp_echo_ignore_all"] = "1"

    def mend(lab: Any, ground: Any, view: Any = None, **how: Any) -> planner.Outcome:
        view = view or made.view()
        (finding,) = infer(view)
        step = planner.Step(finding, finding.settings, ("0",), view.failing, frozenset(), True)
        return planner.Outcome([finding], [], Broken().view(), [step])

    monkeypatch.setattr(look, "look", lambda hosts, ground, **how: made.view())
    monkeypatch.setattr(planner, "mend", mend)
    return made


@pytest.mark.parametrize(
    ("repair", "said", "unsaid"),
    [
        ("off", "1. echo-ignored on right", "would set"),
        ("dry-run", "would set right: sysctl net.ipv4.icmp_echo_ignore_all = 0", "resolved by"),
        ("apply", "resolved by mending: echo-ignored on right", "not resolved"),
    ],
)
def test_a_failing_test_is_told_the_cause(
    tunnel: Any, broken: Broken, tmp_path: Path, repair: str, said: str, unsaid: str
) -> None:
    told = explain(tunnel, tmp_path, repair)
    assert said in told
    assert unsaid not in told
    kept = json.loads((tmp_path / "lastmile.json").read_text())
    assert kept["failing"] == [SMALL]
    assert (kept["repair"] is not None) == (repair == "apply")


def test_what_cannot_be_looked_at_is_said_and_hides_no_failure(
    tunnel: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def blind(*_: Any, **__: Any) -> None:
        raise EnvironmentFault("python3 is not there", host="right")

    monkeypatch.setattr(look, "look", blind)
    assert explain(tunnel, tmp_path, "apply").startswith("the last mile could not be looked at: ")
    assert list(tmp_path.iterdir()) == []


def test_the_fixture_diagnoses_and_repairs(tunnel: Any, broken: Broken) -> None:
    lastmile = LastMile(tunnel)
    assert [each.cause for each in lastmile.diagnose()] == ["echo-ignored"]
    assert lastmile.repair().conclusion() == "resolved by mending: echo-ignored on right"


FAILING = """
    from types import SimpleNamespace
    import pytest
    import hopscope.plugin

    class Running:
        pass

    hopscope.plugin._tunnel_class = lambda: Running
    hopscope.plugin.explain = lambda tunnel, directory, repair: f"told in {directory.name}"

    @pytest.fixture
    def tunnel(test_directory):
        return SimpleNamespace(running=Running())

    def test_x(tunnel):
        assert not "carried"
    """


def test_what_is_found_out_lies_in_the_folder_of_the_test_that_failed(pytester: Any, run: Any) -> None:
    pytester.makepyfile(test_it=FAILING)
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*hopscope: the last mile*", "told in test_it.test_x"])
    assert [each.name for each in pytester.path.glob(".hopscope/runs/2*/tests/*")] == ["test_it.test_x"]
