from __future__ import annotations

import pytest

from hopscope_nic.core.selection import PortRange
from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io.kernel_forwarding import KernelForwardingStopped, rules

RANGES = (PortRange(80, 80), PortRange(8080, 8083))


def test_the_rules():
    assert rules("t", "eth0", "eth1", RANGES, ("10.1.0.1", "127.0.0.1")) == [
        "add table ip t { flags owner; }",
        "add chain ip t prerouting { type filter hook prerouting priority -450; policy accept; }",
        'add rule ip t prerouting iifname "eth0" ip daddr != { 10.1.0.1, 127.0.0.1 } '
        "tcp dport { 80, 8080-8083 } counter drop",
        'add rule ip t prerouting iifname "eth1" ip daddr != { 10.1.0.1, 127.0.0.1 } '
        "tcp sport { 80, 8080-8083 } counter drop",
    ]
    assert "daddr" not in "".join(rules("t", "eth0", "eth1", RANGES, ()))


def test_without_nft():
    with (
        pytest.raises(EnvironmentFault, match="nft is not installed"),
        KernelForwardingStopped("eth0", "eth1", RANGES, (), nft="/nonexistent/nft"),
    ):
        pass


def test_an_nft_that_refuses_is_quoted(tmp_path):
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\necho 'Error: Operation not permitted' >&2\n")
    nft.chmod(0o755)
    with (
        pytest.raises(EnvironmentFault, match=r"did not take the table.*Operation not permitted"),
        KernelForwardingStopped("eth0", "eth1", RANGES, (), nft=str(nft)),
    ):
        pass
