"""The guard around the network is itself something that could be broken."""

from __future__ import annotations

import socket

import pytest
from _pytest.outcomes import Failed


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")])
def test_a_connection_to_outside_fails_the_test_before_a_packet_is_sent(family: int, address: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as sock, pytest.raises(Failed, match="only loopback"):
        sock.connect((address, 9))


def test_loopback_is_allowed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", 9))
        assert sock.getpeername() == ("127.0.0.1", 9)
