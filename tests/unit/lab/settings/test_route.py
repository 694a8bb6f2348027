from __future__ import annotations

import json
from pathlib import Path

import pytest

from hopscope.lab.settings import route
from support.fakes import fake_host


class TestRoute:
    def test_text_of_routes_goes_back_into_ip(self) -> None:
        text = (
            "10.1.2.0/24 via 10.1.0.1 dev eth0 proto static linkdown \n"
            "10.1.2.0/24 metric 7 \n\tnexthop via 10.1.0.1 dev eth0 weight 2 \n\tnexthop via 10.1.0.2 dev eth0 dead \n"
        )
        assert [" ".join(words) for words in route.parse_routes(text)] == [
            "10.1.2.0/24 via 10.1.0.1 dev eth0 proto static",
            "10.1.2.0/24 metric 7 nexthop via 10.1.0.1 dev eth0 weight 2 nexthop via 10.1.0.2 dev eth0",
        ]
        assert route.parse_routes("") == []

    @pytest.mark.parametrize(
        ("given", "listed", "read"),
        [
            ({"via": "10.0.0.1"}, [{"gateway": "10.0.0.1", "dev": "eth0"}], "via 10.0.0.1"),
            ({"via": "10.0.0.1", "port": "eth0"}, [{"gateway": "10.0.0.1", "dev": "eth0"}], "via 10.0.0.1 dev eth0"),
            ({"port": "eth0"}, [{"dev": "eth0", "scope": "link"}], "dev eth0"),
            ({}, [], "none"),
            ({"via": "10.0.0.1"}, [{"gateway": "10.0.0.1"}, {"gateway": "10.0.0.2"}], "via 10.0.0.1, via 10.0.0.2"),
        ],
    )
    def test_what_is_read(self, tmp_path: Path, given: dict[str, str], listed: list[dict[str, str]], read: str) -> None:
        executor = fake_host(tmp_path, lambda argv, stdin: json.dumps(listed))
        assert route.Route("client", "10.9.0.0/16", **given).read(executor) == read

    def test_apply_and_undo_replace_the_one_route(self, tmp_path: Path) -> None:
        executor = fake_host(tmp_path, lambda argv, stdin: "10.9.0.0/16 via 10.0.0.9 dev eth0 metric 5\n")
        setting = route.Route("client", "10.9.0.0/16", via="10.0.0.1")
        setting.apply(executor)
        assert executor.commands[-1] == ("ip", "-4", "route", "replace", "10.9.0.0/16", "via", "10.0.0.1")
        setting.undo(executor)
        assert executor.commands[-2] == ("ip", "-4", "route", "flush", "table", "main", "exact", "10.9.0.0/16")
        assert " ".join(executor.commands[-1]) == "ip -4 route add 10.9.0.0/16 via 10.0.0.9 dev eth0 metric 5"

    def test_the_family_is_the_destinations(self, tmp_path: Path) -> None:
        executor = fake_host(tmp_path, lambda argv, stdin: "[]")
        route.Route("client", "fd00::/64").read(executor)
        assert executor.commands[0][1] == "-6"
        route.Route("client", "default").read(executor)
        assert executor.commands[1][1] == "-4"
