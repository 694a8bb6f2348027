"""Systems under test with one fault each: the reference rewriters, run with one behaviour replaced.

Each program takes the arguments of ``python -m hopscope_nic``. ``SUTS`` has them by name; who catches them, and by
which words, is in tests/integration/test_broken_suts.py and docs/negative-tests.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hopscope.model.sut import Box, Placement, Ready, Sut

HERE = Path(__file__).parent
READY = Ready(line='"event": ?"ready"')


def _box(role: str, placement: str, program: str | None, *more: str, ready_timeout_s: float = 20.0) -> Box:
    file = f"{program}.py"
    start = ("-m", "hopscope_nic") if program is None else ("{host_dir}/" + file,)
    modules = ("hopscope_nic", "scapy") if program == "catch_all" or "scapy" in more else ("hopscope_nic",)
    # What is replaced is in Python: the kernel must not carry it.
    datapath = () if "--datapath" in more else ("--datapath", "afpacket")
    return Box(
        argv=("{python}", *start, role, "--placement", placement, *datapath, *more),
        files={} if program is None else {file: str(HERE / file)},
        modules=modules,
        ready=READY,
        ready_timeout_s=ready_timeout_s,
        events="stdout",
    )


def _sut(
    name: str, *, clientnic: str | None = None, servernic: str | None = None, log: bool = True, **more: Any
) -> Sut:
    """``stamp`` with one box or the other replaced by a program of this folder."""
    return Sut(
        name=name,
        placement=Placement.STAMP,
        boxes={
            "clientnic": _box("clientnic", "stamp", clientnic, *(["--log-flows"] if log else [])),
            "servernic": _box("servernic", "stamp", servernic),
        },
        **more,
    )


def _alone(name: str, program: str | None, *more: str, ready_timeout_s: float = 20.0) -> Sut:
    """``hold``, whose one box is a program of this folder, or is started with arguments of its own."""
    box = _box("clientnic", "hold", program, *more, ready_timeout_s=ready_timeout_s)
    return Sut(name=name, placement=Placement.HOLD, boxes={"clientnic": box})


SUTS = {
    sut.name: sut
    for sut in (
        _sut("stale-macs", clientnic="stale_macs"),
        _sut("rare-ack", servernic="rare_ack"),
        _sut("forgotten-sack", servernic="forgotten_sack"),
        _sut("leaks-stamp", servernic="leaks_stamp"),
        _sut("answers-twice", clientnic="answers_twice"),
        _sut("two-numbers", clientnic="two_numbers"),
        _sut("dies-halfway", clientnic="dies_halfway"),
        _sut("boasts", clientnic="boasts"),
        _sut("bad-checksum", servernic="bad_checksum"),
        _sut("keeps-flows", servernic="keeps_flows"),
        _sut("narrow-window", servernic="narrow_window"),
        _sut("other-clock", servernic="other_clock"),
        _sut("sends-twice", servernic="sends_twice"),
        _sut("raises-mss", servernic="raises_mss"),
        _sut("acks-twice", servernic="acks_twice", promises=("identities",)),
        # The predecessor's way: Scapy sniffs and sends, and the kernel forwards as well.
        _alone("naive", None, "--datapath", "scapy", "--log-flows"),
        _alone("catch-all", "catch_all"),
        _alone("never-ready", "never_ready", ready_timeout_s=1.5),
        _alone("wrong-interface", None, "--client-port", "eth2"),
    )
}
