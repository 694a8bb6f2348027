"""Frames with everything in them, some damaged in one byte, for second opinions on columns and checksums."""

from __future__ import annotations

import random
import struct

from support import frames

V6 = {"src": "fd00::1", "dst": "fd00::2"}


def some_frames(count: int, rng: random.Random) -> list[bytes]:
    """TCP, UDP and ICMP of both families, with tags, IP options, extension headers and TCP options; a third damaged."""
    out = []
    for _ in range(count):
        six = rng.random() < 0.4
        proto, inner = _transport(rng, six)
        packet = _six(rng, proto, inner) if six else _four(rng, proto, inner)
        tags = rng.choice((b"", b"", b"\x81\x00\x00\x07", b"\x88\xa8\x00\x05\x81\x00\x00\x06"))
        whole = frames.mac("02:00:00:00:00:02") + frames.mac("02:00:00:00:00:01") + tags
        frame = (whole + (b"\x86\xdd" if six else b"\x08\x00") + packet).ljust(60, b"\0")
        if rng.random() < 0.35:
            at = rng.randrange(12, min(len(frame), 120))
            frame = frame[:at] + bytes([frame[at] ^ rng.choice((1, 2, 16, 128, 255))]) + frame[at + 1 :]
        out.append(frame)
    return out


def _transport(rng: random.Random, six: bool) -> tuple[int, bytes]:
    payload, ends = rng.randbytes(rng.randrange(0, 90)), V6 if six else {}
    kind = rng.randrange(5)
    if kind < 3:
        flags = rng.choice(["S", "SA", "A", "PA", "FA", "R", "RA", "SEC", "A"])
        numbers = rng.getrandbits(32), rng.getrandbits(32)
        return 6, frames.tcp(rng.randrange(1, 65536), 8080, flags, *numbers, payload, window=rng.getrandbits(16),
                             options=_options(rng), **ends)  # fmt: skip
    if kind == 3:
        return 17, frames.udp(40000, rng.randrange(20000, 30000), payload, zero=not six and rng.random() < 0.2, **ends)
    if not six:
        return 1, frames.icmp(payload=payload)
    message = struct.pack("!BBHHH", 128, 0, 0, 1, 1) + payload
    value = frames.checksum(frames.pseudo(*V6.values(), 58, len(message)) + message)
    return 58, message[:2] + struct.pack("!H", value) + message[4:]


def _options(rng: random.Random) -> bytes:
    known = [
        frames.option_mss(1460), frames.option_wscale(7), frames.option_sack_permitted(), b"\x01", b"\x01\x01",
        frames.option_timestamps(rng.getrandbits(32), rng.getrandbits(32)),
        frames.option_sack(*(rng.getrandbits(32) for _ in range(2 * rng.randrange(1, 3)))), b"\xfd\x04ab",
    ]  # fmt: skip
    chosen = b"".join(rng.sample(known, rng.randrange(0, 4)))
    return chosen if len(chosen) <= 40 else b""


def _four(rng: random.Random, proto: int, inner: bytes) -> bytes:
    options = rng.choice((b"", b"", b"", b"\x01\x01\x01\x00", b"\x94\x04\x00\x00"))
    fragment = rng.choice((0x4000, 0x4000, 0x4000, 0x2000, 0x0010))
    return frames.ipv4(inner, proto=proto, options=options, ident=rng.getrandbits(16), fragment=fragment)


def _six(rng: random.Random, proto: int, inner: bytes) -> bytes:
    body, following = inner, proto
    for kind in rng.choice(((), (), (60,), (0,), (44,), (60, 44))):
        size = 8 if kind == 44 else 8 * rng.randrange(1, 3)
        head = bytes([following, 0 if kind == 44 else size // 8 - 1])
        if kind == 44:  # the first part of a datagram, or all of it
            head += struct.pack("!HI", rng.choice((0, 1)), rng.getrandbits(32))
        else:
            head += b"\x01" + bytes([size - 4]) + bytes(size - 4)
        body, following = head + body, kind
    return frames.ipv6(body, proto=following, **V6)
