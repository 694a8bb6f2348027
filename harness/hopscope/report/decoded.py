"""Frames as tshark decodes them, as text for people: a line for each frame, and layers of the few that matter."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

TIMEOUT_S = 30.0
CHECKSUMS = ("tcp.check_checksum:TRUE", "ip.check_checksum:TRUE")
_FIELDS = ("frame.number", "frame.time_relative", "frame.interface_name", "_ws.col.Info")


def lines(capture: Path, display_filter: str = "", *, limit: int = 200) -> str:
    """One line for each frame: number, seconds, interface, what it is; at most ``limit`` frames."""
    argv = ["-T", "fields", "-E", "separator=/t", *(word for name in _FIELDS for word in ("-e", name))]
    told = _tshark(capture, display_filter, argv).splitlines()
    shown = [_columns(line) for line in told[:limit]]
    more = [f"... {len(told) - limit:,} frames more"] if len(told) > limit else []
    return "\n".join([*shown, *more])


def layers(capture: Path, frames: Iterable[int]) -> str:
    """Ethernet, IP and TCP of these frames, field by field."""
    wanted = ",".join(map(str, sorted(set(frames))))
    return _tshark(capture, f"frame.number in {{{wanted}}}", ["-V", "-O", "eth,ip,ipv6,tcp,icmp"])


def _columns(line: str) -> str:
    number, seconds, interface, info = [*line.split("\t", 3), "", "", ""][:4]
    return f"{number:>5} {seconds:>13} {interface:<15} {info}"


def _tshark(capture: Path, display_filter: str, argv: Sequence[str]) -> str:
    """What tshark prints, or why it does not: this is for reading, and no verdict rests on it."""
    # Without a resolver: a report shows what was on the wire. A user's own profile may hide columns.
    preferences = [word for each in CHECKSUMS for word in ("-o", each)]
    command = ["tshark", "-n", "-r", str(capture), *preferences, *argv]
    with tempfile.TemporaryDirectory(prefix="hopscope-") as empty:
        environment = {**os.environ, "WIRESHARK_CONFIG_DIR": empty}
        try:
            done = subprocess.run(
                [*command, *(["-Y", display_filter] if display_filter else [])],
                capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False, env=environment,
            )  # fmt: skip
        except FileNotFoundError:
            return "tshark is not installed: apt-get install tshark"
        except subprocess.TimeoutExpired:
            return f"tshark did not end in {TIMEOUT_S:g} s over {capture.name}"
    return done.stdout if done.returncode == 0 else f"tshark could not decode {capture.name}: {done.stderr.strip()}"
