"""Finding the two ports of a box, by interface name or by subnet.

Interface names differ from image to image, addresses are what people plan: so a subnet is the default, and an error
lists what is really there.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import List, NamedTuple, Tuple

from hopscope_nic.errors import EnvironmentFault, UsageError
from hopscope_nic.io.netlink import Address, Link, Netlink

DEFAULTS = {
    "clientnic": ("10.1.0.0/24", "10.1.1.0/24"),
    "servernic": ("10.1.1.0/24", "10.1.2.0/24"),
}
"""Subnets of the client port and of the server port on the standard chain."""


class Port(NamedTuple):
    """An interface that flows pass through."""

    name: str
    ifindex: int
    mac: bytes
    mtu: int
    addresses: Tuple[str, ...]
    """With prefix length: "10.1.1.2/24"."""


class Inventory:
    """The interfaces and IPv4 addresses of this namespace."""

    def __init__(self, links: List[Link], addresses: List[Address]) -> None:
        self._links = links
        self._addresses = addresses

    @classmethod
    def read(cls, netlink: Netlink) -> Inventory:
        """As they are now."""
        return cls(netlink.links(), netlink.addresses())

    @property
    def own_addresses(self) -> List[str]:
        """Every IPv4 address of the box, without prefix length."""
        return [str(IPv4Address(address.local)) for address in self._addresses]

    def find(self, flag: str, wanted: str) -> Port:
        """The one interface called `wanted`, or that has an address in the subnet `wanted`; `flag` is for the error.

        EnvironmentFault naming the interfaces that exist; UsageError for a subnet that is none.
        """
        if "/" in wanted:
            try:
                subnet = IPv4Network(wanted, strict=False)
            except ValueError as error:
                raise UsageError(f"{flag} {wanted}: {error}") from None
            indexes = {a.ifindex for a in self._addresses if IPv4Address(a.local) in subnet}
            found = [link for link in self._links if link.ifindex in indexes]
            missing = "no interface has an address in it"
        else:
            found = [link for link in self._links if link.name == wanted]
            missing = "no such interface"
        if not found:
            raise EnvironmentFault(f"{flag} {wanted}: {missing}; here: {self.describe()}")
        if len(found) > 1:
            names = ", ".join(link.name for link in found)
            raise EnvironmentFault(f"{flag} {wanted}: {names} all have an address in it; name one")
        link = found[0]
        if len(link.mac) != 6:
            raise EnvironmentFault(f"{flag} {wanted}: {link.name} is not an Ethernet interface")
        return Port(link.name, link.ifindex, link.mac, link.mtu, tuple(self._of(link)))

    def _of(self, link: Link) -> List[str]:
        return [f"{IPv4Address(a.local)}/{a.prefix}" for a in self._addresses if a.ifindex == link.ifindex]

    def describe(self) -> str:
        """For an error: "eth0 (10.1.1.2/24), eth1 (no address)", loopback left out."""
        parts = [
            f"{link.name} ({', '.join(self._of(link)) or 'no address'})"
            for link in sorted(self._links, key=lambda link: link.name)
            if link.name != "lo"
        ]
        return ", ".join(parts) or "none but lo"


def find_ports(role: str, client_port: str, server_port: str, inventory: Inventory) -> Tuple[Port, Port]:
    """The client side and the server side; an empty name stands for the role's default subnet."""
    defaults = DEFAULTS[role]
    client = inventory.find("--client-port", client_port or defaults[0])
    server = inventory.find("--server-port", server_port or defaults[1])
    if client.ifindex == server.ifindex:
        raise UsageError(f"--client-port and --server-port are both {client.name}; a box has two ports")
    return client, server
