"""The plugin as pytest sees it, in processes of its own. No lab is needed for any of this."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def test_the_header_says_what_will_be_used(pytester, run):
    pytester.makepyfile("def test_x(): pass")
    result = run("--lab-rtt", "5", "--lab-sut", "hold", "--lab-strict")
    result.stdout.fnmatch_lines(["hopscope *: provider netns, topology chain.yaml, SUT hold, RTT 5 ms, strict"])
    result.assert_outcomes(passed=1)


def test_options_have_ini_keys_and_the_command_line_wins(pytester, run):
    pytester.makeini("[pytest]\nlab_rtt = 7\nlab_sut = stamp\nlab_strict = true\n")
    pytester.makepyfile("def test_x(): pass")
    run("--lab-rtt", "9").stdout.fnmatch_lines(["hopscope *SUT stamp, RTT 9 ms, strict"])


def test_an_rtt_that_makes_no_sense_is_a_usage_error(pytester, run):
    result = run("--lab-rtt=fast")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--lab-rtt fast: must be a number of milliseconds*"])


def test_an_unknown_provider_is_a_usage_error_that_lists_the_known(pytester, run):
    result = run("--lab-provider", "netsn")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--lab-provider netsn: no such provider; there are: *netns*"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--lab-aws-doubles"], "--lab-aws-doubles is for --lab-provider aws"),
        (["--lab-source", "find"], "--lab-source is for --lab-provider aws"),
        (["--lab-provider", "aws", "--lab-source", "borrow"], "--lab-source borrow: must be one of build, find, adopt"),
        (["--lab-provider", "aws", "--lab-aws-access", "door"], "--lab-aws-access door: must be one of addresses, *"),
        (["--lab-aws-access", "endpoints"], "--lab-aws-access is for --lab-provider aws"),
        (["--lab-provider", "aws", "--lab-aws-max-usd", "much"], "--lab-aws-max-usd much: must be a number*"),
        (["--lab-aws-chains", "2"], "--lab-aws-chains is for --lab-provider aws*"),
        (["--lab-provider", "aws", "--lab-source", "find", "--lab-aws-chains", "2"], "*for stacks that are built"),
        (["--lab-provider", "aws", "--lab-aws-chains", "0"], "--lab-aws-chains 0: must be a number from 1 to 16"),
        (["--lab-provider", "aws", "--lab-keep", "always"], "--lab-keep is for labs of this machine*"),
    ],
)
def test_options_of_aws_that_make_no_sense_are_usage_errors(pytester, run, given, says):
    result = run(*given)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{says}*"])


def test_chains_of_aws_share_what_they_may_cost(pytester, run):
    pytester.makepyfile(
        """
        from hopscope.plugin.options import resolve

        def test_x(pytestconfig):
            options = resolve(pytestconfig)
            assert (options.places, options.aws["max_usd"]) == (3, 2.0)
        """
    )
    run("--lab-provider", "aws", "--lab-aws-chains", "3", "--lab-aws-max-usd", "6").assert_outcomes(passed=1)


def test_nobody_gets_doubles_of_aws_by_an_ini_file(pytester, run):
    pytester.makeini("[pytest]\nlab_provider = aws\nlab_aws_doubles = true\n")
    pytester.makepyfile("def test_x(pytestconfig): assert not pytestconfig.getoption('lab_aws_doubles')")
    result = run()
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*Unknown config option: lab_aws_doubles*"])


def test_marker_arguments_are_validated(pytester, run):
    pytester.makepyfile("import pytest\n@pytest.mark.lab_topology(3)\ndef test_x(): pass")
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*lab_topology takes file names*"])


def test_long_tests_are_left_out_unless_asked_for(pytester, run):
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.nightly
        def test_long(): pass
        @pytest.mark.soak
        def test_longer(): pass
        def test_short(): pass
        """
    )
    run().assert_outcomes(passed=1, deselected=2)
    run("-m", "nightly").assert_outcomes(passed=1, deselected=2)


INCONCLUSIVE = """
    import pytest
    from hopscope.errors import CaptureUnhealthy, HarnessFault
    @pytest.fixture
    def lab():
        raise CaptureUnhealthy("tap not live")
    def test_x():
        raise HarnessFault("2 packets were dropped")
    def test_y(lab): pass
    """


def test_inconclusive_is_a_skip_with_its_reason_in_a_fixture_too(pytester, run):
    pytester.makepyfile(INCONCLUSIVE)
    result = run("-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*INCONCLUSIVE: 2 packets were dropped*", "*INCONCLUSIVE: tap not live*"])


def test_inconclusive_fails_when_strict(pytester, run):
    pytester.makepyfile(INCONCLUSIVE)
    result = run("--lab-strict")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(["*tap not live*", "*2 packets were dropped*"])


@pytest.mark.parametrize(("options", "outcome"), [((), "skipped"), (("--lab-strict",), "failed")])
def test_a_test_that_would_change_the_link_of_somebody_else_is_not_run(pytester, run, options, outcome):
    pytester.makepyfile(
        """
        from hopscope.errors import NotOurs
        def test_x(): raise NotOurs("the link is of hosts that were found")
        """
    )
    result = run("-rs", *options)
    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines(["*the link is of hosts that were found*"])


def test_a_failure_says_whose_fault_it_is(pytester, run):
    pytester.makepyfile(
        """
        from hopscope.errors import EnvironmentFault
        def test_x():
            raise EnvironmentFault("no delay", host="router", evidence="wanted 20 ms, seen 0")
        """
    )
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*.py:3: in test_x", "E *EnvironmentFault: router: no delay", "E *wanted 20 ms, seen 0"]
    )


def test_a_fault_shows_the_line_of_the_test_and_none_of_ours(pytester, run):
    pytester.makepyfile(
        """
        from hopscope.plugin.judged import raise_for
        from hopscope.checks.verdict import Outcome, Verdict
        def test_x():
            raise_for([Verdict("ordering", Outcome.FAIL, "too late")])
        """
    )
    result = run()
    result.stdout.fnmatch_lines(["*.py:4: in test_x", "*raise_for*", "E *ProductFault: ordering FAIL: too late"])
    result.stdout.no_fnmatch_line("*judged.py*")
    run("--tb=long").stdout.fnmatch_lines(["*judged.py:*ProductFault*"])


def test_a_topology_that_is_not_there_is_an_error_with_place_and_no_lab(pytester, run):
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.integration
        @pytest.mark.lab_topology("chian.yaml")
        def test_x(chain): pass
        """
    )
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["usage: *chian.yaml*", "ERROR *::test_x*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_tests_on_several_topologies_are_grouped_by_topology(pytester, run):
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.lab_topology("chain.yaml", "chain-lan.yaml")
        def test_a(chain): pass
        @pytest.mark.lab_topology("chain.yaml", "chain-lan.yaml")
        def test_b(chain): pass
        """
    )
    result = run("--collect-only", "-q")
    names = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert names == ["test_a[chain]", "test_b[chain]", "test_a[chain-lan]", "test_b[chain-lan]"]
