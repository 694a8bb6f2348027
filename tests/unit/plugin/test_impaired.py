"""From markers to impairments, without a lab."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hopscope import data
from hopscope.errors import EnvironmentFault, UsageError
from hopscope.plugin.impaired import changed, out_of_reach

CHAIN = data.topology("chain")
LAN, WAN, _ = (link.name for link in CHAIN.links)


def test_what_a_marker_leaves_out_stays_as_declared() -> None:
    (wanted,) = changed(CHAIN, [(None, {"loss": 0.01})]).values()
    assert (wanted.loss, wanted.rtt_ms) == (0.01, 20)


@pytest.mark.parametrize("name", [None, WAN, "clientnic:eth1", "servernic:eth0"])
def test_a_link_is_named_by_itself_or_a_port_or_is_the_only_one(name: str | None) -> None:
    assert list(changed(CHAIN, [(name, {"rtt_ms": 5.0})])) == [WAN]


def test_the_marker_nearest_to_the_test_wins() -> None:
    marks: list[tuple[str | None, dict[str, Any]]] = [(None, {"rtt_ms": 5.0, "loss": 0.1}), (WAN, {"rtt_ms": 7.0})]
    (wanted,) = changed(CHAIN, marks).values()
    assert (wanted.rtt_ms, wanted.loss) == (7, 0.1)


def test_no_marker_changes_nothing() -> None:
    assert changed(CHAIN, []) == {}


def test_a_bare_wire_cannot_be_impaired_and_a_link_that_is_not_there_neither() -> None:
    with pytest.raises(EnvironmentFault, match="bare wire"):
        changed(CHAIN, [(LAN, {"loss": 0.1})])
    with pytest.raises(UsageError, match="no link or port 'wan'"):
        changed(CHAIN, [("wan", {"loss": 0.1})])
    with pytest.raises(UsageError, match="has 0 impaired links"):
        changed(data.topology("chain-lan"), [(None, {"loss": 0.1})])


@pytest.mark.parametrize(
    ("mechanism", "marks", "refused"), [("found", 1, True), ("found", 0, False), ("netem", 1, False)]
)
def test_links_of_found_hosts_are_what_they_are(mechanism: str, marks: int, refused: bool) -> None:
    """The test is not run there, whether or not the link that was found happens to be slow."""
    item: Any = SimpleNamespace(iter_markers=lambda name: [pytest.mark.lab_impair(loss=0.01).mark] * marks)
    chain: Any = SimpleNamespace(lab=SimpleNamespace(mechanism={LAN: mechanism, WAN: mechanism}))
    assert (out_of_reach(item, chain) is not None) is refused
