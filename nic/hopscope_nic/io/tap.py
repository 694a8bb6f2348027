"""A TAP device: where programs in the kernel put the frames that are for this process.

A frame in a buffer begins with struct virtio_net_hdr, as one of a packet socket does (`port_socket`). The device has no
address and lives as long as its descriptor, so a process that ends in whatever way leaves nothing behind.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from hopscope_nic.errors import EnvironmentFault

_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_CSUM, _TSO4, _TSO_ECN = 0x01, 0x02, 0x08
_SIOCSIFFLAGS, _SIOCGIFINDEX, _SIOCSIFTXQLEN = 0x8914, 0x8933, 0x8943
_IFF_UP = 1
_QUEUE = 8192  # frames that may wait for us
_REQUEST = struct.Struct("16sI20x")  # struct ifreq


class Tap:
    """From the first moment until `close`. EnvironmentFault when this user or this machine cannot."""

    def __init__(self) -> None:
        try:
            self.descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise EnvironmentFault(f"/dev/net/tun: {error.strerror}") from None
        try:
            request = _REQUEST.pack(b"hopnic%d", _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
            named = fcntl.ioctl(self.descriptor, _TUNSETIFF, request)[:16]
            self.name = named.rstrip(b"\0").decode()
            fcntl.ioctl(self.descriptor, _TUNSETOFFLOAD, _CSUM | _TSO4 | _TSO_ECN)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                fcntl.ioctl(control, _SIOCSIFTXQLEN, _REQUEST.pack(named, _QUEUE))
                self.ifindex: int = _REQUEST.unpack(fcntl.ioctl(control, _SIOCGIFINDEX, _REQUEST.pack(named, 0)))[1]
                fcntl.ioctl(control, _SIOCSIFFLAGS, _REQUEST.pack(named, _IFF_UP))
        except OSError as error:
            self.close()
            raise EnvironmentFault(f"a TAP device: {error.strerror}") from None

    def receive(self, buffer: bytearray) -> int:
        """One frame; its size. BlockingIOError when there is none."""
        return os.readv(self.descriptor, [buffer])

    def dropped(self) -> int:
        """Frames lost so far because nobody read them in time (proc_pid_net(5), dev)."""
        with open("/proc/self/net/dev", encoding="ascii") as table:
            for line in table:
                name, _, columns = line.partition(":")
                if name.strip() == self.name:
                    return int(columns.split()[11])
        return 0

    def close(self) -> None:
        os.close(self.descriptor)
