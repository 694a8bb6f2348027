from __future__ import annotations

import pytest

from hopscope import data
from hopscope.errors import UsageError
from hopscope.lab import management
from hopscope.model.document import parse_topology


def test_every_host_has_a_port_of_its_own_to_one_that_does_not_forward() -> None:
    chain = data.topology("chain")
    managed = management.with_management(chain)
    assert [host.name for host in managed.hosts] == [*(host.name for host in chain.hosts), management.NAME]
    assert not managed.host(management.NAME).forwarding
    addresses = {management.address(managed, host.name) for host in chain.hosts}
    assert len(addresses) == len(chain.hosts)
    assert len({port.mac for port in managed.ports}) == len(managed.ports)
    assert managed.links[: len(chain.links)] == chain.links
    assert managed.path("client", "server") == chain.path("client", "server"), "nothing goes round by management"


def test_a_network_that_the_topology_uses_is_left_to_it() -> None:
    text = 'name: t\nhosts: {a: {}, b: {}}\nlinks: [{endpoints: ["a:eth0", "b:eth0"], subnet: 100.64.0.0/29}]'
    managed = management.with_management(parse_topology(text))
    assert {management.address(managed, name) for name in "ab"} == {"100.64.0.10", "100.64.0.14"}


def test_a_host_of_that_name_is_refused() -> None:
    with pytest.raises(UsageError, match="'management'"):
        management.with_management(management.with_management(data.topology("chain")))
