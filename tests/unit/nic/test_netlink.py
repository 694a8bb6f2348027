from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.io import netlink
from hopscope_nic.io.netlink import Neighbour, Netlink

MAC = b"\x02\0\0\0\0\7"


def neighbour_body(state: int = 0x02, family: int = 2, mac: bytes = MAC) -> bytes:
    body = netlink._NEIGHBOUR.pack(family, 5, state, 0, 0)
    return body + netlink._attribute(1, bytes((10, 1, 0, 10))) + netlink._attribute(2, mac)


def test_a_neighbour_counts_while_it_is_valid():
    body = neighbour_body()
    known = Neighbour(5, bytes((10, 1, 0, 10)), MAC)
    assert netlink._neighbour(body, 0, len(body), False) == known
    assert netlink._neighbour(body, 0, len(body), True) == known._replace(mac=b"")
    failed = neighbour_body(state=0x20)
    assert netlink._neighbour(failed, 0, len(failed), False) == known._replace(mac=b"")
    assert netlink._neighbour(neighbour_body(family=10), 0, len(body), False) is None


@given(st.binary(max_size=100))
def test_attributes_stay_inside(data):
    netlink._attributes(data, 0, len(data))
    list(netlink._messages(data))


def test_this_machine_has_a_loopback():
    asked = Netlink()
    try:
        assert "lo" in [link.name for link in asked.links()]
        assert all(len(address.local) == 4 for address in asked.addresses())
        assert asked.route(bytes((127, 0, 0, 1))) is None
    finally:
        asked.close()
