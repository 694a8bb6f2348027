from __future__ import annotations

from pathlib import Path

from hopscope.capture.programs import PROGRAMS, Options
from hopscope.model.topology import Port
from support.fakehost import FakeHost

PORT = Port(host="client", name="eth0")  # type: ignore[call-arg]
OPTIONS = Options(filter="tcp or icmp", snaplen=128, buffer_kib=1024, limit_bytes=5000)


def test_tcpdump_is_bounded_and_stamps_nanoseconds(tmp_path: Path) -> None:
    argv = PROGRAMS["tcpdump"](FakeHost("client", tmp_path), PORT, Path("/c/x.pcap"), OPTIONS)
    assert argv[:4] == ["prlimit", "--fsize=5000", "--core=0", "--"]
    assert argv[4:8] == ["tcpdump", "-i", "eth0", "-n"]
    assert "--time-stamp-precision=nano" in argv
    assert "--immediate-mode" not in argv
    assert argv[-3:] == ["-w", "/c/x.pcap", "tcp or icmp"]


def test_the_recorder_is_copied_to_the_host_once_for_each_port(tmp_path: Path) -> None:
    host = FakeHost("client", tmp_path)
    argv = PROGRAMS["recorder"](host, PORT, Path("/c/x.pcap"), OPTIONS)
    assert argv[1:3] == ["-I", "-S"]
    assert argv[3:] == [str(tmp_path / "recorder-eth0.py"), "eth0", "/c/x.pcap", "1024", "128", "5000", "tcp or icmp"]
    assert "pcap_dispatch" in (tmp_path / "recorder-eth0.py").read_text()


def test_without_a_filter_everything_is_taken(tmp_path: Path) -> None:
    host = FakeHost("client", tmp_path)
    for program in PROGRAMS.values():
        assert program(host, PORT, Path("/x.pcap"), Options())[-1] in ("/x.pcap", "2000000000")
