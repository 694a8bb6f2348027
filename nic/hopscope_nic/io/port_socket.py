"""A packet socket on one port: filtered before it is bound, whole superframes, never its own frames.

A frame in a buffer: struct virtio_net_hdr (10 octets, linux/virtio_net.h), Ethernet header (14), IPv4 packet. The
first says whether the checksum is unfinished and how large the pieces of a superframe are; sent with the frame, it
makes the kernel finish both, so nothing here cuts or sums up payload.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Callable

from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io.ports import Port

_SOL_PACKET = 263
_PACKET_STATISTICS, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 6, 15, 23
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
ETH_P_IP = 0x0800
NOTHING = 0
"""The protocol of a socket that only sends."""
_BUFFER_OCTETS = 16 * 1024 * 1024

NEEDS_CHECKSUM = 1
DATA_VALID = 2
MAX_FRAME = 10 + 14 + 65535


def open_port(port: Port, attach_filter: Callable[[socket.socket], None], protocol: int) -> socket.socket:
    """A socket that receives what the filter lets through. EnvironmentFault when this user or kernel cannot."""
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except PermissionError:
        raise EnvironmentFault("packet sockets need root or CAP_NET_RAW") from None
    try:
        attach_filter(sock)
        sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        with suppress(OSError):  # Linux before 4.20; bound to one protocol, the socket does not see what leaves
            sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        for option, fallback in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            try:
                sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_OCTETS)
            except OSError:
                sock.setsockopt(socket.SOL_SOCKET, fallback, _BUFFER_OCTETS)
        sock.bind((port.name, protocol))
    except OSError as error:
        sock.close()
        raise EnvironmentFault(f"{port.name}: {error.strerror}") from error
    return sock


def overruns(sock: socket.socket) -> int:
    """Frames lost since the last call because nobody read them in time (struct tpacket_stats)."""
    return int(struct.unpack("=II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1])
