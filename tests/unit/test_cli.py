"""The command as a user calls it: output, exit codes, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hopscope import cli
from hopscope.lab.preflight import Capability
from hopscope.report import preflight

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = cli.main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.mark.parametrize("placement", ["plain", "stamp", "hold"])
def test_golden_captures_pass_with_their_claim(capsys: pytest.CaptureFixture[str], placement: str) -> None:
    code, out, _ = run(capsys, "judge", str(CAPTURES / placement), "--expect", placement)
    assert code == 0
    assert "PASS" in out


def test_a_claim_that_does_not_hold_exits_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "judge", str(CAPTURES / "plain"), "--expect", "stamp", "--json")
    assert code == 1
    document = json.loads(out)
    assert {v["check"]: v["outcome"] for v in document["verdicts"]}["placement"] == "FAIL"
    assert document["folder"] == str(CAPTURES / "plain")


def test_the_kernel_that_carried_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "judge", str(CAPTURES / "foreign-naive"))
    assert code == 1
    assert re.search(r"^FAIL +carried_by ", out, re.MULTILINE)


def test_the_first_flow_that_failed_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "judge", str(CAPTURES / "foreign-naive"))
    drawn = out.partition("the first flow that failed:\n")[2]
    assert drawn.startswith("172.31.7.20:51000 > 172.31.99.4:9443")
    assert re.search(r"^> +\d", drawn, re.MULTILINE)  # a frame that the evidence names
    assert "the first flow that failed" not in run(capsys, "judge", str(CAPTURES / "stamp"))[1]


def test_one_flow_is_judged_alone_and_told_whole(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "judge", str(CAPTURES / "stamp"), "--flow", "2")
    assert code == 0
    assert "1 flows, 1 whole: 1 stamp" in out
    assert re.search(r"^repeats_down +1$", out, re.MULTILINE)
    assert "10.1.0.10:40001 > 10.1.2.10:8080   stamp, translated by servernic" in out
    assert run(capsys, "judge", str(CAPTURES / "stamp"), "--flow", "77777")[0] == 64


def test_workers_come_to_the_same_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    judge = ("judge", str(CAPTURES / "stamp"), "--json")
    whole, parts = (json.loads(run(capsys, *judge, *more)[1]) for more in ((), ("--workers", "2")))
    columns = ("check", "outcome", "judged", "failed")
    assert [[v[c] for c in columns] for v in whole["verdicts"]] == [[v[c] for c in columns] for v in parts["verdicts"]]
    assert parts["notes"][-1] == "judged in 2 shards"
    assert whole["latencies"] == parts["latencies"]
    assert run(capsys, "judge", str(CAPTURES / "stamp"), "--workers", "0")[0] == 64


def test_without_dask_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    code, _, err = run(capsys, "judge", str(CAPTURES / "stamp"), "--dask", "processes")
    assert code == 2
    assert "dask is not there: pip install 'hopscope[dask]'" in err


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_shards_by_dask_come_to_the_same_verdicts(tmp_path: Path) -> None:
    """Dask is installed for this test alone, from the extra."""
    extra = tomllib.loads((CAPTURES.parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), *extra["dask"]]
    subprocess.run(pip, check=True, timeout=400)
    beside = {**os.environ, "PYTHONPATH": str(site)}

    def judged(*more: str) -> dict[str, object]:
        argv = [sys.executable, "-m", "hopscope", "judge", str(CAPTURES / "stamp"), "--json", *more]
        done = subprocess.run(argv, env=beside, capture_output=True, text=True, timeout=100, check=True)
        document: dict[str, object] = json.loads(done.stdout)
        return document

    wanted = judged("--workers", "2")
    for scheduler in ("threads", "processes"):
        assert judged("--workers", "2", "--dask", scheduler) == wanted
    with subprocess.Popen([sys.executable, "-c", CLUSTER], env=beside, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as cluster:  # fmt: skip
        assert cluster.stdout is not None
        address = cluster.stdout.readline().strip()
        assert judged("--workers", "2", "--dask", address) == wanted
        cluster.communicate(timeout=60)
    argv = [sys.executable, "-m", "hopscope", "judge", str(CAPTURES / "stamp"), "--dask", address]
    gone = subprocess.run(argv, env=beside, capture_output=True, text=True, timeout=100)
    assert (gone.returncode, "Traceback" in gone.stderr) == (2, False)
    assert f"no Dask cluster at {address}" in gone.stderr


CLUSTER = """
import sys, distributed
if __name__ == "__main__":
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


def test_the_slowest_flows_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "judge", str(CAPTURES / "stamp"), "--top", "slowest=1")
    assert code == 0
    assert re.search(r"^2 +10\.1\.0\.10:40001 > .* stamp +20\.\d+ +60\.\d+ ", out, re.MULTILINE)
    document = json.loads(run(capsys, "judge", str(CAPTURES / "stamp"), "--top", "largest", "--json")[1])
    assert [row["number"] for row in document["flows_listed"]] == [1, 2]
    for wrong in ("quickest=3", "slowest=many"):
        assert run(capsys, "judge", str(CAPTURES / "stamp"), "--top", wrong)[0] == 64


def test_a_folder_of_folders_is_judged_one_by_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("plain", "stamp"):
        shutil.copytree(CAPTURES / name, tmp_path / name)
    code, out, _ = run(capsys, "judge", str(tmp_path), "--json")
    assert code == 0
    assert [Path(each["folder"]).name for each in json.loads(out)] == ["plain", "stamp"]


def test_a_run_is_judged_by_its_windows_and_not_by_its_probe(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    shutil.copytree(CAPTURES / "stamp", tmp_path / "tests" / "a" / "capture-1")
    shutil.copytree(CAPTURES / "plain", tmp_path / "labs" / "chain" / "probe")
    code, out, _ = run(capsys, "judge", str(tmp_path))
    assert code == 0
    assert "== tests/a/capture-1" in out
    assert "probe" not in out


@pytest.mark.parametrize(
    ("told", "code"),
    [('[{"claim": "hold"}, {"claim": null}]', 1), ('[{"claim": "stamp"}]', 0), ("[{", 0),
     ('[{"claim": "hold"}, {"claim": "stamp"}]', 0), ('["x"]', 0)],
    ids=["wrong", "right", "damaged", "two", "strange"],
)  # fmt: skip
def test_a_window_is_held_to_the_placement_that_its_test_claimed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, told: str, code: int
) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    window = tmp_path / "tests" / "a" / "capture-1"
    shutil.copytree(CAPTURES / "stamp", window)
    (window / "verdicts.json").write_text(told)
    assert run(capsys, "judge", str(tmp_path))[0] == code
    assert run(capsys, "judge", str(tmp_path), "--expect", "stamp")[0] == 0, "a claim of one's own counts"


def test_a_run_is_found_by_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_directory = tmp_path / ".hopscope" / "runs" / "latest"
    shutil.copytree(CAPTURES / "stamp", run_directory / "tests" / "a" / "capture-1")
    (run_directory / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "judge", "latest")
    assert code == 0
    assert "== tests/a/capture-1" in out


def test_a_mistake_of_ours_is_not_the_product_s(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistake(path: Path, expect: str | None) -> None:
        raise KeyError("oops")

    monkeypatch.setattr("hopscope.report.judgement.judge_trace", mistake)
    assert cli.main(["judge", str(CAPTURES / "plain")]) == 3
    assert "nothing may be concluded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path / "absent", "no such file or folder"),
        (lambda path: path, "no captures; a bare folder has files named HOST-ANYTHING.pcap"),
        (lambda path: shutil.copy(CAPTURES / "plain" / "client-eth0.pcap", path / "x.pcap"), "is a file"),
    ],
    ids=["absent", "empty", "file"],
)
def test_what_cannot_be_judged_is_a_usage_error_with_its_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, make, says: str
) -> None:
    code, out, err = run(capsys, "judge", str(make(tmp_path)))
    assert code == 64
    assert says in err
    assert not out


def test_a_file_that_is_no_capture_is_inconclusive(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "client-eth0.pcap").write_bytes(b"hello, I am not a capture")
    code, _, err = run(capsys, "judge", str(tmp_path))
    assert code == 3
    assert "client-eth0.pcap" in err


@pytest.mark.parametrize("arguments", [[], ["judge"], ["judge", "x", "--expect", "stmap"], ["jugde", "x"]])
def test_wrong_usage_exits_with_sixty_four(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, _, err = run(capsys, *arguments)
    assert code == 64
    assert "usage: hopscope" in err


CAN = Capability("veth", True, "no links", "modprobe veth", required=True)
CANNOT = Capability("netem", False, "a delay line takes its place", "modprobe sch_netem", detail="unknown qdisc")
MUST = Capability("nft", False, "no rules", "apt-get install nftables", required=True)


def test_preflight_says_what_is_lost_and_what_mends_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "preflight", lambda: [CAN, CANNOT])
    code, out, _ = run(capsys, "preflight")
    assert code == 0
    assert out.splitlines()[:2] == ["yes  veth", "NO   netem"]
    assert "netem: a delay line takes its place\n    seen:   unknown qdisc\n    remedy: modprobe sch_netem" in out
    assert out.endswith("labs can be built here; 1 of 2 capabilities are there\n")


def test_preflight_exits_with_two_when_no_lab_can_be_built(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "preflight", lambda: [CAN, MUST])
    code, out, _ = run(capsys, "preflight", "--json")
    assert code == 2
    assert [each["name"] for each in json.loads(out) if not each["present"]] == ["nft"]
