from __future__ import annotations

import pytest

from hopscope_nic.core.selection import PortRange, merge, parse


def test_one_port_and_a_range():
    assert parse("tcp:80") == PortRange(80, 80)
    assert parse("tcp:8080-8083") == PortRange(8080, 8083)
    assert [str(parse(text)) for text in ("tcp:80", "tcp:1-2")] == ["tcp:80", "tcp:1-2"]


@pytest.mark.parametrize(
    "text", ["", "80", "udp:80", "tcp:", "tcp:80-", "tcp:a", "tcp:0", "tcp:9-8", "tcp:65536", "tcp:-1"]
)
def test_anything_else_is_refused_by_name(text):
    with pytest.raises(ValueError, match=r"tcp|ports"):
        parse(text)


def test_merged():
    assert merge([PortRange(5, 9), PortRange(1, 2), PortRange(3, 3), PortRange(6, 7), PortRange(20, 20)]) == (
        PortRange(1, 3),
        PortRange(5, 9),
        PortRange(20, 20),
    )
