"""``hopscope lastmile``: what it prints, writes and exits with; the lab and the looks are made up."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope import cli, data
from hopscope.lab import attached, staying
from hopscope.lastmile import faults, known, look, permanent, planner
from hopscope.lastmile.infer import infer
from support.lastmile import TOPOLOGY, Broken

SMALL = "left to right small"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Broken:
    made = Broken()
    lab = SimpleNamespace(topology=TOPOLOGY, hosts={})
    monkeypatch.setattr(staying, "find", lambda root, name: (tmp_path, SimpleNamespace(sut="bed")))
    monkeypatch.setattr(attached, "attach", lambda directory: lab)
    monkeypatch.setattr(data, "sut", lambda name, topology: faults.sut())

    def seen(hosts: Any, ground: Any, *, say: Any = lambda text: None, **how: Any) -> Any:
        say("everything listens")
        return made.view()

    monkeypatch.setattr(look, "look", seen)
    return made


def deaf_to_pings(broken: Broken) -> None:
    broken.lose(SMALL, after=2)
    broken.reports["right"]["before"]["sysctl"]["net/ipv4/icmp_echo_ignore_all"] = "1"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["lastmile", "mine", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_tunnel_that_carries_exits_0(broken: Broken, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 0
    assert "12 of 12 probes succeed" in out
    assert "evidence: snapshots; capture; nft trace; drop reasons" in out


def test_a_fault_exits_1_with_its_cause_and_changes_nothing(
    broken: Broken, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf_to_pings(broken)
    monkeypatch.setattr(planner, "mend", lambda *_, **__: pytest.fail("nobody asked for a repair"))
    code, out, _ = run(capsys)
    assert code == 1
    assert "1. echo-ignored on right (proven)" in out
    assert "would set right: sysctl net.ipv4.icmp_echo_ignore_all = 0" in out


def test_json_is_one_document(broken: Broken, capsys: pytest.CaptureFixture[str]) -> None:
    deaf_to_pings(broken)
    broken.reports["left"]["missing"]["drop reasons"] = "needs root of the machine"
    code, out, _ = run(capsys, "--json")
    told = json.loads(out)
    assert (code, told["failing"], told["findings"][0]["cause"]) == (1, [SMALL], "echo-ignored")
    assert told["sources"]["left"]["used"] == ["capture", "nft trace"]
    assert told["sources"]["right"]["used"] == ["capture", "nft trace", "drop reasons"]


def test_a_repaired_lab_is_no_pass_and_files_are_written(
    broken: Broken, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deaf_to_pings(broken)

    def mend(lab: Any, ground: Any, view: Any, **how: Any) -> planner.Outcome:
        (finding,) = infer(view)
        step = planner.Step(finding, finding.settings, ("0",), view.failing, frozenset(), True)
        return planner.Outcome([finding], [], Broken().view(), [step])

    monkeypatch.setattr(planner, "mend", mend)
    monkeypatch.setattr(permanent, "write", lambda folder, outcome, hosts: [folder / "right" / "README"])
    code, out, _ = run(capsys, "--repair", "--permanent", str(tmp_path / "files"))
    assert code == 1
    assert "resolved by mending: echo-ignored on right" in out
    assert f"wrote {tmp_path / 'files' / 'right' / 'README'}" in out


def test_files_without_a_repair_are_wrong_usage(broken: Broken, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "--permanent", "files")
    assert code == 64
    assert "give --repair with it" in err


@pytest.mark.parametrize(("left", "code"), [(frozenset(), 0), (frozenset({SMALL}), 1)])
def test_the_known_sequence_says_what_each_step_did(
    broken: Broken, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, left: frozenset[str], code: int
) -> None:
    step = known.KnownStep("routes", frozenset({SMALL}), left, ())
    monkeypatch.setattr(known, "run", lambda hosts, ground: [step])
    exited, out, _ = run(capsys, "--sequence", "known")
    assert (exited, out) == (code, f"{step}\n")


def test_on_a_terminal_a_checklist_is_told_as_it_goes(
    broken: Broken, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf_to_pings(broken)
    broken.reports["left"]["missing"]["qdiscs"] = "tc is not there"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, _ = run(capsys)
    lines = out.splitlines()
    assert "[ok] everything listens" in lines
    assert "[ok] routes: clean" in lines
    assert "[??] other filters: not seen: left: qdiscs: tc is not there" in lines
    assert lines[lines.index("[ok] routes: clean") + 1].startswith("[!!] kernel parameters: finding: right: ")
