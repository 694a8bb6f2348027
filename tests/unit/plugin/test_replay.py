"""``--lab-replay`` as a user calls it, on stored runs of golden captures. No lab is needed for any of this."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hopscope.errors import ProductFault
from support import golden, stored_runs
from support.golden_folders import SMALL
from support.stored_runs import digest, reached

pytest_plugins = ["pytester"]

TESTS = """
    import pytest
    from hopscope.checks.latency import budget
    pytestmark = pytest.mark.integration
    stamp = pytest.mark.parametrize("sut", ["stamp"])

    def one(traffic, trace, **claim):
        assert traffic.connections(count=2, rate=100).completed == 2
        trace().expect(**claim)

    @stamp
    def test_as_it_was(chain, traffic, trace, sut):
        assert (chain.rtt_ns, chain.topology.wan.impairment.rtt_ms) == (20_200_000, 20)
        one(traffic, trace, placement="stamp")
    @stamp
    def test_better_today(traffic, trace, sut): one(traffic, trace)
    @stamp
    def test_wrong_claim(traffic, trace, sut): one(traffic, trace, placement="hold")
    @stamp
    def test_budget(trace, sut): trace().expect(budget("ttfb"))
    @stamp
    def test_bad_checksum(traffic, trace, sut): one(traffic, trace, placement="stamp")
    @stamp
    def test_carried_by_the_kernel(traffic, sut): assert traffic.connections(count=2, rate=100).completed == 2
    def test_two_windows(capture, traffic, trace):
        one(traffic, trace, placement="plain")
        capture.open("hold")
        one(traffic, trace, placement="hold")
    @pytest.mark.parametrize("sut", ["/home/me/mine.yaml"])
    def test_sut_of_another_folder(trace, sut): trace().expect(placement="plain")
    def test_died(trace): trace()
    def test_rate(traffic): traffic.connections(60, 100)
    def test_impaired(chain, capture): assert (capture.chain.rtt_ns, chain.rtt_ns) == (40_000_000, 20_200_000)
    @pytest.mark.lab_uncaptured
    def test_uncaptured(capture, traffic): assert traffic.connections(count=1).completed == 1

    def test_other_arguments(traffic): traffic.connections(count=3, rate=100, response=7)
    @stamp
    def test_other_sut(traffic, sut): pass
    def test_goes_further(traffic):
        traffic.connections(count=2, rate=100)
        traffic.connections(count=5)
    @stamp
    def test_cut(trace, sut): trace()
    @stamp
    def test_changed(trace, sut): trace()
    @stamp
    def test_lost(trace, sut): trace()
    def test_report_changed(traffic): traffic.connections(count=2, rate=100)
    def test_calls_changed(traffic): pass

    def test_runs_a_command(client): client.run(["ip", "route"], timeout=3)
    def test_a_thread_runs_one(server):
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(1) as pool:
            pool.submit(server.spawn, ["sleep", "1"], name="x").result()
    def test_changes_the_lab(chain):
        with chain.lab.applied(chain.lab.impairment("wan", None)): pass
    def test_looks_at_the_lab(chain): assert chain.lab.proven
    def test_refuses_nothing(chain, sut):
        with pytest.raises(Exception): chain.host("client").put("a", "b")
    @pytest.mark.lab_requires("netem")
    def test_new(chain): pass
    def test_skipped_then(chain): pass
    def test_builds_its_own(): pass
    """

DIED = ProductFault("a box ended by itself: clientnic (stamp) with 7")

#: Outcome of each test in a replay, and words of its reason.
EXPECTED = {
    "test_as_it_was[stamp]": ("passed", ""),
    "test_better_today[stamp]": ("passed", ""),
    "test_wrong_claim[stamp]": ("failure", "placement FAIL"),
    "test_budget[stamp]": ("skipped", "(of ini ttfb_budget_ms)"),
    "test_bad_checksum[stamp]": ("failure", "checksums FAIL"),
    "test_carried_by_the_kernel[stamp]": ("error", "carried_by FAIL"),
    "test_two_windows": ("passed", ""),
    "test_sut_of_another_folder[/home/me/mine.yaml]": ("passed", ""),
    "test_died": ("failure", DIED.message),
    "test_rate": ("failure", "50.0 connections per second were started of 100 asked for"),
    "test_impaired": ("passed", ""),
    "test_uncaptured": ("passed", ""),
    "test_other_arguments": (
        "failure",
        "it called traffic.connections(count=2, response=1024), and now calls traffic.connections(count=3, response=7)",
    ),
    "test_other_sut[stamp]": ("error", "it called open(sut='hold'), and now calls open(sut='stamp')"),
    "test_goes_further": ("skipped", "INCONCLUSIVE: the stored test did not come to traffic.connections(count=5)"),
    "test_cut[stamp]": ("skipped", "INCONCLUSIVE: {run}/tests/test_mine.test_cut-stamp/capture-1/client-eth0.pcap is "),
    "test_changed[stamp]": ("skipped", "/capture-1/server-eth0.pcap has been changed since it was recorded"),
    "test_lost[stamp]": ("skipped", "/capture-1/taps.json was recorded and cannot be read: No such file"),
    "test_report_changed": ("skipped", "/connections-1.jsonl has been changed"),
    "test_calls_changed": ("skipped", "/calls.jsonl is not whole"),
    "test_runs_a_command": ("skipped", "needs a live lab: client.run(['ip', 'route'], timeout=3)"),
    "test_a_thread_runs_one": ("skipped", "needs a live lab: server.spawn(['sleep', '1'], name='x')"),
    "test_changes_the_lab": ("skipped", "needs a live lab: lab.impairment('wan', None)"),
    "test_looks_at_the_lab": ("skipped", "needs a live lab: lab.proven"),
    "test_refuses_nothing": ("skipped", "needs a live lab: client.put('a', 'b')"),
    "test_new": ("skipped", "not in the stored run"),
    "test_skipped_then": ("skipped", ", where it came to SKIPPED uncaptured: no compiler"),
    "test_builds_its_own": ("skipped", "needs a live lab: it builds its own"),
}


def carried() -> golden.Chain:
    """Plain TCP while a rewriter was on the path."""
    chain = golden.build(replace(SMALL, placement="plain"))
    chain.sidecar["sut"] = [
        {"event": "sut_started", "sut": "stamp", "placement": "stamp", "time_ns": golden.START_NS - 10**9}
    ]
    return chain


def stored(root: Path) -> Path:
    """A run of the tests above, and what has happened to it since."""
    run = stored_runs.StoredRunBuilder(root)
    plain, hold, stamp = (golden.build(replace(SMALL, placement=name)) for name in ("plain", "hold", "stamp"))
    bad = golden.copied(stamp)
    golden.change(bad, "server-eth0", "request", spoil="l4")
    tests = {}

    def test(name: str, sut: str | None = "kernel", chain: golden.Chain | None = plain) -> stored_runs.TestRecord:
        tests[name] = run.test(f"test_mine.py::{name}")
        tests[name].open(sut, chain)
        return tests[name]

    for name, chain, outcome, verdicts in (
        ("test_as_it_was[stamp]", stamp, "PASS", {"ordering": "PASS"}),
        ("test_better_today[stamp]", stamp, "FAIL", {"ordering": "FAIL", "delivery": "PASS"}),
        ("test_wrong_claim[stamp]", stamp, "FAIL", {"placement": "FAIL"}),
        ("test_budget[stamp]", stamp, "PASS", {"budget ttfb p50": "PASS"}),
        ("test_bad_checksum[stamp]", bad, "PASS", {"checksums": "PASS"}),
        ("test_carried_by_the_kernel[stamp]", carried(), "PASS", {}),
    ):
        each = test(name, "stamp", chain)
        each.connections(count=2, rate=100)
        each.close()
        run.add(each, outcome, **verdicts)
    two = test("test_two_windows")
    two.connections(count=2, rate=100)
    two.close()
    two.open("hold", hold)
    two.connections(count=2, rate=100)
    two.close()
    run.add(two)
    elsewhere = test("test_sut_of_another_folder[/home/me/mine.yaml]", "/home/other/mine.yaml")
    elsewhere.close()
    run.add(elsewhere)
    test("test_died").close(DIED)
    run.add(tests["test_died"], "FAIL")
    test("test_rate").connections(60, 100, achieved=50)
    run.add(tests["test_rate"], "FAIL")
    test("test_impaired").close()
    run.add(tests["test_impaired"], rtt_ns=40_000_000)
    test("test_uncaptured", chain=None).connections(count=1)
    run.add(tests["test_uncaptured"])
    test("test_other_arguments").connections(count=2, rate=100)
    run.add(tests["test_other_arguments"])
    run.add(test("test_other_sut[stamp]", "hold"))
    for name in ("test_goes_further", "test_report_changed"):
        test(name).connections(count=2, rate=100)
        tests[name].close()
        run.add(tests[name])
    for name in ("test_cut[stamp]", "test_changed[stamp]", "test_lost[stamp]"):
        test(name, "stamp", stamp).close()
        run.add(tests[name])
    asks = ("runs_a_command", "a_thread_runs_one", "changes_the_lab", "looks_at_the_lab", "refuses_nothing")
    for name in ("calls_changed", *asks):
        test(f"test_{name}").close()
        run.add(tests[f"test_{name}"])

    skipped = {"outcome": "SKIPPED", "reason": "no compiler", "verdicts": []}
    run.run.note_outcome({"test": "test_mine.py::test_skipped_then", **skipped})

    spoil(tests["test_cut[stamp]"].directory / "capture-1" / "client-eth0.pcap", lambda content: content[:-20])
    flipped = tests["test_changed[stamp]"].directory / "capture-1" / "server-eth0.pcap"
    spoil(flipped, lambda content: content[:-1] + bytes([content[-1] ^ 1]))
    (tests["test_lost[stamp]"].directory / "capture-1" / "taps.json").unlink()
    spoil(tests["test_report_changed"].directory / "connections-1.jsonl", lambda content: content.replace(b"2", b"3"))
    spoil(tests["test_calls_changed"].directory / "calls.jsonl", lambda content: content[:-1])
    return run.finish()


def spoil(file: Path, change) -> None:
    file.write_bytes(change(file.read_bytes()))


@pytest.fixture(autouse=True)
def home(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests and their stored run, where no tool can be found."""
    monkeypatch.setenv("PATH", "/nonexistent")
    pytester.makeini("[pytest]\nttfb_budget_ms = 1\nlab_sut = nothing-of-this-name\n")
    pytester.makepyfile(test_mine=TESTS)


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param([], id="one process"),
        pytest.param(["-p", "xdist", "-n", "2"], id="two workers", marks=pytest.mark.nightly),
    ],
)
def test_each_test_of_a_stored_run_is_judged_again_or_says_why_not(pytester, run, workers):
    stored_run = stored(pytester.path / ".hopscope" / "runs")
    before = digest(stored_run)
    result = run(*workers, "--lab-replay", stored_run.name, "--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED, str(result.stdout) + str(result.stderr)

    seen = reached(pytester.path / "junit.xml")
    assert {name: outcome for name, (outcome, _) in seen.items()} == {
        name: outcome for name, (outcome, _) in EXPECTED.items()
    }
    for name, (_, words) in EXPECTED.items():
        assert words.format(run=stored_run) in seen[name][1], seen[name][1]
    lines = [
        f"Replay of {stored_run}:",
        "20 tests judged again, 8 left out (the skips say why); 12 with another verdict:",
        "  test_mine.py::test_better_today?stamp?: was FAIL, is PASS",
        "    ordering: was FAIL, is PASS with today's checks",
        "    checksums: was PASS, is FAIL with today's checks",
    ]
    lines += [
        "run: .hopscope/runs/* (judge it again: hopscope judge *; a page: hopscope report .hopscope/runs/*)",
        "*_ test_bad_checksum?stamp? _*",
        "*hopscope: the flow, its captures, what to do next*",
        "    ms   eth0  eth0    eth1          eth0    eth1    eth0",
        "> in front: a frame that a verdict points at",
        "captures:       .hopscope/runs/*/tests/test_mine.test_bad_checksum-stamp/capture-1",
    ]
    for line in lines:
        result.stdout.fnmatch_lines([line])
    result.stdout.no_fnmatch_line("*test_as_it_was?stamp?: was*")
    assert digest(stored_run) == before, "a stored run is only read"


def test_a_replay_points_to_its_source_and_is_none_to_replay(pytester, run):
    stored_run = stored(pytester.path / "elsewhere")
    shutil.move(stored_run, pytester.path / "copied")
    result = run("--lab-replay=copied", "-k", "as_it_was or cut", "--lab-strict")
    result.assert_outcomes(passed=1, failed=1, deselected=len(EXPECTED) - 2)
    runs = pytester.path / ".hopscope" / "runs"
    (own,) = runs.iterdir()
    assert not (runs / "latest").exists(), "the latest run is one that can be replayed"
    judged = own / "tests" / "test_mine.test_as_it_was-stamp" / "capture-1"
    assert (judged / "verdicts.json").is_file()
    assert (judged / "client-eth0.pcap").resolve().is_relative_to(pytester.path / "copied")

    again = run("--lab-replay", own.name)
    assert again.ret == pytest.ExitCode.USAGE_ERROR
    again.stderr.fnmatch_lines([f"*is itself a replay: name what it is of, {pytester.path / 'copied'}"])


def test_a_directory_elsewhere_that_pytest_would_take_for_a_place_of_tests_is_refused(pytester, run, tmp_path_factory):
    elsewhere = stored(tmp_path_factory.mktemp("elsewhere"))
    refused = run("--lab-replay", elsewhere, "-k", "as_it_was")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines([f"*pytest takes this for a place of tests; write --lab-replay={elsewhere}"])
    one = ("-k", "as_it_was", "-rs", f"--lab-replay={elsewhere}")
    run(*one).assert_outcomes(passed=1, deselected=len(EXPECTED) - 1)
    result = run(*one, f"--rootdir={pytester.path.parent}")
    result.assert_outcomes(skipped=1, deselected=len(EXPECTED) - 1)
    result.stdout.fnmatch_lines([f"*but test_mine.py::test_as_it_was?stamp? is: set --rootdir*{pytester.path.parent}"])
