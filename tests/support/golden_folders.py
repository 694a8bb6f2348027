"""The golden captures kept under fixtures/captures, each a recipe: a test proves that they can be made anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from support import golden
from support.golden import Recipe

ROOT = Path(__file__).resolve().parents[2] / "fixtures" / "captures"

SMALL = Recipe(flows=2, mss=200, response=500)
"""A few kilobytes for all six taps, with a lost segment and its SACK in the second flow."""

ELSEWHERE = replace(
    SMALL,
    client="172.31.7.20",
    server="172.31.99.4",
    port=9443,
    first_port=51000,
    seed=77,
    macs=("0a:11:00:00:00:01", "0a:22:00:00:00:02", "0a:22:00:00:00:03", "0a:33:00:00:00:04", "0a:33:00:00:00:05",
          "0a:44:00:00:00:06"),
)  # fmt: skip
"""The same chain with nothing of ours: addresses, ports, ISNs, MACs."""

NAMES = {
    "client-eth0": "Client_ens5.pcap",
    "clientnic-eth0": "ClientNIC-ens5.pcap",
    "clientnic-eth1": "ClientNIC-ens6.pcap",
    "servernic-eth0": "ServerNIC-ens5.pcap",
    "servernic-eth1": "ServerNIC-ens6.pcap",
    "server-eth0": "server.pcap",
}


def _of(recipe: Recipe, **options: object) -> Callable[[Path], Path]:
    return lambda folder: golden.write(golden.build(recipe), folder, **options)  # type: ignore[arg-type]


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "plain": _of(replace(SMALL, placement="plain")),
    "hold": _of(replace(SMALL, placement="hold")),
    "stamp": _of(replace(SMALL, placement="stamp")),
    # Other people's rewriters: no side-car, no counters, files named by hand.
    "foreign-early": _of(replace(ELSEWHERE, placement="early", shift=False), sidecar=False, names=NAMES),
    "foreign-shift": _of(replace(ELSEWHERE, placement="hold"), sidecar=False, names=NAMES),
    "foreign-zero-window": _of(replace(ELSEWHERE, placement="stamp", zero_window="early"), sidecar=False, names=NAMES),
    "foreign-two-files": _of(
        replace(ELSEWHERE, placement="hold"), sidecar=False, names=NAMES, only=("client-eth0", "clientnic-eth1")
    ),
    "foreign-naive": _of(replace(ELSEWHERE, placement="hold", carried=True), sidecar=False, names=NAMES),
}
"""Name of the folder and what writes it."""


def make(root: Path = ROOT) -> None:
    """Write every folder anew."""
    for name, write in FOLDERS.items():
        write(root / name)
