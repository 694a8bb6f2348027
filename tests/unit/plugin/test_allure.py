"""Results for Allure, from sessions of their own: captures are golden ones, and no lab is needed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hopscope import data, errors
from hopscope.errors import EnvironmentFault, HarnessFault, HopscopeError, ProductFault, UsageError

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[3]

CONFTEST = f"""
    import shutil
    import pytest
    from hopscope.errors import EnvironmentFault
    from hopscope.lab import preflight
    from hopscope.plugin.building import building
    from hopscope.run import rundir, story

    preflight.preflight = lambda: [preflight.Capability("netem", False, "delay", "modprobe sch_netem", detail="none")]

    class Nowhere:
        def acquire(self, topology, *, directory, name=None):
            raise EnvironmentFault("no hosts here", evidence="password=hunter2")
        def release(self, lab): pass
        def leaks(self): return []

    def pytest_hopscope_provider(name):
        return Nowhere() if name == "nowhere" else None

    @pytest.fixture(scope="session")
    def chain(request, hopscope_session):
        if request.param[0] == "chain-lan.yaml":
            with building(hopscope_session, request.param) as built:
                yield built
        directory = hopscope_session.run.lab_directory("chain")
        hopscope_session.lab_directories[request.param] = directory
        with story.step(directory, "Lab chain: hosts and links"):
            pass
        yield

    @pytest.fixture
    def capture(chain, test_directory):
        facts = {{"topology": "chain", "lab": "chain-1", "rtt_ms": 20.3, "declared_rtt_ms": 20.0}}
        rundir.write_json(test_directory / rundir.FACTS, facts)
        with story.step(test_directory, "SUT stamp started", sut="stamp", placement="stamp"):
            pass
        shutil.copytree({str(ROOT / "fixtures/captures/stamp")!r}, test_directory / "capture-1")
    """
TESTS = """
    import pytest
    from hopscope.errors import HarnessFault, ProductFault
    def test_passes(capture): pass
    def test_product(capture): raise ProductFault("ordering FAIL: too late", evidence="secret=hunter2")
    def test_count(capture): assert 3 == 4
    def test_mistake(capture): {}["absent"]
    def test_unseen(capture): raise HarnessFault("2 packets were dropped")
    @pytest.fixture
    def late(capture):
        yield
        raise ProductFault("carried by the kernel")
    def test_late(late): pass
    @pytest.mark.lab_topology("chain-lan.yaml")
    def test_unbuilt(capture): pass
    @pytest.mark.lab_topology("chain-lan.yaml")
    def test_unbuilt_as_well(capture): pass
    @pytest.mark.xfail(strict=True)
    def test_known(capture): raise ProductFault("known")
    def test_without_a_lab(): pass
    """


@pytest.fixture
def results(run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Run the tests above with arguments, and give results by the name of the test."""
    monkeypatch.setenv("PATH", "/nowhere")  # tshark is for the integration tests
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)

    def reported(*args: str) -> dict[str, dict]:
        run("-p", "allure_pytest.plugin", "--lab-provider=nowhere", "--alluredir=results", *args)
        found = [json.loads(file.read_text()) for file in pytester.path.glob("results/*-result.json")]
        assert len(found) == 10
        return {result["name"]: result for result in found}

    return reported


def attached(result) -> dict[str, dict]:
    """Attachments at any depth, by name."""
    found = {one["name"]: one for one in result.get("attachments", [])}
    for step in result.get("steps", []):
        found |= attached(step)
    return found


def size(pytester, result) -> int:
    return sum((pytester.path / "results" / one["source"]).stat().st_size for one in attached(result).values())


ALL = {"Start here", "Ladder of the flow", "all-taps.pcapng", "client-eth0.pcap", "Health of the captures"}
LITTLE = {"Verdicts", "Ladder of one flow", "one-flow.pcapng"}


def test_each_test_has_what_its_end_asks_for(pytester, results):
    found = results()
    for name, status, fault, says, has in (
        ("test_passes", "passed", None, "", LITTLE),
        ("test_product", "failed", "product", "product: ordering FAIL: too late", ALL),
        ("test_count", "failed", "product", "product: AssertionError", ALL),
        ("test_mistake", "broken", "test", "test: KeyError: 'absent'", ALL),
        ("test_unseen", "skipped", "harness", "harness: INCONCLUSIVE: 2 packets were dropped", ALL),
        ("test_late", "failed", "product", "product: carried by the kernel", ALL),
        ("test_unbuilt", "broken", "environment", "environment: no hosts here",
         {"Start here", "Fault of the lab", "What this machine can do"}),
        ("test_unbuilt_as_well", "skipped", "environment", "environment: its lab could not be built", set()),
        ("test_known", "skipped", None, "XFAIL", LITTLE),
        ("test_without_a_lab", "passed", None, "", set()),
    ):  # fmt: skip
        result = found[name]
        assert result["status"] == status, name
        assert (result.get("statusDetails") or {}).get("message", "").startswith(says), name
        faults = [label["value"] for label in result["labels"] if label["name"] == "fault"]
        assert faults == ([fault] if fault else []), name
        assert has <= set(attached(result)), name
        if has in (LITTLE, set()) and name != "test_unbuilt_as_well":
            assert set(attached(result)) == has, name
    assert size(pytester, found["test_passes"]) <= 100_000

    parameters = {one["name"]: (one["value"], one.get("excluded")) for one in found["test_passes"]["parameters"]}
    assert parameters == {
        "topology": ("chain", None), "RTT declared": ("20 ms", None), "RTT achieved": ("20.30 ms", True),
        "SUT": ("stamp", None), "placement": ("stamp", None),
    }  # fmt: skip
    titles = [step["name"] for step in found["test_passes"]["steps"]]
    assert titles == ["The lab was built and proven, once for its tests", "SUT stamp started"]
    kinds = {one["type"] for name, one in attached(found["test_product"]).items() if "pcap" in name}
    assert kinds == {"application/vnd.tcpdump.pcap", "application/x-pcapng"}

    for file in pytester.path.glob("results/*"):
        assert b"hunter2" not in file.read_bytes(), file.name
    folder = pytester.path / "results"
    assert json.loads((folder / "executor.json").read_text())["type"] == "hopscope"
    assert "provider=nowhere\n" in (folder / "environment.properties").read_text()
    assert (folder / "categories.json").read_bytes() == data.path("allure/categories.json").read_bytes()


@pytest.mark.nightly
def test_workers_write_results_and_the_controller_what_there_is_one_of(pytester, results):
    pytester.makepyfile(spy="""
        from hopscope.report import allure_files
        real = allure_files.write
        def write(results, runs, *rest):
            runs = list(runs)
            results.with_name("written").open("a").write(f"{len(runs)}\\n")
            real(results, runs, *rest)
        allure_files.write = write
        """)  # fmt: skip
    found = results("-p", "xdist", "-n", "2", "-p", "spy", "--lab-attach=always")
    assert (pytester.path / "written").read_text() == "2\n", "once, with the runs of both workers"
    assert set(attached(found["test_passes"])) >= ALL
    assert found["test_product"]["status"] == "failed"
    assert "hopscope=" in (pytester.path / "results/environment.properties").read_text()


def test_a_broken_renderer_costs_no_test(pytester, results):
    pytester.makepyfile(spy="from hopscope.report import allure; allure.parameters = None")
    found = results("-p", "spy")
    assert list(attached(found["test_product"])) == ["The evidence could not be attached"]
    assert found["test_product"]["status"] == "failed"


def test_an_answer_that_is_none_of_the_three_is_refused(run):
    result = run("--lab-attach=sometimes")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--lab-attach sometimes: must be one of failed, always, never*"])


def kinds() -> list[type[HopscopeError]]:
    return [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, HopscopeError)]


@pytest.mark.parametrize("fault", [each for each in kinds() if each is not errors.DocumentError])
def test_every_fault_has_one_category_by_its_class(fault):
    rules = json.loads(data.path("allure/categories.json").read_text())
    message = f"{fault.kind}: something\n    with evidence"
    hit = [rule["name"].partition(":")[0] for rule in rules if re.match(rule["messageRegex"], message)]
    wanted = {ProductFault: "Product", EnvironmentFault: "Environment", HarnessFault: "Harness", UsageError: "Usage"}
    expected = next((name for base, name in wanted.items() if issubclass(fault, base)), "Environment")
    assert hit == [expected]
    # Allure 2 asks for a match of the whole message.
    assert any(re.fullmatch(rule["messageRegex"], message) for rule in rules)
