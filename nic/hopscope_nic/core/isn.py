"""The initial sequence number that ClientNIC answers with: RFC 6528, a keyed hash of the 4-tuple plus a clock.

The clock ticks every 4 µs, so a later connection on the same 4-tuple begins ahead of what the earlier one used. The
same number is the first TSval towards the client, and for the same reason that is ahead too.
"""

from __future__ import annotations

from hashlib import blake2s

KEY_BYTES = 32
TICKS_PER_SECOND = 250_000
MASK = 0xFFFFFFFF


def spoofed_isn(secret: bytes, four_tuple: bytes, now: float) -> int:
    """V for this connection attempt: 32 bits, never 0 (0 in the acknowledgement field means "no stamp").

    `four_tuple` is the 12 octets source, destination, ports; `now` is in seconds of any clock that does not go back.
    """
    digest = blake2s(four_tuple, digest_size=4, key=secret).digest()
    return (int.from_bytes(digest, "big") + int(now * TICKS_PER_SECOND)) & MASK or 1
