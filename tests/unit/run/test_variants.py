"""The blocks of a comparison, from the calls of its test."""

from __future__ import annotations

import pytest

from hopscope.run.variants import blocks, spans


def start(sut):
    return {"call": "start_sut", "sut": sut}


def moment(time_ns):
    return {"call": "moment", "time_ns": time_ns}


LOAD = {"call": "connections"}


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ([], {}),
        (
            [start("kernel"), moment(1), LOAD, moment(2), start("stamp"), moment(3), LOAD, moment(4),
             start("stamp"), moment(5), LOAD, moment(6)],
            {"kernel": [(1, 2)], "stamp": [(3, 4), (5, 6)]},
        ),
        ([start("stamp"), LOAD], {}),  # a test that compares nothing
        ([start("stamp"), moment(1), moment(2), LOAD, moment(3)], {"stamp": [(2, 3)]}),
        ([moment(1), LOAD, moment(2)], {}),
        ([start("stamp"), moment(1), LOAD], {}),  # it did not come to its end
    ],
)  # fmt: skip
def test_a_block_lies_between_two_moments_of_one_system_with_a_load_between(calls, found):
    assert spans(calls) == found


def test_calls_that_cannot_be_read_are_no_blocks(tmp_path):
    assert blocks(tmp_path) == {}
    (tmp_path / "calls.jsonl").write_text("{half")
    assert blocks(tmp_path) == {}
