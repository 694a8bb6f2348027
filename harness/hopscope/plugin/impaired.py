"""The marker ``lab_impair``: what a link does to packets, changed around one test and read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from hopscope.errors import EnvironmentFault, UsageError
from hopscope.lab.rtt import check_rtt
from hopscope.model.topology import Impairment, Link, Topology
from hopscope.plugin.chains import Chain

#: With more than this share lost in each direction, too few echoes come back to measure a round trip by.
MEASURABLE_LOSS = 0.3


def asked(item: pytest.Item) -> list[tuple[str | None, dict[str, Any]]]:
    """Link (None: the one that is declared impaired) and fields of each marker, the farthest from the test first."""
    marks = [(next(iter(marker.args), None), dict(marker.kwargs)) for marker in item.iter_markers("lab_impair")]
    return marks[::-1]


def changed(topology: Topology, marks: list[tuple[str | None, dict[str, Any]]]) -> Mapping[str, Impairment]:
    """Link by link what it shall do; what a marker leaves out stays as declared. UsageError for a link that is not."""
    wanted: dict[str, Impairment] = {}
    for name, fields in marks:
        link = _link(topology, name)
        before = wanted.get(link.name, link.impairment)
        wanted[link.name] = Impairment.model_validate(before.model_dump() | fields)
    return wanted


def out_of_reach(item: pytest.Item, chain: Chain) -> str | None:
    """Why the links of this lab cannot become what a test wants: hosts that were found have the network between them
    that they have."""
    if asked(item) and set(chain.lab.mechanism.values()) == {"found"}:
        return "it changes what a link does to packets, and links of hosts that were found are what they are"
    return None


@contextmanager
def impaired(item: pytest.Item, chain: Chain) -> Iterator[Chain]:
    """The chain as the markers of a test want it, until the block ends. Its round trip is measured when it changes.

    Raises SettingRefused or EnvironmentFault where the impairment did not take.
    """
    wanted = changed(chain.topology, asked(item))
    if not wanted:
        yield chain
        return
    links = {link.name: link for link in chain.topology.links}
    added_ms = sum(each.rtt_ms - links[name].impairment.rtt_ms for name, each in wanted.items())
    with chain.lab.applied(*(chain.lab.impairment(name, each) for name, each in wanted.items())):
        chain.run.append("impaired", {"test": item.nodeid, **{k: v.model_dump() for k, v in wanted.items()}})
        if not added_ms:
            yield chain
        elif max(each.loss for each in wanted.values()) > MEASURABLE_LOSS:
            yield chain.with_rtt(round(chain.rtt_ns + added_ms * 1e6))
        else:
            client, server = chain.ends()
            declared_ms = chain.topology.rtt_ms(client, server) + added_ms
            yield chain.with_rtt(check_rtt(chain.lab, client, server, declared_ms=declared_ms))


def _link(topology: Topology, name: str | None) -> Link:
    able = [link for link in topology.links if link.impairment.active]
    if name is None:
        if len(able) != 1:
            raise UsageError(f"lab_impair: topology {topology.name} has {len(able)} impaired links: name the one meant")
        return able[0]
    found = next((link for link in topology.links if name in (link.name, link.a.key, link.b.key)), None)
    if found is None:
        raise UsageError(f"lab_impair: topology {topology.name} has no link or port {name!r}")
    if found not in able:
        raise EnvironmentFault(f"lab_impair: link {found.name} is a bare wire: declare it with an rtt_ms to change it")
    return found
