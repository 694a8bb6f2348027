from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope.lab.wait import wait_until
from hopscope.traffic import generator, responder

HERE = Path(generator.__file__).parent


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; taken together, so that they differ."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


class Server:
    """A responder on loopback. ``stop`` gives its last counters."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.ports = free_ports(2)
        self.log = directory / "responder.out"
        argv = [sys.executable, "-I", "-S", str(HERE / "responder.py"), "--bind", "127.0.0.1"]
        argv += ["--ports", ",".join(map(str, self.ports)), *arguments]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT)
        wait_until(lambda: '"ready"' in self.log.read_text(), timeout=10, what="the responder")

    def accepted(self) -> int:
        """As of its newest counters; new ones are asked for."""
        self.process.send_signal(signal.SIGUSR1)
        return int(json.loads(self.log.read_text().rpartition("\n")[0].splitlines()[-1])["accepted"])

    def stop(self) -> dict[str, Any]:
        self.process.terminate()
        assert self.process.wait(10) == 0
        last: dict[str, Any] = json.loads(self.log.read_text().splitlines()[-1])
        return last


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, "--cc", "reno")
    yield running
    running.process.kill()
    running.process.wait()


def generate(*arguments: object, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", "-S", str(HERE / "generator.py"), *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)


def run(ports: list[int], *arguments: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    result = generate("--target", "127.0.0.1", "--ports", ",".join(map(str, ports)), *arguments)
    assert result.returncode == 0, result.stderr
    *lines, last = map(json.loads, result.stdout.splitlines())
    return lines, last["summary"]


def test_connections_on_their_timeline_over_all_ports(server: Server) -> None:
    lines, summary = run(server.ports, "--connections", 100, "--rate", 200, "--cc", "reno", "--first", 7)
    assert summary["outcomes"] == {"ok": 100}
    assert summary["established_rate"] == pytest.approx(200, rel=0.05)
    assert summary["cc"] == "reno"
    assert [line["port"] for line in lines[:4]] == server.ports * 2
    assert [line["id"] for line in lines[:2]] == [7, 8]
    for line in lines:
        assert line["start_ns"] <= line["connect_ns"] <= line["first_byte_ns"] <= line["end_ns"]
        assert line["bytes"] == 1024
    assert lines[-1]["start_ns"] - lines[0]["start_ns"] == pytest.approx(99 / 200 * 1e9, rel=0.1)
    counters = server.stop()
    assert (counters["accepted"], counters["requests"], counters["closed"], counters["open"]) == (100, 100, 100, 0)
    assert (counters["corrupt"], counters["short"], counters["reset"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("request_bytes", "response_bytes", "rounds"), [(16, 0, 1), (16, 1, 3), (70_000, 300_000, 3), (600_000, 16, 2)]
)
def test_sizes_and_rounds(server: Server, request_bytes: int, response_bytes: int, rounds: int) -> None:
    lines, summary = run(
        server.ports, "--connections", 5, "--request", request_bytes, "--response", response_bytes, "--rounds", rounds
    )
    assert summary["outcomes"] == {"ok": 5}
    assert {line["bytes"] for line in lines} == {response_bytes * rounds}
    counters = server.stop()
    assert counters["requests"] == 5 * rounds
    assert counters["bytes_in"] == 5 * rounds * request_bytes


def test_a_burst_has_no_rate(server: Server) -> None:
    _, summary = run(server.ports, "--connections", 200)
    assert summary["completed"] == 200
    assert summary["established_rate"] is None


def test_close_by_reset(server: Server) -> None:
    _, summary = run(server.ports, "--connections", 10, "--rate", 100, "--close", "rst")
    assert summary["outcomes"] == {"ok": 10}
    assert server.stop()["reset"] == 10


def test_nobody_listens() -> None:
    lines, summary = run(free_ports(1), "--connections", 3)
    assert summary["outcomes"] == {"refused": 3}
    assert lines[0]["connect_ns"] is None
    assert lines[0]["error"] == "Connection refused"


@pytest.fixture
def odd_server() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """A listener that treats its one connection as told, in a thread that ends with the test."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def listen(treat: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock, contextlib.suppress(ConnectionError):  # the generator resets what it gives up
                treat(sock)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield listen
    for thread in threads:
        thread.join(10)
    for listener in listeners:
        listener.close()


def test_a_changed_byte_is_found_at_its_place(odd_server: Callable[..., int]) -> None:
    def lie(sock: socket.socket) -> None:
        sock.recv(100)
        answer = bytearray(generator.pattern(0, generator.TO_CLIENT, 0, 1000))
        answer[700] ^= 1
        sock.sendall(answer)
        sock.recv(1)

    lines, _ = run([odd_server(lie)], "--connections", 1, "--response", 1000)
    assert lines[0]["outcome"] == "error"
    assert lines[0]["error"] == "response differs at byte 700 from what was to be sent"


def test_a_short_answer_a_long_one_a_reset_and_silence(odd_server: Callable[..., int]) -> None:
    def answer(length: int) -> Callable[[socket.socket], None]:
        def treat(sock: socket.socket) -> None:
            sock.recv(100)
            sock.sendall(generator.pattern(0, generator.TO_CLIENT, 0, length))

        return treat

    def reset(sock: socket.socket) -> None:
        sock.recv(100)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def silent(sock: socket.socket) -> None:
        while sock.recv(1000):
            pass

    for treat, outcome, error in [
        (answer(10), "short", "closed by the server after 10 of 1000 bytes"),
        (answer(1001), "error", "1001 bytes came: more than was asked for"),
        (reset, "reset", "Connection reset by peer"),
        (silent, "timeout", "0.3 s were not enough for the response"),
    ]:
        lines, _ = run([odd_server(treat)], "--connections", 1, "--response", 1000, "--deadline", 0.3)
        assert (lines[0]["outcome"], lines[0]["error"]) == (outcome, error)


def test_a_missed_deadline_is_watched_on_and_the_error_says_when_the_answer_came(
    odd_server: Callable[..., int],
) -> None:
    def slow(pause: float) -> Callable[[socket.socket], None]:
        def treat(sock: socket.socket) -> None:
            sock.recv(100)
            threading.Event().wait(pause)
            sock.sendall(generator.pattern(0, generator.TO_CLIENT, 0, 1000))
            sock.recv(1)

        return treat

    def reset(sock: socket.socket) -> None:
        sock.recv(100)
        threading.Event().wait(0.5)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    missed = "0.2 s were not enough for the response"
    seconds = r"\d\.\d{3} s"
    came = rf"connected after {seconds}, first byte after 0\.[5-9]\d\d s, all of it after {seconds}, closed after"
    gone = rf"connected after {seconds}, and no more in 0.3 s of grace"
    cut = rf"connected after {seconds}, then Connection reset by peer after 0\.[5-9]"
    for treat, grace, outcome, told in [
        (slow(0.5), 2, "late", came),
        (slow(2), 0.3, "timeout", gone),
        (reset, 2, "reset", cut),
    ]:
        lines, summary = run(
            [odd_server(treat)], "--connections", 1, "--response", 1000, "--deadline", 0.2, "--grace", grace
        )
        assert summary["outcomes"] == {outcome: 1}
        assert lines[0]["missed"] == missed
        assert re.match(f"{missed}: {told}", lines[0]["error"]), lines[0]["error"]


def test_some_in_time_and_some_late_end_when_the_last_of_them_does(
    server: Server, odd_server: Callable[..., int]
) -> None:
    def silent(sock: socket.socket) -> None:
        while sock.recv(1000):
            pass

    ports = [server.ports[0], odd_server(silent)]
    lines, summary = run(ports, "--connections", 2, "--deadline", 0.2, "--grace", 0.2)
    assert [line["outcome"] for line in lines] == ["ok", "timeout"]
    assert summary["completed"] == 1
    assert lines[0]["missed"] is None


def test_a_corrupt_request_is_counted_and_reset(server: Server) -> None:
    request = bytearray(generator.request_bytes(3, 0, 100, 50))
    request[60] ^= 1
    for data in (bytes(request), b"GET / HTTP/1.0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.ports[0])) as sock:
            sock.sendall(data)
            with pytest.raises(ConnectionResetError):
                sock.recv(100)
    assert server.stop()["corrupt"] == 2
    assert "request of connection 3 differs within bytes 16-100" in server.log.read_text()


def test_a_request_cut_off_is_short(server: Server) -> None:
    for data in (b"HO", generator.request_bytes(0, 0, 100, 50)[:40]):
        with socket.create_connection(("127.0.0.1", server.ports[0])) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == b""
    assert server.stop()["short"] == 2


def test_a_request_in_pieces_is_one_request(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.ports[0])) as sock:
        data = generator.request_bytes(9, 0, 40, 5) + generator.request_bytes(9, 40, 30, 5)
        for index in range(0, len(data), 7):
            sock.sendall(data[index : index + 7])
        answer = b""
        while len(answer) < 10:
            answer += sock.recv(10 - len(answer))
    assert answer == generator.pattern(9, generator.TO_CLIENT, 0, 10)


def test_a_request_is_answered_when_it_is_whole_and_not_before(server: Server) -> None:
    request = generator.request_bytes(3, 0, 1000, 50)
    with socket.create_connection(("127.0.0.1", server.ports[0]), timeout=10) as sock:
        for begin, end in ((0, 20), (20, 400), (400, 999)):
            sock.sendall(request[begin:end])
            sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                sock.recv(1)
        sock.settimeout(10)
        sock.sendall(request[999:])
        assert len(sock.recv(50, socket.MSG_WAITALL)) == 50


def test_what_cannot_be_asked_is_said_before_anything_starts() -> None:
    for arguments, code, words in [
        (("--connections", 10**6), 64, "1000000 connections do not fit: 1 client address(es) x 2 server port(s)"),
        (("--connections", 0), 64, "at least 1"),
        (("--connections", 1, "--request", 5), 64, "at least 16 bytes"),
        (("--connections", 1, "--rate", 0), 64, "a rate is above 0"),
        (("--connections", 1, "--cc", "none-such"), 2, "congestion control 'none-such' is refused"),
    ]:
        result = generate("--target", "127.0.0.1", "--ports", "1,2", *arguments)
        assert result.returncode == code
        assert words in result.stderr
        assert result.stdout == ""


def test_a_generator_that_is_told_to_stop_still_reports(server: Server) -> None:
    argv = [sys.executable, "-I", "-S", str(HERE / "generator.py"), "--target", "127.0.0.1"]
    argv += ["--ports", str(server.ports[0]), "--connections", "1000", "--rate", "20"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: server.accepted() > 3, timeout=10, interval=0.05, what="some connections")
    process.terminate()
    output, _ = process.communicate(timeout=10)
    summary = json.loads(output.splitlines()[-1])["summary"]
    assert summary["stopped"] is True
    assert 0 < summary["completed"] < 1000
    assert len(output.splitlines()) == 1001


def test_a_taken_port_and_a_refused_congestion_control(server: Server) -> None:
    argv = [sys.executable, "-I", "-S", str(HERE / "responder.py"), "--bind", "127.0.0.1", "--ports"]
    for arguments, words in [
        ([str(server.ports[0])], "Address already in use"),
        ([str(free_ports(1)[0]), "--cc", "none-such"], "congestion control 'none-such' is refused"),
    ]:
        result = subprocess.run([*argv, *arguments], capture_output=True, text=True, timeout=10, check=False)
        assert result.returncode == 2
        assert words in result.stderr


@given(st.integers(0, 2**32 - 1), st.integers(0, 1), st.integers(0, 2**40), st.integers(0, 5000), st.integers(0, 5000))
def test_the_pattern_is_one_stream_however_it_is_cut(number: int, way: int, offset: int, one: int, two: int) -> None:
    whole = generator.pattern(number, way, offset, one + two)
    assert whole == generator.pattern(number, way, offset, one) + generator.pattern(number, way, offset + one, two)
    assert whole == responder.pattern(number, way, offset, one + two)
    assert len(whole) == one + two


def test_both_programs_speak_the_same_format() -> None:
    for name in ("MAGIC", "PERIOD", "CHUNK", "PATTERN", "TO_SERVER", "TO_CLIENT"):
        assert getattr(generator, name) == getattr(responder, name)
    assert generator.HEADER.format == responder.HEADER.format
    assert len(generator.PATTERN) == generator.PERIOD + generator.CHUNK


def stamps(count: int, interval: float) -> list[int]:
    return [int(index * interval * 1e9) for index in range(count)]


def test_the_established_rate() -> None:
    rate = generator.established_rate
    assert rate(stamps(100, 0.01), 100, 100) == pytest.approx(100, rel=0.011)
    assert rate(stamps(100, 0.02), 100, 100) == pytest.approx(50, rel=0.02)
    assert rate(stamps(90, 0.01), 100, 100) == pytest.approx(90), "the last tenth was refused"
    assert rate(stamps(100, 0.01)[::2], 100, 100) == pytest.approx(50), "every second one was refused"
    late = [*stamps(99, 0.01), 2_000_000_000]
    assert rate(late, 100, 100) == pytest.approx(100, rel=0.011), "one retransmitted SYN is no slower timeline"
    assert rate([], 100, 100) == 0
    assert rate(stamps(100, 0.0), 100, None) is None


def test_port_space() -> None:
    assert generator.port_space(32768, 60999, 1, 1) == 28232
    assert generator.port_space(32768, 60999, 2, 4) == 8 * 28232
    options = argparse.Namespace(connections=1, source=[], ports=[80])
    assert generator.check_port_space(options) is None


def test_with_few_open_files_the_next_connection_waits_for_room_and_a_burst_is_refused(server: Server) -> None:
    argv = ["prlimit", f"--nofile={generator.OTHER_FILES + 3}", sys.executable, "-I", generator.__file__]
    argv += ["--target", "127.0.0.1", "--ports", ",".join(map(str, server.ports)), "--connections", "40"]
    paced = subprocess.run([*argv, "--rate", "20000"], capture_output=True, text=True, timeout=30, check=True)
    lines = [json.loads(line) for line in paced.stdout.splitlines()]
    assert [line["outcome"] for line in lines[:-1]] == ["ok"] * 40
    spans = [(line["start_ns"], line["end_ns"]) for line in lines[:-1]]
    assert max(sum(a <= start <= b for a, b in spans) for start, _ in spans) <= 3
    burst = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert burst.returncode == 2
    assert "raise `ulimit -Hn`, or give a --rate" in burst.stderr
    assert "40 connections at once need as many open files and the limit is 67" in burst.stderr
