from __future__ import annotations

import pytest

from hopscope_nic.errors import EnvironmentFault, UsageError
from hopscope_nic.io.netlink import Address, Link
from hopscope_nic.io.ports import Inventory, find_ports

INVENTORY = Inventory(
    [
        Link(1, "lo", bytes(6), 65536),
        Link(2, "eth0", b"\x02\0\0\0\0\1", 1500),
        Link(3, "eth1", b"\x02\0\0\0\0\2", 9001),
        Link(4, "tun0", b"", 1500),
    ],
    [
        Address(1, bytes((127, 0, 0, 1)), 8),
        Address(2, bytes((10, 1, 0, 1)), 24),
        Address(3, bytes((10, 1, 1, 1)), 24),
        Address(3, bytes((10, 1, 1, 9)), 32),
    ],
)


def test_the_standard_chain_needs_no_flag():
    client, server = find_ports("clientnic", "", "", INVENTORY)
    assert (client.name, server.name, server.mtu) == ("eth0", "eth1", 9001)
    assert server.addresses == ("10.1.1.1/24", "10.1.1.9/32")
    assert INVENTORY.own_addresses == ["127.0.0.1", "10.1.0.1", "10.1.1.1", "10.1.1.9"]


def test_by_name_or_subnet():
    assert find_ports("servernic", "eth1", "10.1.0.0/16", INVENTORY_ONE)[1].name == "eth0"


INVENTORY_ONE = Inventory(
    [Link(2, "eth0", b"\x02\0\0\0\0\1", 1500), Link(3, "eth1", b"\x02\0\0\0\0\2", 1500)],
    [Address(2, bytes((10, 1, 0, 1)), 24)],
)


def test_the_error_names_what_exists():
    with pytest.raises(EnvironmentFault) as caught:
        find_ports("clientnic", "eth2", "", INVENTORY)
    assert str(caught.value) == (
        "--client-port eth2: no such interface; "
        "here: eth0 (10.1.0.1/24), eth1 (10.1.1.1/24, 10.1.1.9/32), tun0 (no address)"
    )


@pytest.mark.parametrize(
    ("client", "server", "error", "words"),
    [
        ("192.0.2.0/24", "", EnvironmentFault, "no interface has an address in it"),
        ("10.1.0.0/16", "", EnvironmentFault, "eth0, eth1 all have an address in it"),
        ("10.1.0.0/33", "", UsageError, "--client-port 10.1.0.0/33"),
        ("tun0", "", EnvironmentFault, "not an Ethernet interface"),
        ("eth1", "eth1", UsageError, "are both eth1"),
    ],
)
def test_what_cannot_be(client, server, error, words):
    with pytest.raises(error, match=words):
        find_ports("clientnic", client, server, INVENTORY)


def test_nothing_at_all():
    with pytest.raises(EnvironmentFault, match="here: none but lo"):
        find_ports("clientnic", "", "", Inventory([], []))
