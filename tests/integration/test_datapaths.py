"""The datapaths between real kernels: what a client notices, and what is left behind."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hopscope import data
from hopscope.hosts.process import Process
from hopscope.hosts.ready import LogLine
from hopscope.lab.lab import Lab
from hopscope.lab.settings.mtu import Mtu
from hopscope.lab.wait import wait_until
from hopscope.model.topology import Impairment
from hopscope.providers.netns import NetnsProvider

pytestmark = pytest.mark.integration

READY = LogLine('"event":"ready"')
PLACEMENTS = pytest.mark.parametrize("placement", ["stamp", "hold"])

SERVER = """
import socket, threading
def echo(connection):
    with connection:
        while received := connection.recv(65536):
            connection.sendall(received)
listener = socket.create_server(("0.0.0.0", 8080), backlog=1024)
print("listening", flush=True)
while True:
    threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
"""

CLIENT = """
import json, socket, struct, sys, threading
count, size, source_port = map(int, sys.argv[1:4])
payload = bytes(range(251)) * (size // 251 + 1)
payload = payload[:size]
good, options = 0, []
for number in range(count):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    connection.settimeout(30)
    if source_port:
        connection.bind(("", source_port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.connect(("10.1.2.10", 8080))
    sender = threading.Thread(target=connection.sendall, args=(payload,))
    sender.start()
    received = b""
    while len(received) < size and (part := connection.recv(65536)):
        received += part
    sender.join()
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    options.append(info[5] & 7)
    good += received == payload
    connection.close()
print(json.dumps({"good": good, "options": options}))
"""


@pytest.fixture(scope="module", params=[False, True], ids=["no-offloads", "offloads"])
def box_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("labs")
    with (
        NetnsProvider().acquire(data.topology("chain"), directory=directory, offloads=request.param) as lab,
        lab.hosts["server"].spawn([sys.executable, "-c", SERVER], name="echo", ready=LogLine("listening")),
    ):
        yield lab


Start = Callable[..., dict[str, Process]]


@pytest.fixture(params=["afpacket", "bpf", pytest.param("bpf-clsact", marks=pytest.mark.nightly)])
def datapath(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(box_lab: Lab, tmp_path: Path, datapath: str) -> Iterator[Start]:
    """Start the boxes of a placement; they are stopped when the test ends."""
    with ExitStack() as stack:

        def boxes(placement: str) -> dict[str, Process]:
            hosts = ["servernic", "clientnic"] if placement == "stamp" else ["clientnic"]
            return {
                host: stack.enter_context(
                    box_lab.hosts[host].spawn(
                        [sys.executable, "-m", "hopscope_nic", host, "--placement", placement, "--datapath", datapath],
                        name="nic",
                        ready=READY,
                        directory=tmp_path / host,
                    )
                )
                for host in hosts
            }

        yield boxes


def client(box_lab: Lab, count: int, size: int, source_port: int = 0) -> dict[str, Any]:
    argv = [sys.executable, "-c", CLIENT, str(count), str(size), str(source_port)]
    answer: dict[str, Any] = json.loads(box_lab.hosts["client"].run(argv, timeout=120).text)
    return answer


def events(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.lines()]


def counters(process: Process) -> dict[str, Any]:
    """Counters as they are now."""
    before = len(events(process))
    process.signal(signal.SIGUSR1)
    wait_until(lambda: len(events(process)) > before, timeout=5, what="counters")
    return events(process)[-1]


def emptied(seen: dict[str, Any]) -> bool:
    return seen["flows"] == 0 and seen["lingering"] == 0


@PLACEMENTS
def test_every_octet_comes_back_with_all_options_in_use(box_lab, start, placement):
    boxes = start(placement)
    answer = client(box_lab, 5, 400_000)
    assert answer["good"] == 5
    assert set(answer["options"]) == {7}, "time stamps, SACK and window scale"
    for process in boxes.values():
        seen = counters(process)
        assert not seen["dropped"]
        assert (seen["overrun_client"], seen["overrun_server"]) == (0, 0)
    assert seen["syn_answered"] == 5
    wait_until(lambda: emptied(counters(boxes["clientnic"])), timeout=5, interval=0.2, what="an empty table")


@PLACEMENTS
def test_the_same_ports_again_right_after_a_reset(box_lab, start, placement):
    boxes = start(placement)
    assert client(box_lab, 6, 1000, source_port=23456)["good"] == 6
    assert counters(boxes["clientnic"])["syn_answered"] == 6


@PLACEMENTS
def test_loss_and_reordering(box_lab, start, placement):
    start(placement)
    link = box_lab.topology.wan
    impairment = Impairment(rtt_ms=link.impairment.rtt_ms, loss=0.02, reorder=0.05)
    with box_lab.applied(box_lab.impairment(link.name, impairment)):
        assert client(box_lab, 10, 60_000)["good"] == 10


@PLACEMENTS
def test_a_smaller_link_near_the_server(box_lab, start, placement):
    """The server's MSS comes too late for the client: that packets do not fit has to reach it another way."""
    with box_lab.applied(Mtu("servernic", "eth1", 1300), Mtu("server", "eth0", 1300)):
        start(placement)
        assert client(box_lab, 2, 60_000)["good"] == 2


@PLACEMENTS
def test_a_refusal_is_a_reset_at_once(box_lab, start, placement):
    start(placement)
    script = (
        "import socket; c = socket.create_connection(('10.1.2.10', 8083), 5); c.settimeout(5); c.send(b'x')\n"
        "try: c.recv(1)\nexcept ConnectionResetError: print('reset')"
    )
    result = box_lab.hosts["client"].run([sys.executable, "-c", script], timeout=20)
    assert result.text == "reset"


def test_told_to_stop_it_says_so(box_lab, start):
    process = start("hold")["clientnic"]
    client(box_lab, 1, 10)
    assert process.stop() == 0
    said = events(process)
    assert [said[0]["event"], said[-2]["event"], said[-1]["event"]] == ["ready", "counters", "stopped"]
    assert said[0]["ports"]["client"]["addresses"] == ["10.1.0.1/24"]
    assert said[-2]["syn_answered"] == 1
    assert box_lab.hosts["clientnic"].run(["nft", "list", "tables"]).text == ""


@pytest.mark.parametrize("datapath", ["afpacket"])
def test_killed_it_leaves_no_table_behind(box_lab, start):
    process = start("hold")["clientnic"]
    host = box_lab.hosts["clientnic"]
    assert host.run(["nft", "list", "tables"]).text.startswith("table ip hopscope_nic_")
    rules = host.run(["nft", "list", "ruleset"]).text
    assert rules.count("drop") == 2
    assert "8080-8083" in rules
    process.signal(signal.SIGKILL)
    wait_until(lambda: host.run(["nft", "list", "tables"]).text == "", timeout=2, what="nft without tables")
    assert client(box_lab, 1, 10)["good"] == 1, "the kernel forwards again"


@pytest.mark.parametrize("datapath", ["bpf", "bpf-clsact"])
def test_killed_it_leaves_no_program_behind(box_lab, start, datapath):
    process = start("hold")["clientnic"]
    assert events(process)[0]["datapath"] == datapath
    assert client(box_lab, 1, 10)["good"] == 1
    assert counters(process)["syn_answered"] == 1
    process.signal(signal.SIGKILL)
    process.wait(5)
    host = box_lab.hosts["clientnic"]
    wait_until(lambda: "clsact" not in host.run(["tc", "qdisc"]).text, timeout=5, what="no qdisc of ours")
    assert client(box_lab, 1, 10)["good"] == 1, "the kernel forwards again, and nobody drops a SYN"


@pytest.mark.parametrize("datapath", ["bpf-clsact"])
def test_stopped_it_leaves_no_filter_and_no_process_behind(box_lab, start, datapath):
    process = start("hold")["clientnic"]
    host = box_lab.hosts["clientnic"]
    assert host.run(["tc", "qdisc"]).text.count("clsact") == 2
    assert client(box_lab, 2, 100_000)["good"] == 2
    assert counters(process)["syn_answered"] == 2
    assert process.stop() == 0
    assert "clsact" not in host.run(["tc", "qdisc"]).text
    assert host.run(["pgrep", "-f", "hopscope_nic clientnic"], check=False).text == ""


@pytest.mark.parametrize("datapath", ["bpf"])
def test_the_kernel_goes_on_while_the_process_stands_still(box_lab, start):
    boxes = start("stamp")
    for process in boxes.values():
        process.signal(signal.SIGSTOP)
    assert client(box_lab, 3, 100_000)["good"] == 3, "handshake, translation and data"
    for process in boxes.values():
        process.signal(signal.SIGCONT)
    for process in boxes.values():
        wait_until(lambda process=process: emptied(counters(process)), timeout=8, interval=0.2, what="an empty table")
    assert counters(boxes["clientnic"])["syn_answered"] == 3
    assert counters(boxes["servernic"])["synack_learnt"] == 3


@pytest.mark.parametrize("datapath", ["afpacket"])
def test_without_its_table_it_does_not_go_on(box_lab, start):
    process = start("hold")["clientnic"]
    box_lab.hosts["clientnic"].run(["pkill", "-x", "-P", str(events(process)[0]["pid"]), "nft"])
    assert process.wait(5) == 2
    assert "stops kernel forwarding, has ended" in process.stderr.read_text()


def test_the_wrong_interface(box_lab):
    argv = [sys.executable, "-m", "hopscope_nic", "clientnic", "--placement", "hold", "--client-port", "eth2"]
    result = box_lab.hosts["clientnic"].run(argv, check=False)
    assert result.returncode == 2
    assert result.stderr.decode() == (
        "hopscope_nic: --client-port eth2: no such interface; here: eth0 (10.1.0.1/24), eth1 (10.1.1.1/24)\n"
    )
