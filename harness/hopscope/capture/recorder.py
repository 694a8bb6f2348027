"""A capture that drains fast. A program of its own: standard library and libpcap, Python >= 3.9, Linux.

    python -I -S recorder.py INTERFACE FILE BUFFER_KIB SNAPLEN LIMIT_BYTES [FILTER]

It is tcpdump's own machinery (libpcap reads the ring and ``pcap_dump`` writes the file, no packet passes through
Python) with the one knob that tcpdump has not: the time after which the kernel hands over a partly filled block of the
ring, 0.05 s instead of 1 s. It also needs no setgroups and no chown, so a plain user's lab can capture; and it says
when the disk is full instead of going on. On standard error, as tcpdump: ``listening on``, counters on SIGUSR1 (the
file is written out then) and at the end on SIGINT or SIGTERM. Exit codes: 0, 64 usage, 2 cannot capture, 3 full.

Six of these start at once, so it imports little: argparse and socket alone double the start.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import sys
from typing import Any

BLOCK_MS = 50
"""Time after which a block of the ring is handed over. Six taps cost about 1 % of a core at this."""
PRECISION_NANO = 1
NETMASK_UNKNOWN = 0xFFFFFFFF
WHOLE_FRAMES = 262144
ERROR_BYTES = 256


class Failure(Exception):
    """Cannot go on; ``code`` is the exit code."""

    def __init__(self, text: str, code: int = 2) -> None:
        super().__init__(text)
        self.code = code


class Statistics(ctypes.Structure):
    """struct pcap_stat of pcap.h."""

    _fields_ = (("received", ctypes.c_uint), ("dropped", ctypes.c_uint), ("interface", ctypes.c_uint))


class Program(ctypes.Structure):
    """struct bpf_program of pcap/bpf.h."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def library() -> Any:
    """libpcap, by the names that distributions give it."""
    for name in ("libpcap.so.0.8", "libpcap.so.1", "libpcap.so"):
        try:
            pcap = ctypes.CDLL(name, use_errno=True)
            break
        except OSError:
            continue
    else:
        raise Failure("there is no libpcap: install tcpdump (or libpcap), which brings it")
    for name in ("pcap_create", "pcap_dump_open", "pcap_dump_file"):
        getattr(pcap, name).restype = ctypes.c_void_p
    for name in ("pcap_geterr", "pcap_statustostr"):
        getattr(pcap, name).restype = ctypes.c_char_p
    pcap.pcap_dump_ftell64.restype = ctypes.c_int64
    return pcap


class Recorder:
    def __init__(self, interface: str, file: str, buffer_kib: int, snaplen: int, limit: int, filter: str) -> None:
        self.pcap = library()
        self.libc = ctypes.CDLL(None)
        self.limit = limit
        self.file = file
        self.captured = 0
        errors = ctypes.create_string_buffer(ERROR_BYTES)
        self.handle = ctypes.c_void_p(self.pcap.pcap_create(interface.encode(), errors))
        if not self.handle:
            raise Failure(errors.value.decode())
        self.pcap.pcap_set_snaplen(self.handle, snaplen)
        self.pcap.pcap_set_promisc(self.handle, 1)
        self.pcap.pcap_set_timeout(self.handle, BLOCK_MS)
        self.pcap.pcap_set_buffer_size(self.handle, buffer_kib * 1024)
        if self.pcap.pcap_set_tstamp_precision(self.handle, PRECISION_NANO):
            raise Failure("this libpcap stamps no nanoseconds")
        status = self.pcap.pcap_activate(self.handle)
        if status < 0:
            why = self.pcap.pcap_statustostr(status).decode()
            raise Failure(f"{interface}: {why}: {self.why()}")
        if filter:
            self.set_filter(filter)
        self.dumper = ctypes.c_void_p(self.pcap.pcap_dump_open(self.handle, os.fsencode(self.file)))
        if not self.dumper:
            raise Failure(self.why())
        self.write_out()
        if self.pcap.pcap_setnonblock(self.handle, 1, errors):
            raise Failure(errors.value.decode())

    def why(self) -> str:
        return str(self.pcap.pcap_geterr(self.handle).decode())

    def set_filter(self, text: str) -> None:
        program = Program()
        compiled = self.pcap.pcap_compile(
            self.handle, ctypes.byref(program), text.encode(), 1, ctypes.c_uint(NETMASK_UNKNOWN)
        )
        if compiled or self.pcap.pcap_setfilter(self.handle, ctypes.byref(program)):
            raise Failure(f"filter {text!r}: {self.why()}", 64)

    def run(self, wake: int) -> None:
        """Write what comes until SIGINT or SIGTERM. Raises Failure when no more can be written or captured."""
        poller = select.poll()
        fd = self.pcap.pcap_get_selectable_fd(self.handle)
        poller.register(fd, select.POLLIN)
        poller.register(wake, select.POLLIN)
        while True:
            ready = {each for each, _ in poller.poll()}
            if fd in ready:
                self.take()
            if wake in ready:
                for number in os.read(wake, 64):
                    if number == signal.SIGUSR1:
                        self.write_out()
                        self.tell()
                    else:
                        return

    def take(self) -> None:
        count = self.pcap.pcap_dispatch(self.handle, -1, self.pcap.pcap_dump, self.dumper)
        if count < 0:
            raise Failure(self.why())
        self.captured += count
        self.check_written()
        if self.limit and self.written() > self.limit:
            self.write_out()
            raise Failure(f"{self.file}: the bound of {self.limit} bytes is reached", 3)

    def written(self) -> int:
        """Bytes of the file, those that still wait in the stream included."""
        return int(self.pcap.pcap_dump_ftell64(self.dumper))

    def write_out(self) -> None:
        if self.pcap.pcap_dump_flush(self.dumper):
            raise Failure(f"{self.file}: {os.strerror(ctypes.get_errno())}", 3)
        self.check_written()

    def check_written(self) -> None:
        """Raise Failure when a write has failed before: ``pcap_dump`` does not tell, its stream remembers."""
        if self.libc.ferror(ctypes.c_void_p(self.pcap.pcap_dump_file(self.dumper))):
            disk = os.statvfs(self.file)
            why = os.strerror(errno.EIO if disk.f_bavail else errno.ENOSPC)
            raise Failure(f"{self.file}: {why}", 3)

    def tell(self) -> None:
        counts = Statistics()
        if self.pcap.pcap_stats(self.handle, ctypes.byref(counts)):
            raise Failure(self.why())
        say(
            f"{self.captured} packets captured, {counts.received} packets received by filter, "
            f"{counts.dropped} packets dropped by kernel"
        )


def say(text: str) -> None:
    print(f"recorder: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    try:
        interface, file, *numbers = argv[:5]
        buffer_kib, snaplen, limit = (int(each) for each in numbers)
    except ValueError:
        say("usage: recorder.py INTERFACE FILE BUFFER_KIB SNAPLEN LIMIT_BYTES [FILTER]")
        return 64
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda signum, frame: None)
    try:
        recorder = Recorder(interface, file, buffer_kib, snaplen or WHOLE_FRAMES, limit, " ".join(argv[5:]))
        say(f"listening on {interface}, snapshot length {snaplen or WHOLE_FRAMES} bytes")
        try:
            recorder.run(read)
            recorder.write_out()
            say(f"{recorder.written()} bytes in the file")
        finally:
            recorder.tell()
    except Failure as failure:
        say(str(failure))
        return failure.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
