"""The programs of one box in a network namespace of their own, run on single packets by BPF_PROG_TEST_RUN.

Nothing is attached, and what they send goes nowhere.
"""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor

from hopscope_nic.core.segment import HEADROOM
from hopscope_nic.core.selection import PortRange
from hopscope_nic.io import bpf
from hopscope_nic.io.kernel_entry import Entry
from hopscope_nic.io.kernel_flows import KernelFlows

TO_ROUTER, DROPPED = 0xFFFFFFFF, 2
GIVEN = 7  # bpf_redirect's: to a TAP, or out of the port that it came in on
_HEADER = bytes(12) + b"\x08\x00"  # loopback's addresses: a frame for this station


class Kernel:
    """The programs of one box, and the machine that tells them what to carry."""

    def __init__(self, machine) -> None:
        self.machine = machine
        told = bpf.config(machine, [1500, 1500], [PortRange(8080, 8080)], [], bytes(16))
        self.programs = bpf.Programs([1, 1], 16, told)
        machine.offload = self.flows = KernelFlows(self.programs.flows)
        self.thread = ThreadPoolExecutor(1, initializer=_leave)

    def run(self, side: int, packet: bytes) -> tuple[int, bytes]:
        """What becomes of a packet, and the packet behind the program."""
        program = f"cross_{'server' if side else 'client'}"
        outcome, frame = self.thread.submit(self.programs.run, program, _HEADER + packet).result(10)
        return outcome, frame[14:]

    def is_given(self, side: int, packet: bytes) -> bool:
        """Whether user space has it."""
        return self.run(side, packet)[0] == GIVEN

    def entry(self, packet: bytes) -> Entry:
        """Of the flow of a packet from the client."""
        return Entry.read(self.programs.flows.get(packet[12:24]))

    def stop(self) -> None:
        self.thread.shutdown()
        self.programs.stop()


def _leave() -> None:
    assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0, "CLONE_NEWNET"


def frame(packet: bytes) -> bytearray:
    """As the datapath has it in its buffer."""
    return bytearray(HEADROOM) + packet
