"""What a guardian is left with: the commands that undo a setting, known before it is applied."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from hopscope.errors import CommandTimeout
from hopscope.hosts.executor import Result
from hopscope.lab.settings.nft_table import Chain, NftTable
from hopscope.lab.settings.offload import Offload
from hopscope.lab.settings.route import Route
from hopscope.lab.settings.route_mtu import RouteMtu
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.providers.lease import Lease, _holder
from support.fakehost import FakeHost, FakeProcess

FEATURES = "tx-checksumming: on\ntcp-segmentation-offload: on\n"


class Host(FakeHost):
    """Tells what is there; what is put is kept, what would change something is an error here."""

    left = ""

    def run(self, argv: Any, **given: Any) -> Result:
        match [word for word in argv if word != "-4"]:
            case ["cat", _]:
                text = "60\n"
            case ["ethtool", "-k", _]:
                text = FEATURES
            case ["ip", "route", "show", *_]:
                text = "10.9.0.0/24 via 10.1.0.2 dev eth0 metric 7\n"
            case ["ip", "-json", "route", "get", _]:
                text = '[{"dst": "10.9.0.9", "gateway": "10.1.0.2", "dev": "eth0"}]'
            case ["nft", "-j", "list", *_]:
                return Result(tuple(argv), 1, b"", b"", 0.0)
            case _:
                raise AssertionError(f"{argv} was run")
        return Result(tuple(argv), 0, text.encode(), b"", 0.0)

    def put(self, local: Path, remote: str) -> None:
        self.left = local.read_text()


def guardian(process: FakeProcess, sig: int) -> None:
    if sig == 0:
        process.say('{"event": "held"}', "stdout")
    elif sig == 12:
        process.code = 0


@pytest.mark.parametrize(
    ("setting", "undo"),
    [
        (Sysctl("client", "net.ipv4.tcp_fin_timeout", "5"), [(["tee", "/proc/sys/net/ipv4/tcp_fin_timeout"], "60\n")]),
        (Offload("client", "eth0", {"tx": False}), [(["ethtool", "-K", "eth0", "tx", "on", "tso", "on"], "")]),
        (
            NftTable("client", "ours", {"in": Chain("type filter hook input priority 0;")}),
            [(["nft", "delete", "table", "inet", "ours"], "")],
        ),
        (
            Route("client", "10.9.0.0/24", via="10.1.0.1"),
            [
                (["ip", "-4", "route", "flush", "table", "main", "exact", "10.9.0.0/24"], ""),
                (["ip", "-4", "route", "add", "10.9.0.0/24", "via", "10.1.0.2", "dev", "eth0", "metric", "7"], ""),
            ],
        ),
        (
            RouteMtu("client", "10.9.0.9", 700),
            [
                (["ip", "route", "flush", "table", "main", "exact", "10.9.0.9/32"], ""),
                (["ip", "route", "add", "10.9.0.0/24", "via", "10.1.0.2", "dev", "eth0", "metric", "7"], ""),
            ],
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_setting_leaves_what_undoes_it_and_is_not_applied_by_that(tmp_path: Path, setting: Any, undo: Any) -> None:
    host = Host("client", tmp_path, guardian)
    lease = Lease(host, "mine")
    host.left = ""
    undone = lease.about_to(setting)
    # the guardian runs the last line first
    told = [(each["argv"], each["stdin"]) for each in map(json.loads, reversed(host.left.splitlines()))]
    assert told == undo
    undone()
    assert host.left == ""
    lease.release()
    assert host.processes[0].signals == [12]


def test_a_lease_that_ended_without_us_is_told_to_whoever_goes_on(tmp_path: Path) -> None:
    host = Host("client", tmp_path, guardian)
    lease = Lease(host, "mine")
    assert lease.over() is None
    host.processes[0].code = 0
    assert "the lease of this host has ended, and the host has brought itself back" in str(lease.over())
    lease.release()
    assert lease.over() is None


class Ended:
    """Says so after four waits, and keeps how long they were to be."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def wait(self, pause: float) -> bool:
        self.pauses.append(pause)
        return len(self.pauses) > 4


def test_a_sign_of_life_that_did_not_get_through_is_given_again_sooner(tmp_path: Path) -> None:
    def busy(process: FakeProcess, sig: int) -> None:
        guardian(process, sig)
        if sig == signal.SIGUSR1 and len(process.signals) in (1, 2):
            raise CommandTimeout("no session became free")

    lease = Lease(Host("client", tmp_path, busy), "mine")
    real, told = lease._ended, Ended()
    lease._ended = told  # type: ignore[assignment]
    lease._live(16.0)
    assert told.pauses == [16.0, 4.0, 4.0, 16.0, 16.0]
    lease._ended = real
    lease.release()


def test_the_holder_is_read_from_what_the_guardian_said() -> None:
    assert _holder('guardian.out:\n{"event": "taken", "by": "me, process 7"}') == "me, process 7"
    assert _holder("Traceback") is None
