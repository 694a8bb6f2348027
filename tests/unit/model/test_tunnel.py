"""Tunnels in a SUT's YAML, and where they lie in a topology."""

from __future__ import annotations

import pytest

from hopscope import data
from hopscope.errors import DocumentError, UsageError
from hopscope.model.document import parse_sut
from hopscope.model.laid import lay
from hopscope.model.sut import Sut

GOOD = """\
name: mine
boxes:
  left: {argv: [mine, "{peer}", "{own}"]}
  right: {argv: [mine, listen]}
tunnel:
  ends:
    left: {device: tun0, addresses: [10.9.0.1]}
    right: {device: mine0, addresses: [10.9.0.2]}
  transport: {server: right, port: 7000}
"""


def test_a_tunnel_is_read_and_written_as_it_was() -> None:
    sut = parse_sut(GOOD)
    assert sut.tunnel is not None
    assert (sut.tunnel.ends["right"].device, sut.tunnel.transport.port) == ("mine0", 7000)
    assert Sut.model_validate(sut.document()) == sut


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[10.9.0.2]", "[10.9.0.2, 'fd00::2']", "t.yaml:6:3: tunnel: both ends need addresses of the same families"),
        ("[10.9.0.1]", "[10.9.0.1/24]", "'10.9.0.1/24' is no address: write it without a prefix, as in 10.9.0.1"),
        ("[10.9.0.1]", "[10.9.0.1, 10.9.0.3]", "an end has at most one address of each family"),
        ("[10.9.0.1]", "[10.9.0.2]", "the ends need different addresses"),
        ("server: right", "server: rihgt", "transport.server 'rihgt' is none of the ends left, right"),
        ("port: 7000", "port: 70000", "t.yaml:9:36: tunnel.transport.port: must be less than or equal to 65535"),
        ("port: 7000", "prot: 7000", "unknown key 'prot', did you mean 'port'?"),
        ("device: mine0", "device: a-name-that-is-too-long", "tunnel.ends.right.device"),
        ("name: mine\n", "name: mine\nplacement: stamp\n", "a tunnel translates nothing: leave placement out"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(old: str, new: str, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_sut(GOOD.replace(old, new, 1), file="t.yaml")
    assert problem in str(caught.value)


def test_the_address_of_the_other_end_is_for_tunnels() -> None:
    with pytest.raises(DocumentError, match=r"\{peer\} is for tunnels: say what the ends are, under tunnel"):
        parse_sut("name: x\nboxes: {client: {argv: [x, '{peer}']}}\n")


def test_it_lies_between_two_hosts() -> None:
    laid = lay(data.topology("tunnel"), data.sut("openvpn"))
    assert [(end.host, str(end.outer), end.underlay.key) for end in laid.ends] == [
        ("left", "10.8.0.1", "left:eth0"), ("right", "10.8.0.2", "right:eth0"),
    ]  # fmt: skip
    assert (laid.server, laid.client.host) == ("right", "left")
    assert laid.values("left") == {"own": "10.8.0.1", "peer": "10.8.0.2"}
    assert laid.values("router") == {}
    assert [end.networks for end in laid.ends] == [(), ()]


def test_what_is_behind_an_end_is_what_the_transport_does_not_cross() -> None:
    laid = lay(data.topology("tunnel-routed"), data.sut("openvpn"))
    assert [(list(map(str, end.networks)), end.behind) for end in laid.ends] == [
        (["10.20.1.0/24"], ("left-lan",)), (["10.20.2.0/24"], ("right-lan",)),
    ]  # fmt: skip
    assert [link.name for link in laid.links] == ["left:eth0--router:eth0", "router:eth1--right:eth0"]
    assert laid.values("right") == {"own": "10.8.2.2", "peer": "10.8.1.1"}


def test_ends_may_be_named_by_their_roles() -> None:
    roles = parse_sut(
        GOOD.replace("left:", "client:").replace("right:", "server:").replace("server: right", "server: server")
    )
    assert [end.host for end in lay(data.topology("tunnel"), roles).ends] == ["left", "right"]


@pytest.mark.parametrize(
    ("topology", "sut", "problem"),
    [
        ("tunnel", "stamp", "SUT stamp is no tunnel"),
        ("chain", "openvpn", "SUT openvpn has an end 'left', which is no host or role of topology chain"),
    ],
)
def test_what_does_not_fit_is_wrong_usage(topology: str, sut: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        lay(data.topology(topology), data.sut(sut))


def test_a_port_without_an_address_carries_no_transport() -> None:
    topology = data.topology("tunnel")
    (link,) = topology.links
    bare = link.model_copy(update={"a": link.a.model_copy(update={"addresses": ()})})
    with pytest.raises(UsageError, match="left:eth0 of topology tunnel has no address for the transport of mine"):
        lay(topology.model_copy(update={"links": (bare,)}), parse_sut(GOOD))
