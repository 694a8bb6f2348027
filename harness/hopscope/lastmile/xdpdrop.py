"""A fault: an XDP program that drops all that comes in on a device, until this process ends.

python xdpdrop.py DEVICE
"""

from __future__ import annotations

import signal
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("onhost")))

import bpf

XDP, LINK_CREATE, ATTACH_XDP, SKB_MODE = 6, 28, 37, 2
XDP_DROP = 1


def main() -> None:
    program = bpf.Program()
    program.add(bpf.MOV64, 0, imm=XDP_DROP)
    program.add(bpf.EXIT)
    fields = struct.pack("=IIII", program.load(XDP), socket.if_nametoindex(sys.argv[1]), ATTACH_XDP, SKB_MODE)
    bpf.bpf(LINK_CREATE, fields)
    print("attached", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
