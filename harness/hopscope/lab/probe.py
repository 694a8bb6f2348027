"""Kernel features tried by use, where no tool does it. Run by path as ``python -I -S probe.py FEATURE`` inside a
throw-away namespace, standard library alone. Exits 0 when the feature works, else with the reason on standard error.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
SOL_PACKET, PACKET_VNET_HDR, ETH_P_ALL = 263, 15, 0x0003
TCP_CONGESTION = 13
BPF_PROG_LOAD, BPF_PROG_TYPE_SCHED_CLS = 5, 3
SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}


def tap() -> None:
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"probe-tap", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(fd, TUNSETOFFLOAD, 1)
    os.close(fd)


def packet() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as port:
        port.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        port.bind(("lo", ETH_P_ALL))


def congestion(algorithm: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, algorithm.encode())


def libpcap() -> None:
    """The names are those that the recorder of captures looks for."""
    for name in ("libpcap.so.0.8", "libpcap.so.1", "libpcap.so"):
        with suppress(OSError):
            ctypes.CDLL(name)
            return
    raise OSError("there is no libpcap")


def bpf() -> None:
    """Load ``r0 = 0; exit`` as a tc classifier (bpf(2): union bpf_attr, the part for BPF_PROG_LOAD)."""
    number = SYS_BPF.get(platform.machine())
    if number is None:
        raise OSError(f"the number of bpf(2) on {platform.machine()} is not known here")
    code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "IIQQ", BPF_PROG_TYPE_SCHED_CLS, 2, ctypes.addressof(code), ctypes.addressof(licence)
    ) + bytes(96)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(number, BPF_PROG_LOAD, attributes, len(attributes))
    if fd < 0:
        raise OSError(ctypes.get_errno(), f"bpf(2): {os.strerror(ctypes.get_errno())}")
    os.close(fd)


def main() -> int:
    feature, *arguments = sys.argv[1:]
    features: dict[str, Callable[..., None]] = {
        "tap": tap,
        "packet": packet,
        "congestion": congestion,
        "libpcap": libpcap,
        "bpf": bpf,
    }
    try:
        features[feature](*arguments)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
