"""The rest of the plugin's surface as pytest sees it, in processes of its own. No lab is needed for any of this."""

from __future__ import annotations

import pytest

from hopscope.plugin import options

pytest_plugins = ["pytester"]


UNBUILT = """
    import pytest
    pytestmark = pytest.mark.lab_topology("chian.yaml")
    def test_one(chain): pass
    def test_two(chain): pass
    @pytest.mark.lab_topology("chain-lann.yaml")
    def test_other(chain): pass
    """


def test_a_lab_that_could_not_be_built_is_one_error_and_its_other_tests_are_skipped_with_the_cause(pytester, run):
    pytester.makepyfile(UNBUILT)
    result = run("-rs")
    result.assert_outcomes(errors=2, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*could not be built (first met by *::test_one)*chian.yaml*"])


def test_when_strict_they_fail_with_the_cause_and_no_traceback(pytester, run):
    pytester.makepyfile(UNBUILT)
    result = run("--lab-strict")
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["*its lab could not be built (first met by *::test_one)*"])
    assert str(result.stdout).count("topology_of") <= 4, "a traceback for each of the two labs, and no third"


REQUIRES = """
    import pytest
    @pytest.mark.lab_requires("bpf", "netem")
    def test_one(): pass
    @pytest.mark.lab_requires("nft")
    def test_two(): pass
    """
PREFLIGHT = """
    from hopscope.lab import preflight
    calls = []
    def told():
        assert not calls, "once in a session"
        calls.append(1)
        return [
            preflight.Capability("bpf", False, "the bpf datapath", "run as root", detail="denied"),
            preflight.Capability("netem", True, "", ""), preflight.Capability("nft", True, "", ""),
        ]
    preflight.preflight = told
    """


def test_a_capability_that_is_missing_skips_with_what_was_seen_and_what_mends_it(pytester, run):
    pytester.makeconftest(PREFLIGHT)
    pytester.makepyfile(REQUIRES)
    result = run("-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*needs bpf (denied; remedy: run as root)"])


def test_an_option_that_makes_no_sense_is_a_usage_error(pytester, run):
    pytester.makepyfile("def test_x(): pass")
    result = run("-p", "xdist", "-n", "2", "--lab-use", "x")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--lab-use is for one process: a lab cannot serve several workers*"])


class Config:
    """Options as given on the command line, and nothing in the ini file."""

    def __init__(self, **given):
        self.given = given

    def getoption(self, name, default=None):
        return self.given.get(name, default)

    def getini(self, name):
        return None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"lab_keep": "sometimes"}, "--lab-keep sometimes: must be one of never, failed, always"),
        ({"lab_use": "x", "lab_rtt": "5"}, "--lab-rtt does nothing to a lab that is up"),
        ({"lab_use": "x", "lab_topology": "chain"}, "--lab-topology does nothing to a lab that is up"),
        ({"lab_pause_on_fail": True, "numprocesses": 2}, "--lab-pause-on-fail is for one process"),
        ({"lab_pause_on_fail": True}, "--lab-pause-on-fail needs a terminal"),
    ],
)
def test_options_that_make_no_sense_together(monkeypatch, given, says):
    monkeypatch.setattr(options, "_has_terminal", lambda: False)
    with pytest.raises(pytest.UsageError, match=says):
        options._staying(Config(**given))


@pytest.mark.parametrize("name", options.LIVE)
def test_a_stored_run_has_a_lab_of_its_own(tmp_path, name):
    with pytest.raises(pytest.UsageError, match=f"--lab-{name.replace('_', '-')} does nothing to a stored run"):
        options._stored(Config(**{"lab_replay": "x", f"lab_{name}": "y"}), tmp_path)


def test_using_a_lab_that_is_not_up_is_an_error_that_says_so(pytester, run):
    pytester.makepyfile("def test_x(chain): pass")
    result = run("--lab-use", "nowhere")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no lab 'nowhere' is up*"])


HOOKS = """
    import pytest
    from hopscope.errors import EnvironmentFault
    class Mine:
        def acquire(self, topology, *, directory, name=None):
            raise EnvironmentFault(f"no hosts for {topology.name} here")
        def release(self, lab): pass
        def leaks(self): return []
    def pytest_hopscope_provider(name):
        return Mine() if name == "mine" else None
    def pytest_hopscope_cause(item, fault):
        return f"{item.name}: the rack is off" if "no hosts" in fault.message else None
    """


def test_outsiders_bring_providers_and_causes(pytester, run):
    pytester.makeconftest(HOOKS)
    pytester.makepyfile("def test_x(chain): pass")
    result = run("--lab-provider", "mine")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no hosts for chain here*", "*hopscope: a cause may be*", "test_x: the rack is off"])


BESIDE = """
    import pytest
    from hopscope.errors import HarnessFault, ProductFault
    tries = []
    def test_passes(): pass
    def test_cannot_see(): raise HarnessFault("2 packets were dropped")
    def test_fails_once():
        tries.append(1)
        if len(tries) == 1:
            raise ProductFault("ordering FAIL")
    def test_fails(): raise ProductFault("checksums FAIL")
    @pytest.mark.budget
    def test_slow(): pass
    """


def test_other_plugins_beside_it(pytester, run):
    """All at once, each switched on: bars, random order, a time limit, coverage and reruns, and two workers."""
    for module in ("pytest_sugar", "pytest_timeout", "pytest_cov", "pytest_randomly", "pytest_rerunfailures", "xdist"):
        pytest.importorskip(module)
    pytester.makepyfile(test_beside=BESIDE)
    others = ["pytest_sugar", "pytest_timeout", "pytest_cov.plugin", "pytest_randomly", "pytest_rerunfailures"]
    on = [word for name in others for word in ("-p", name)]
    on += ["--force-sugar", "--timeout=30", "--cov=test_beside", "--cov-report=term", "--reruns=1"]
    result = run(*on, "-rs")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    shown = str(result.stdout)
    for said in ("INCONCLUSIVE: 2 packets were dropped", "checksums FAIL", "test_beside.py", "ProductFault"):
        assert said in shown
    assert "INTERNALERROR" not in shown + str(result.stderr)
    result.stdout.re_match_lines([r".*3 .*passed.*", r".*1 .*failed.*", r".*1 .*skipped.*", r".*2 .*rerun.*"])
    again = run("-p", "pytest_randomly", "-p", "pytest_rerunfailures", "-p", "xdist", "-n", "2", "--reruns=1")
    again.assert_outcomes(passed=3, failed=1, skipped=1)
