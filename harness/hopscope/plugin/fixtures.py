"""The fixtures that test authors use. Session: the lab. Function: captures, SUT, traffic, verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hopscope.errors import HopscopeError, UsageError
from hopscope.plugin.building import asked_checks, building
from hopscope.plugin.session import Session, session_of
from hopscope.run.rundir import FACTS, note_fault, write_json

# The rooms below take half a second to import. pytest loads this module in every session of its user, most of which
# want no lab, so each fixture imports what it needs when it is first asked for.
if TYPE_CHECKING:
    from hopscope.hosts.executor import Executor
    from hopscope.plugin.chains import Chain
    from hopscope.plugin.comparison import Comparison
    from hopscope.plugin.judged import Judged
    from hopscope.plugin.tunnels import Tunnel
    from hopscope.plugin.window import Window
    from hopscope.traffic.traffic import Traffic


@pytest.fixture(scope="session")
def hopscope_session(pytestconfig: pytest.Config) -> Session:
    """The run of this pytest session: its options and its directory."""
    return session_of(pytestconfig)


@pytest.fixture(scope="session")
def chain(request: pytest.FixtureRequest, hopscope_session: Session) -> Iterator[Chain]:
    """The lab, up and proven. One per topology; tests are grouped by it."""
    if hopscope_session.replay is not None:
        yield hopscope_session.replay.chain(hopscope_session.run)
        return
    with building(hopscope_session, request.param) as built:
        yield built


@pytest.fixture(scope="session")
def client(chain: Chain) -> Executor:
    """The host that opens connections."""
    return chain.host("client")


@pytest.fixture(scope="session")
def clientnic(chain: Chain) -> Executor:
    """The box next to the client."""
    return chain.host("clientnic")


@pytest.fixture(scope="session")
def servernic(chain: Chain) -> Executor:
    """The box next to the server."""
    return chain.host("servernic")


@pytest.fixture(scope="session")
def server(chain: Chain) -> Executor:
    """The host that is connected to."""
    return chain.host("server")


@pytest.fixture(scope="session")
def tunnel(request: pytest.FixtureRequest, chain: Chain, hopscope_session: Session) -> Iterator[Tunnel]:
    """A tunnel that is up and carries: ``tunnel.ping(both_directions=True, sizes=("small", "mtu"))``.

    The topology's SUT, or ``--lab-sut``; several by ``@pytest.mark.parametrize("tunnel", ["openvpn", "socat"],
    indirect=True)``.
    """
    from hopscope.plugin import tunnels

    if hopscope_session.replay is not None:
        from hopscope.plugin.stored_tunnel import StoredMeasuring

        yield tunnels.Tunnel(StoredMeasuring())
        return
    name = getattr(request, "param", None) or hopscope_session.options.sut or chain.topology.sut
    item = hopscope_session.item
    folders = (*((item.path.parent,) if item is not None else ()), request.config.rootpath)
    found = chain.sut(name, folders)
    directory = hopscope_session.run.directory / "labs" / chain.topology.name
    with tunnels.up(chain, found, directory) as carrying:
        hopscope_session.teller.say(f"tunnel {found.name} is up and carries, both ways")
        yield carrying


@pytest.fixture
def sut(chain: Chain, hopscope_session: Session) -> str:
    """Name of the SUT that sits on the path during the test. Override it, or parametrize over ``sut``."""
    return hopscope_session.options.sut or chain.topology.sut


@pytest.fixture
def test_directory(request: pytest.FixtureRequest, hopscope_session: Session) -> Path:
    """This test's folder in the run directory."""
    directory = hopscope_session.run.test_directory(request.node.nodeid)
    hopscope_session.directories[request.node.nodeid] = directory
    return directory


@pytest.fixture
def capture(
    request: pytest.FixtureRequest, chain: Chain, test_directory: Path, hopscope_session: Session
) -> Iterator[Window]:
    """The test's window: live captures on every tap and the SUT on the path, from before it to its last packet."""
    from hopscope.plugin import unasked
    from hopscope.plugin.impaired import impaired, out_of_reach
    from hopscope.plugin.standins import StoredWindow
    from hopscope.plugin.window import Window

    write_json(test_directory / FACTS, {"test": request.node.nodeid, **chain.facts()})
    replay = hopscope_session.replay
    if replay is None and (reason := out_of_reach(request.node, chain)) is not None:
        hopscope_session.ahead.refuse(reason)
    with impaired(request.node, chain) if replay is None else replay.impaired(chain) as chain_now:
        window = (
            Window(
                chain_now,
                test_directory,
                captured=request.node.get_closest_marker("lab_uncaptured") is None,
                folders=(request.path.parent, request.config.rootpath),
            )
            if replay is None
            else StoredWindow(chain_now, test_directory, replay.test)
        )
        asks_tunnel = "tunnel" in request.fixturenames
        through: Tunnel | None = request.getfixturevalue("tunnel") if asks_tunnel else None
        own_switching = "compare" in request.fixturenames or asks_tunnel
        try:
            if through is not None:
                through.ready(window)
            window.open(None if own_switching else request.getfixturevalue("sut"))
            if through is not None:
                through.begin(window)
                hopscope_session.watch(request.node, through)
            yield window
            if hopscope_session.passed(request.node) and window.is_open:
                unasked.conclude(window, through)
        except HopscopeError as error:
            note_fault(test_directory, error)
            raise
        finally:
            try:
                window.abandon()
            finally:
                if through is not None:
                    through.finish()
                run = hopscope_session.run
                where = {"directory": str(test_directory.relative_to(run.directory)), "lab": chain.lab.name}
                run.append("tests", {"test": request.node.nodeid, **where, **window.evidence()})


@pytest.fixture(autouse=True)
def _hopscope_capture(request: pytest.FixtureRequest) -> None:
    """Captures are not asked for: every test on a chain has them."""
    if "chain" in request.fixturenames and request.node.get_closest_marker("integration"):
        request.getfixturevalue("capture")


@pytest.fixture
def traffic(capture: Window, test_directory: Path, hopscope_session: Session) -> Iterator[Traffic]:
    """Load from the client to the server: ``traffic.connections(count=200, rate=100)``."""
    from hopscope.plugin.recorded import RecordedTraffic
    from hopscope.plugin.standins import StoredTraffic

    lab, replay = capture.chain.lab, hopscope_session.replay
    with (
        RecordedTraffic(lab, test_directory, capture.tape, hopscope_session.run)
        if replay is None
        else StoredTraffic(lab, test_directory, replay.test)
    ) as load:
        yield load


@pytest.fixture
def trace(request: pytest.FixtureRequest, capture: Window, hopscope_session: Session) -> Callable[[], Judged]:
    """``trace()`` ends the test's window and returns its correlated captures: ``trace().expect(ordering(), …)``."""
    from hopscope.plugin import limits
    from hopscope.plugin.judged import Judged
    from hopscope.plugin.standins import StoredJudged

    kind = Judged if hopscope_session.replay is None else StoredJudged
    more = asked_checks(request.config, capture.chain.topology)

    def end() -> Judged:
        if "tunnel" in request.fixturenames:
            raise UsageError("the captures of a tunnel are no trace of a chain: ask tunnel.ping() and its like")
        if not capture.is_open:
            raise UsageError(
                "there is no window to trace: call trace() once, after the traffic (capture.open() starts another), "
                "and not in a test marked lab_uncaptured"
            )
        ended = capture.close()
        assert ended is not None
        known = limits.limits(hopscope_session.options.budgets_ms, capture.chain.topology)
        judged = kind(ended, capture.capture_directory or capture.directory, known, more, capture.bring)
        hopscope_session.watch(request.node, judged)
        return judged

    return end


@pytest.fixture
def compare(
    request: pytest.FixtureRequest, capture: Window, traffic: Traffic, hopscope_session: Session
) -> Callable[..., Comparison]:
    """``compare(baseline="kernel", sut="stamp", count=500, rate=100)``: interleaved blocks, judged as pairs."""
    from hopscope.plugin import limits
    from hopscope.plugin.comparison import compare as run_comparison

    def run(*, baseline: str = "kernel", sut: str | None = None, count: int, rate: float, **load: Any) -> Comparison:
        name = sut or request.getfixturevalue("sut")
        load["limits"] = limits.limits(hopscope_session.options.budgets_ms, capture.chain.topology)
        comparison = run_comparison(capture, traffic, baseline=baseline, sut=name, count=count, rate=rate, **load)
        hopscope_session.watch(request.node, comparison.judged)
        hopscope_session.compared(request.node, comparison)
        return comparison

    return run
