from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hopscope import errors
from hopscope.errors import DocumentError, EnvironmentFault, HarnessFault, HopscopeError, ProductFault
from hopscope.run import tape
from hopscope.run.tape import Tape
from hopscope.traffic.report import RateMissed, parse
from support import stored_runs


def test_calls_are_noted_when_they_have_ended_with_what_they_left_and_what_they_raised(tmp_path: Path) -> None:
    noted = Tape(tmp_path)
    with noted.call("open", sut="stamp") as facts:
        noted.note("moment", time_ns=7)
        facts["folder"] = "capture-1"
    with pytest.raises(ProductFault), noted.call("close"):
        raise ProductFault("died", host="clientnic", evidence="its log")
    opened, closed = [call for call in tape.read(noted.path) if call["call"] != "moment"]
    assert [call["call"] for call in tape.read(noted.path)] == ["moment", "open", "close"]
    assert opened == {"call": "open", "sut": "stamp", "folder": "capture-1"}
    again = tape.revived(closed["fault"])
    assert type(again) is ProductFault
    assert str(again) == "clientnic: died\n    its log"


def test_threads_note_whole_lines(tmp_path: Path) -> None:
    noted = Tape(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: noted.note("x", number=number, much="y" * 5000), range(200)))
    assert sorted(call["number"] for call in tape.read(noted.path)) == list(range(200))


PLAIN = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, HopscopeError)]


@pytest.mark.parametrize("kind", [each for each in PLAIN if each not in (HopscopeError, DocumentError)])
def test_every_error_comes_back_as_itself(kind: type[HopscopeError]) -> None:
    assert type(tape.revived(json.loads(json.dumps(tape.fault(kind("x")))))) is kind


def test_an_error_of_another_place_comes_back_as_its_kind() -> None:
    report = parse(stored_runs.generated(1, 1.0, 1.0))
    assert type(tape.revived(tape.fault(RateMissed("slow", report, "")))) is EnvironmentFault
    assert type(tape.revived({"message": "of a later version", "kind": "weather"})) is HarnessFault


def test_a_file_that_is_not_as_it_was_is_named(tmp_path: Path) -> None:
    file = tmp_path / "client-eth0.pcap"
    file.write_bytes(b"packets")
    sealed = tape.seal(file)
    tape.check(file, sealed)
    for content, words in ((b"packet", "is not whole: 6 bytes, and 7 were"), (b"Packets", "has been changed since")):
        file.write_bytes(content)
        with pytest.raises(HarnessFault, match=f"client-eth0.pcap {words}"):
            tape.check(file, sealed)
    file.unlink()
    with pytest.raises(HarnessFault, match=r"client-eth0.pcap was recorded and cannot be read: No such file"):
        tape.check(file, sealed)


@pytest.mark.parametrize("text", ['{"call": "op', "[]", '{"call": 3}', '{"moment": 1}'])
def test_calls_that_make_no_sense_are_the_harness_s_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "calls.jsonl").write_text(text)
    with pytest.raises(HarnessFault, match=r"calls\.jsonl"):
        tape.read(tmp_path / "calls.jsonl")
