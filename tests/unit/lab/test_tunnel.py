"""A tunnel getting up and not getting up, on hosts whose answers are scripted."""

from __future__ import annotations

import json

import pytest

from hopscope.lab.tunnel import parse_device

SHOWN = [
    {},
    {
        "ifindex": 7, "ifname": "tun0", "mtu": 1400,
        "addr_info": [
            {"family": "inet", "local": "10.9.0.1", "address": "10.9.0.2", "prefixlen": 32, "scope": "global"},
            {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
        ],
        "stats64": {"rx": {"packets": 3, "errors": 0, "dropped": 1}, "tx": {"packets": 5, "errors": 2, "dropped": 0}},
    },
]  # fmt: skip


def test_a_device_as_ip_shows_it() -> None:
    device = parse_device(json.dumps(SHOWN).encode())
    assert (device.index, device.mtu, device.addresses) == (7, 1400, ("10.9.0.1",))
    assert device.counters == {
        "rx": 3, "tx": 5, "rx_errors": 0, "tx_errors": 2, "rx_dropped": 1, "tx_dropped": 0,
    }  # fmt: skip


@pytest.mark.parametrize("text", [b"[]", b"[{}]"])
def test_an_answer_without_a_device_is_none(text: bytes) -> None:
    with pytest.raises(StopIteration):
        parse_device(text)
