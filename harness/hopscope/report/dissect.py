"""tshark through pyshark: what it says of some frames of a capture. The only file that knows pyshark.

pyshark owns an event loop, sets child watchers that newer Pythons do not have, raises in the middle of a capture that
is cut short, and at its end kills a tshark that has ended already, whose exit code is then lost (255). So it runs in a
process of its own (``python -m hopscope.report.dissect PATH FILTER [PATH FILTER]…``), on a loop that we give it, waits
for tshark to end, and has a time limit. Checksum preferences are given explicitly: without them tshark verifies nothing
and says so by an empty field.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopscope.errors import EnvironmentFault, ToolMissing

PREFERENCES = {
    "tcp.check_checksum": "TRUE",
    "ip.check_checksum": "TRUE",
    "tcp.analyze_sequence_numbers": "TRUE",
}
ANALYSIS = "tcp.analysis."
BAD, GOOD, UNVERIFIED, ABSENT = range(4)
"""tshark's checksum status, as in its PROTO_CHECKSUM_E_*."""

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Dissected:
    """One TCP segment as tshark sees it. ``frame`` counts from 1; ``analysis`` has names such as ``retransmission``.

    Statuses are BAD, GOOD, UNVERIFIED or ABSENT; None where tshark has no such field (an IPv6 header).
    """

    frame: int
    stream: int
    ip_checksum: int | None
    tcp_checksum: int | None
    analysis: frozenset[str]


def dissect(captures: Mapping[Path, str], *, timeout: float = TIMEOUT_S) -> dict[Path, tuple[Dissected, ...]]:
    """The TCP segments that a display filter selects, for each capture; a few captures at a time.

    Raises ToolMissing when tshark or pyshark is not there, EnvironmentFault with tshark's own words when it fails.
    """
    require_tools()
    asked = list(captures.items())
    # As many children as processors: each spends longer on importing pyshark than on a capture.
    count = min(len(asked), os.cpu_count() or 1)
    with ThreadPoolExecutor(max_workers=max(count, 1)) as pool:
        answers = pool.map(lambda share: _ask(share, timeout), [asked[at::count] for at in range(count)])
        told = {path: segments for answer in answers for path, segments in answer.items()}
        return {path: told[path] for path in captures}


def require_tools() -> None:
    """Raise ToolMissing, with the line that installs it, when there is nobody to ask."""
    if shutil.which("tshark") is None:
        raise ToolMissing("tshark is not installed: apt-get install tshark")
    if importlib.util.find_spec("pyshark") is None:
        raise ToolMissing("pyshark is not installed: pip install 'hopscope[wireshark]'")


def _ask(captures: Sequence[tuple[Path, str]], timeout: float) -> dict[Path, tuple[Dissected, ...]]:
    argv = [sys.executable, "-m", "hopscope.report.dissect", *(str(word) for pair in captures for word in pair)]
    names = ", ".join(path.name for path, _ in captures)
    # A user's own Wireshark profile may switch analysis off: an empty one decides.
    with tempfile.TemporaryDirectory(prefix="hopscope-") as empty:
        environment = {**os.environ, "WIRESHARK_CONFIG_DIR": empty}
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False, env=environment)
        except subprocess.TimeoutExpired:
            raise EnvironmentFault(f"tshark did not end in {timeout:g} s over {names}") from None
    if done.returncode != 0:
        evidence = "\n".join(done.stderr.splitlines()[-10:])
        raise EnvironmentFault(f"tshark, through pyshark, could not read {names}", evidence=evidence)
    segments: list[list[Dissected]] = [[] for _ in captures]
    for line in done.stdout.splitlines():
        at, segment = parse(line)
        segments[at].append(segment)
    return {path: tuple(found) for (path, _), found in zip(captures, segments, strict=True)}


def parse(line: str) -> tuple[int, Dissected]:
    """One line of the child's output: which of its captures, and the segment."""
    at, frame, stream, ip_checksum, tcp_checksum, analysis = json.loads(line)
    return at, Dissected(frame, stream, ip_checksum, tcp_checksum, frozenset(analysis))


def facts(packet: Any) -> list[Any] | None:
    """What counts of one pyshark packet, as :func:`parse` takes it; None when tshark gave it no stream."""
    layers = {layer.layer_name: layer for layer in packet.layers}
    tcp = layers.get("tcp")
    stream = _number(tcp, "tcp.stream")
    if tcp is None or stream is None:
        return None
    analysis = [name.removeprefix(ANALYSIS) for name in tcp._all_fields if name.startswith(ANALYSIS)]
    return [
        int(packet.number),
        stream,
        _number(layers.get("ip"), "ip.checksum.status"),
        _number(tcp, "tcp.checksum.status"),
        analysis,
    ]


def _number(layer: Any, field: str) -> int | None:
    value = None if layer is None else layer.get_field(field)
    return None if value is None else int(str(value))


def main(argv: list[str]) -> int:
    """The child: one JSON line for each segment."""
    loop = asyncio.new_event_loop()  # given one, pyshark leaves the policy and its child watchers alone
    try:
        for at, (path, display_filter) in enumerate(zip(argv[::2], argv[1::2], strict=True)):
            for told in _read(path, display_filter, loop):
                print(json.dumps([at, *told]))
    except OSError as error:
        print(f"{Path(path).name}: {error}", file=sys.stderr)
        return 1
    finally:
        loop.close()
    return 0


def _read(path: str, display_filter: str, loop: asyncio.AbstractEventLoop) -> Iterator[list[Any]]:
    import pyshark

    class Capture(pyshark.FileCapture):  # type: ignore[misc]
        async def _cleanup_subprocess(self, process: Any) -> None:
            code = await process.wait()
            self._running_processes.discard(process)
            if code:
                raise OSError(f"tshark ended with {code}: {self._last_error_line}")

    capture = Capture(
        path,
        eventloop=loop,
        keep_packets=False,
        override_prefs=PREFERENCES,
        # The filter as pyshark's own option would start another tshark, to ask for its version: half of the time.
        custom_parameters=["-Y", display_filter, "-J", "ip ipv6 tcp"],  # layers in whole; -j leaves out the analysis
    )
    try:
        for packet in capture:
            told = facts(packet)
            if told is not None:
                yield told
    finally:
        capture.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
