"""Connections end on both sides as their applications ended them, through a rewriter as without one."""

from __future__ import annotations

import json
import sys

import pytest

from hopscope.checks.teardown import teardown
from hopscope.hosts.ready import LogLine
from support import talk

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

SUTS = pytest.mark.parametrize("sut", ["stamp", "hold", "kernel"])
PORT = 8080


def claim(sut: str) -> str:
    return "plain" if sut == "kernel" else sut


def call(chain, manner: str) -> dict[str, object]:
    address = str(chain.topology.host("server").ports[0].address())
    argv = [sys.executable, "-I", talk.__file__, "call", address, str(PORT), manner]
    return json.loads(chain.host("client").run(argv, timeout=30).text)


def serving(chain, manner: str, directory):
    address = str(chain.topology.host("server").ports[0].address())
    argv = [sys.executable, "-I", talk.__file__, "serve", address, str(PORT), manner]
    return chain.host("server").spawn(
        argv, name="talk", ready=LogLine("listening", stream="stdout"), directory=directory
    )


@SUTS
@pytest.mark.parametrize(
    ("caller", "server"),
    [("last", "first"), ("half", "last"), ("half", "first"), ("reset", "last"), ("last", "half")],
    ids=["server-first", "half-close", "both-at-once", "client-reset", "server-half-close"],
)
def test_an_end_is_an_end_on_both_sides(chain, trace, test_directory, sut, caller, server):
    with serving(chain, server, test_directory):
        seen = call(chain, caller)
    assert seen == {"connected": True, "bytes": talk.RESPONSE, "error": None}
    judged = trace()
    assert len(judged.trace) == 1
    judged.expect(placement=claim(sut))


@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_resets_under_load(traffic, trace, sut):
    report = traffic.connections(count=100, rate=100, close="rst")
    assert report.completed == 100
    trace().expect(placement=sut)


@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_a_refused_port_reaches_the_client_as_a_reset(chain, trace, sut):
    """The client was promised a connection before the server could refuse it; it must not wait for its timeout."""
    seen = call(chain, "last")
    assert seen["connected"] is True
    assert seen["error"] == "ConnectionResetError"
    verdict = trace().judge(teardown())[0]
    assert verdict.outcome.name == "PASS", verdict.summary
