"""A tagged probe over every link must be seen by both of its taps, before any capture is believed.

The probe is an echo request whose payload repeats 16 random bytes (``ping -p``). A tap that does not hold these bytes
would not have held anything else either.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from hopscope.capture.session import CaptureSession
from hopscope.errors import CaptureUnhealthy, EnvironmentFault
from hopscope.lab.lab import Lab
from hopscope.model.topology import Link

TAG_BYTES = 16
#: A link may lose packets on purpose: this many single probes are tried until one is answered.
ATTEMPTS = 10
#: Enough for the tag to be whole behind ping's own time stamp.
PAYLOAD_BYTES = 16 + 4 * TAG_BYTES


@dataclass(frozen=True)
class Probe:
    """A probe that was sent over a link, with ping's own words."""

    link: Link
    tag: bytes
    answered: bool
    output: str


def verify_taps(lab: Lab, directory: Path) -> tuple[Probe, ...]:
    """Capture on every port into ``directory``, send one tagged probe over each link, and look for it on both taps.

    Raises CaptureUnhealthy naming every tap that did not see its probe; EnvironmentFault when a probe was not
    answered although both taps saw it go by (the hosts are not reachable as declared).
    """
    with CaptureSession(lab, directory, limit_mb=200):
        probes = tuple(_send(lab, link) for link in lab.topology.links)
    missed = [
        (port.tap, probe) for probe in probes for port in probe.link.ports if not _seen(directory, port.tap, probe)
    ]
    if missed:
        evidence = missed[0][1].output
        raise CaptureUnhealthy(
            "; ".join(f"tap {tap} did not see the probe over link {probe.link.name}" for tap, probe in missed),
            evidence=evidence,
        )
    silent = [probe for probe in probes if not probe.answered]
    if silent:
        raise EnvironmentFault(
            f"no answer to the probe over link {', '.join(probe.link.name for probe in silent)}; both taps saw it",
            host=silent[0].link.a.host,
            evidence=silent[0].output,
        )
    return probes


def _send(lab: Lab, link: Link) -> Probe:
    tag = secrets.token_bytes(TAG_BYTES)
    target = link.b.address(4) or link.b.address(6)
    wait_s = 1.0 + link.impairment.rtt_ms / 1000
    argv = ["ping", "-n", "-c", "1", "-W", f"{wait_s:.1f}", "-s", str(PAYLOAD_BYTES), "-p", tag.hex(), str(target)]
    result = lab.hosts[link.a.host].run(argv, timeout=wait_s + 5, check=False)
    attempts = 1
    while result.returncode != 0 and attempts < (ATTEMPTS if link.impairment.loss else 1):
        result = lab.hosts[link.a.host].run(argv, timeout=wait_s + 5, check=False)
        attempts += 1
    return Probe(link, tag, result.returncode == 0, result.stdout.decode(errors="replace") + result.tail())


def _seen(directory: Path, tap: str, probe: Probe) -> bool:
    return probe.tag in (directory / f"{tap}.pcap").read_bytes()
