from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest

import hopscope_nic
from hopscope_nic.cli import _enter
from hopscope_nic.core.client_nic import HoldClientNic, StampClientNic
from hopscope_nic.core.limits import Link
from hopscope_nic.core.selection import PortRange
from hopscope_nic.core.server_nic import ServerNic
from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io import bpf
from hopscope_nic.io.libbpf import Library
from support.nic import SECRET

FOLDER = Path(hopscope_nic.__file__).parent / "bpf"


def test_the_object_was_built_from_the_source():
    said = json.loads((FOLDER / "rewriter.json").read_text())
    sources = [*sorted(FOLDER.glob("*.c")), *sorted(FOLDER.glob("*.h"))]
    for key, paths in (("source_sha256", sources), ("object_sha256", [FOLDER / "rewriter.bpf.o"])):
        content = b"".join(path.read_bytes() for path in paths)
        assert said[key] == hashlib.sha256(content).hexdigest(), "run `make bpf`"


@pytest.mark.parametrize(
    ("machine", "head"),
    [
        (HoldClientNic(SECRET, links=(Link(1400), Link(1500))), (0, 1, 1, 1360)),
        (StampClientNic(SECRET), (1, 1, 1, 1460)),
        (ServerNic(), (0, 0, 1, 0)),
        (ServerNic(log=lambda event, flow: None), (0, 0, 0, 0)),
    ],
)
def test_what_the_programs_are_told(machine, head):
    told = bpf.config(machine, [1400, 1500], [PortRange(80, 81), PortRange(443, 443)], ["10.1.0.1"], b"k" * 16, [7, 8])
    assert struct.unpack_from("=IIII", told) == head, "flows that have to be told of are not the kernel's alone"
    assert told[16:32] == b"k" * 16
    mtus, taps, lengths = (struct.unpack_from("=2I", told, 32 + 8 * number) for number in range(3))
    assert mtus == (1500, 1400), "what comes from the client leaves to the server"
    assert (taps, lengths) == ((7, 8), (2, 1))
    assert struct.unpack_from("=4H", told, 56) == (80, 81, 443, 443)
    assert told[56 + 64 : 56 + 68] == bytes((10, 1, 0, 1))


def test_more_than_fits_is_refused():
    with pytest.raises(EnvironmentFault, match="16 ranges of ports"):
        bpf.config(ServerNic(), [1500, 1500], [PortRange(port, port) for port in range(1, 40, 2)], [], bytes(16))


def test_processors_are_counted():
    assert bpf.possible_processors() >= 1


def test_without_the_library_the_package_is_named():
    with pytest.raises(EnvironmentFault, match="libbpf1"):
        Library("libnosuch.so.9")


def test_auto_says_what_it_chose_and_why():
    def enter(name):
        if name in cannot:
            raise EnvironmentFault(f"{name} says no")
        return name

    cannot = {"bpf"}
    assert _enter("auto", enter) == (
        "bpf-clsact",
        {"datapath": "bpf-clsact", "chosen": "auto: no bpf: bpf says no; the kernel takes the programs"},
    )
    cannot = {"bpf", "bpf-clsact"}
    assert _enter("auto", enter) == (
        "afpacket",
        {"datapath": "afpacket", "chosen": "auto: no bpf: bpf says no; no bpf-clsact: bpf-clsact says no"},
    )
    assert _enter("auto", str)[1]["datapath"] == "bpf"
    with pytest.raises(EnvironmentFault):
        _enter("bpf", enter)
