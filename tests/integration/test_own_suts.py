"""Anybody's boxes, through YAML alone: rules where nothing runs, a compiled program, a proxy, and mixes of makers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hopscope.checks.verdict import Outcome
from hopscope.errors import EnvironmentFault
from hopscope.lab.sut import RunningSut
from hopscope.wire.packets import ACK, SYN
from hopscope.wire.taps import Position

pytestmark = pytest.mark.integration

SUTS = Path(__file__).parent / "suts"
LOAD = {"count": 40, "rate": 100, "request": 3000, "response": 20_000}


@pytest.mark.parametrize("sut", ["suts/clamp"])
def test_an_nft_table_alone(traffic, trace, sut):
    """Nothing runs, and yet it is on the path: segments are smaller than the client's and the server's kernel asked."""
    assert traffic.connections(**LOAD).completed == LOAD["count"]
    judged = trace()
    judged.expect(placement="plain")
    packets = judged.trace.taps[Position.SERVER].packets
    syns = (packets.flags & (SYN | ACK)) == SYN
    assert syns.sum() == LOAD["count"]
    assert set(packets.mss[syns].tolist()) == {1200}


@pytest.mark.parametrize("sut", ["suts/load"])
def test_a_command_that_loads_a_program_into_the_kernel(traffic, trace, chain, sut):
    assert traffic.connections(count=20, rate=100).completed == 20
    show = ["tc", "filter", "show", "dev", "eth0", "ingress"]
    assert "bytecode" in chain.host("clientnic").run(show).text
    trace().expect(placement="plain")
    assert chain.host("clientnic").run(show, check=False).text == "", "it was taken away with the test's SUT"


@pytest.fixture(scope="module")
def forward(tmp_path_factory) -> str:
    """The compiled forwarder and its YAML, in a folder of their own as a user would have them."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: apt-get install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("forward")
    argv = [compiler, "-O2", "-Wall", "-Werror", "-o", str(folder / "forward"), str(SUTS / "forward.c")]
    subprocess.run(argv, check=True, timeout=60)
    shutil.copy(SUTS / "forward.yaml", folder)
    return str(folder / "forward.yaml")


class TestCompiled:
    @pytest.fixture
    def sut(self, forward) -> str:
        return forward

    def test_a_compiled_program_carries_what_the_kernel_may_not(self, traffic, trace, chain):
        assert traffic.connections(**LOAD).completed == LOAD["count"]
        trace().expect(placement="plain")
        tables = chain.host("servernic").run(["nft", "list", "tables"]).text
        assert "keep_out" not in tables, "the rules go with the program"

    def test_the_manifest_says_which_program_it_was(self, chain, capture, forward):
        ((box, told),) = capture.evidence()["suts"].items()
        assert box.endswith("/forward.yaml@servernic")
        assert told["version"] == "forward 1.0"
        assert told["argv"] == [str(chain.host("servernic").directory / "forward")]
        assert told["files"]["forward"]["path"] == str(Path(forward).with_name("forward"))
        assert told["sha256"] == told["files"]["forward"]["sha256"]
        assert "tcp dport 8080-8083 drop" in told["nft"]


@pytest.mark.skipif(shutil.which("haproxy", path="/usr/sbin:/usr/bin:/sbin") is None, reason="needs haproxy")
@pytest.mark.parametrize("sut", ["haproxy"])
def test_a_proxy_ends_connections_and_opens_its_own(traffic, trace, sut):
    assert traffic.connections(**LOAD).completed == LOAD["count"]
    verdicts = {verdict.check: verdict for verdict in trace().expect(placement="proxy")}
    assert verdicts["translation"].outcome is Outcome.NOT_APPLICABLE
    assert verdicts["carried_by"].outcome is Outcome.PASS
    assert verdicts["placement"].metrics == {"ended": LOAD["count"], "opened": LOAD["count"]}


@pytest.mark.zero_rtt
@pytest.mark.parametrize("sut", ["stamp,servernic=suts/stamp-copy", "suts/stamp-copy,clientnic=stamp"])
def test_boxes_of_two_makers_that_keep_the_contract(traffic, trace, sut):
    assert traffic.connections(**LOAD).completed == LOAD["count"]
    trace().expect(placement="stamp")


@pytest.mark.parametrize("sut", ["kernel"])
def test_what_a_box_leaves_behind_is_named_and_gone(capture, chain, sut):
    capture.stop_sut()
    capture.start_sut("suts/litters")
    with pytest.raises(EnvironmentFault) as caught:
        capture.close()
    assert "servernic: table inet litter" in caught.value.message
    assert "(sleep)" in caught.value.message
    assert chain.host("servernic").run(["nft", "list", "tables"]).text == ""
    capture.open("kernel")


@pytest.mark.parametrize("sut", ["kernel"])
@pytest.mark.parametrize(
    ("name", "place"), [("zero-rtt-demo", "/opt/zero-rtt-demo"), ("sssonector", "/opt/sssonector")]
)
def test_code_that_is_the_users_to_fetch_is_asked_for(chain, tmp_path, name, place, sut):
    if Path(place).exists():
        pytest.skip(f"{place} is there")
    with pytest.raises(EnvironmentFault, match=f"SUT {name} needs {place}/.* which is not there; .*https://github"):
        RunningSut(chain.lab, chain.sut(name), tmp_path).__enter__()
