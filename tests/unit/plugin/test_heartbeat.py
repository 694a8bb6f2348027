"""What takes long is told while it does, on a terminal and in a log, with and without workers."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

IMPATIENT = """
    import pytest
    from hopscope.plugin import heartbeat

    heartbeat.FIRST_S = 0.05

    @pytest.fixture(scope="session")
    def chain(request):
        return None
    """
LONG = """
    import threading
    from hopscope.run.doing import doing

    def test_long(chain):
        print("printed before")
        with doing(lambda: "Traffic: 10 connections asked for"), doing(lambda: "3 of them so far"):
            threading.Event().wait(0.3)
        print("printed after")
        assert not "shown"
    """
LINE = "*hopscope: *test_long.py::test_long: 0 s, Traffic: 10 connections asked for, 3 of them so far"


@pytest.mark.parametrize("way", [(), ("-s",), ("-p", "xdist", "-n", "1")], ids=["captured", "not captured", "worker"])
def test_it_is_told_and_what_the_test_prints_stays_captured(pytester, run, way):
    pytester.makeconftest(IMPATIENT)
    pytester.makepyfile(test_long=LONG)
    result = run(*way)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([LINE])
    if "-s" not in way:
        result.stdout.fnmatch_lines(["*Captured stdout call*", "printed before", "printed after"])


def test_where_nobody_says_what_is_done_it_is_the_phase_that_is_told(pytester, run):
    pytester.makeconftest(IMPATIENT)
    pytester.makepyfile(
        """
        import threading, pytest
        @pytest.fixture
        def slow(chain):
            threading.Event().wait(0.3)
        def test_x(slow): pass
        """
    )
    result = run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["hopscope: *::test_x: 0 s, being set up"])


def test_what_is_soon_over_and_what_needs_no_lab_say_nothing(pytester, run):
    pytester.makeconftest(IMPATIENT)
    pytester.makepyfile(
        """
        import threading
        def test_short(chain): pass
        def test_no_lab(): threading.Event().wait(0.3)
        """
    )
    result = run()
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*hopscope: *test_*")
