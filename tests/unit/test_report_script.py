"""``make report``: what it needs, and what it takes out of Allure's page."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "report.py"

specification = spec_from_file_location("report_script", SCRIPT)
assert specification is not None
assert specification.loader is not None
report = module_from_spec(specification)
specification.loader.exec_module(report)

PAGE = """<body><script src="app.js"></script>
<script async src="https://www.googletagmanager.com/gtag/js?id=G-X"></script>
<script>
 function gtag(){dataLayer.push(arguments);}
 gtag('config', 'G-X');
</script>
<script>window.reportOptions = {}</script></body>"""


def test_scripts_that_tell_others_are_taken_out_and_no_other():
    assert report.stripped(PAGE) == (
        '<body><script src="app.js"></script>\n<script>window.reportOptions = {}</script></body>'
    )


def test_one_that_would_be_left_is_refused():
    with pytest.raises(report.Absent, match="analytics"):
        report.stripped('<img src="https://www.googletagmanager.com/x.gif">')


@pytest.mark.parametrize(("there", "says"), [((), "nodejs npm"), (("node",), "recommends npm$")])
def test_without_node_it_says_what_to_install(there, says):
    with pytest.raises(report.Absent, match=says):
        report.tool(lambda name: name if name in there else None)


def test_without_results_it_says_what_to_run_and_ends_with_2(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "make demo" in done.stderr
    assert "Traceback" not in done.stderr


def test_legs_are_merged_each_under_its_name(tmp_path, capsys):
    for leg in ("results-one", "results-two", "results-empty"):
        (tmp_path / leg).mkdir()
    for leg in ("one", "two"):
        folder = tmp_path / f"results-{leg}"
        (folder / f"{leg}-result.json").write_text(
            json.dumps({"name": "x", "labels": [{"name": "suite", "value": "s"}]})
        )
        (folder / f"{leg}-attachment.txt").write_text(leg)
        (folder / "environment.properties").write_text(f"leg={leg}")
    into = tmp_path / "merged"
    into.mkdir()
    (into / "old-result.json").write_text("{}")
    assert report.merge(sorted(tmp_path.glob("results-*")), into) == ["one", "two"]
    assert {file.name for file in into.iterdir()} == {
        "one-result.json", "one-attachment.txt", "two-result.json", "two-attachment.txt",
    }  # fmt: skip
    labels = json.loads((into / "two-result.json").read_text())["labels"]
    assert labels == [{"name": "suite", "value": "s"}, {"name": "leg", "value": "two"}]
    assert "no results in" in capsys.readouterr().err


def test_legs_are_told_to_allure(tmp_path, monkeypatch):
    seen = {}
    (tmp_path / "x-result.json").write_text("{}")
    (tmp_path / "report").mkdir()

    def run(command, timeout, environment):
        seen.update(environment)
        (tmp_path / "report").mkdir()
        (tmp_path / "report" / "index.html").write_text(PAGE)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(report, "tool", lambda which: Path("cli.js"))
    monkeypatch.setattr(report, "_run", run)
    report.build(tmp_path, tmp_path / "report", ["one", "two"])
    assert (seen["HOPSCOPE_REPORT_LEGS"], seen["HOPSCOPE_REPORT_SINGLE"]) == ("one two", "")
    report.build(tmp_path, tmp_path / "report", single=True)
    assert (seen["HOPSCOPE_REPORT_LEGS"], seen["HOPSCOPE_REPORT_SINGLE"]) == ("", "1")
    config = (report.SOURCE / report.CONFIG).read_text()
    assert all(name in config for name in seen if name.startswith("HOPSCOPE_REPORT_"))


def test_allure_is_pinned_and_its_lock_names_no_registry():
    folder = ROOT / "fixtures" / "allure"
    package = json.loads((folder / "package.json").read_text())
    lock = json.loads((folder / "package-lock.json").read_text())
    (version,) = package["dependencies"].values()
    assert version[0].isdigit()
    assert lock["packages"]["node_modules/allure"]["version"] == version
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert not [name for name, entry in packages.items() if "resolved" in entry]
    assert not [name for name, entry in packages.items() if "integrity" not in entry]
