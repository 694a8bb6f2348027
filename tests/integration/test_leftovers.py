"""What a box can leave on a host is seen, named and taken away; what was there before stays."""

from __future__ import annotations

import pytest

from hopscope.lab.leftovers import Leftovers

pytestmark = [pytest.mark.integration, pytest.mark.lab_uncaptured]


@pytest.mark.parametrize("sut", ["kernel"])
def test_rules_queues_routes_and_processes(chain, sut):
    host = chain.host("servernic")
    host.run(["nft", "add", "table", "inet", "before"])
    try:
        look = Leftovers(host)
        assert look.found() == []
        for argv in (
            ["nft", "add", "table", "ip", "after"],
            ["tc", "qdisc", "add", "dev", "eth1", "clsact"],
            ["ip", "rule", "add", "priority", "77", "table", "77"],
            ["ip", "route", "add", "192.0.2.0/24", "dev", "eth1", "table", "77"],
        ):
            host.run(argv)
        child = host.spawn(["sleep", "300"], name="left", env=look.env)
        left = look.found()
        assert sorted(each.split()[0] for each in left) == ["process", "qdisc", "route", "route", "table"]
        for what in ("table ip after", "qdisc clsact ffff: dev eth1", "77:", "192.0.2.0/24 dev eth1", "(sleep)"):
            assert any(what in each for each in left), (what, left)
        assert child.wait(5) == -9
        assert look.found() == []
        assert host.run(["nft", "list", "tables"]).text == "table inet before"
    finally:
        host.run(["nft", "delete", "table", "inet", "before"])
