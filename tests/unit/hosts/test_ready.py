from __future__ import annotations

from pathlib import Path

from hopscope.hosts.ready import AllOf, ListeningPort, LogLine, listening_ports
from support.fakes import FakeExecutor, FakeProcess

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1
   1: 0A02010A:1F91 0A00010A:C001 01 00000000:00000000 00:00000000 00000000     0        0 101 1
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
"""


def host(tmp_path: Path, text: str = TABLE) -> FakeExecutor:
    return FakeExecutor("server", tmp_path, lambda argv, stdin: text)


def test_listening_ports_are_those_in_state_listen_of_both_families() -> None:
    assert listening_ports(TABLE) == {0x1F90, 80}
    assert listening_ports("") == set()


def test_a_port_is_ready_when_something_listens(tmp_path: Path) -> None:
    process = FakeProcess(tmp_path)
    assert ListeningPort(8080).holds(process, host(tmp_path))
    assert not ListeningPort(8081).holds(process, host(tmp_path)), "a connection is no listener"
    assert ListeningPort(8080).what == "a listener on TCP port 8080"


def test_a_log_line_counts_once_it_is_whole(tmp_path: Path) -> None:
    process = FakeProcess(tmp_path)
    process.stdout.write_text("starting\nlistening on eth0")
    assert not LogLine("listening on").holds(process, host(tmp_path))
    process.stdout.write_text("starting\nlistening on eth0\n")
    assert LogLine("^listening on \\w+$").holds(process, host(tmp_path))


def test_a_log_line_may_be_asked_of_one_stream(tmp_path: Path) -> None:
    process = FakeProcess(tmp_path)
    process.stderr.write_text("ready\n")
    assert LogLine("ready").holds(process, host(tmp_path))
    assert LogLine("ready", "stderr").holds(process, host(tmp_path))
    assert not LogLine("ready", "stdout").holds(process, host(tmp_path))
    assert LogLine("ready", "stdout").what == "a line matching 'ready' on stdout"


def test_all_of_several_conditions(tmp_path: Path) -> None:
    process = FakeProcess(tmp_path)
    both = AllOf((LogLine("ready"), ListeningPort(8080)))
    assert not both.holds(process, host(tmp_path))
    process.stdout.write_text("ready\n")
    assert both.holds(process, host(tmp_path))
    assert both.what == "a line matching 'ready' on its output and a listener on TCP port 8080"
