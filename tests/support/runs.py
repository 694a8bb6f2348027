"""Run directories as a session leaves them, made from golden captures: for what renders them."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

from hopscope.checks.judge import judge_folder
from hopscope.report.evidence import Case
from hopscope.run import story
from hopscope.run.rundir import FACTS, MANIFEST, OUTCOMES, Run, write_json
from support import golden_folders

SETTING = {"host": "client", "name": "sysctl net.ipv4.ip_forward", "wanted": "1", "before": "0", "seen": "1"}
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\n"


def case(tmp_path: Path, folder: str = "stamp", *, expect: str | None = None, kind: str | None = None) -> Case:
    """A test of a run on captures of ``fixtures/captures``, judged with the claim ``expect``."""
    run = Run.create(tmp_path / "runs", {"hopscope": "0.1.0"})
    topology = {"name": "chain"}
    run.append("labs", {"topology": topology, "lab": "chain-1", "provider": "netns", "settings": [SETTING]})
    lab, directory = run.lab_directory("chain"), run.test_directory("tests/integration/test_x.py::test_x")
    with story.step(lab, "Lab chain: hosts and links"):
        pass
    with story.step(directory, "SUT stamp started", sut="stamp", placement="stamp"):
        pass
    facts = {"test": "test_x", "topology": "chain", "lab": "chain-1", "rtt_ms": 20.31, "declared_rtt_ms": 20.0}
    write_json(directory / FACTS, facts)
    window = directory / "capture-1"
    shutil.copytree(golden_folders.ROOT / folder, window)
    write_json(window / "verdicts.json", _judged(folder, expect))
    (directory / "clientnic-stamp.out").write_text('{"event": "ready"}\n' + KEY + "password: hunter2\n")
    (directory / "clientnic-stamp.err").write_text("")
    message = "ordering FAIL: too late\n    one\n    two" if kind else ""
    return Case(run.directory, directory, lab, kind, message)


@cache
def _judged(folder: str, expect: str | None) -> list[dict[str, object]]:
    return [verdict.to_json() for verdict in judge_folder(golden_folders.ROOT / folder, expect).verdicts]


def ended(case: Case, outcome: str, reason: str = "", nodeid: str = "tests/integration/test_x.py::test_x") -> Path:
    """The run of this test, as its session leaves it when the test has come to ``outcome``."""
    assert case.directory is not None
    manifest = json.loads((case.run / MANIFEST).read_text())
    place = str(case.directory.relative_to(case.run))
    manifest.setdefault("tests", []).append({"test": nodeid, "directory": place, "lab": "chain-1", "suts": {}})
    write_json(case.run / MANIFEST, manifest)
    line = {"test": nodeid, "outcome": outcome, "kind": case.kind, "reason": reason, "verdicts": []}
    with (case.run / OUTCOMES).open("a") as file:
        file.write(json.dumps(line) + "\n")
    return case.run


def told(folder: Path) -> list[dict[str, object]]:
    """Verdicts as they were written into a folder of captures."""
    return json.loads((folder / "verdicts.json").read_text())
