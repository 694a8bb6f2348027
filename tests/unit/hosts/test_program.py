"""By how much the clock of a host elsewhere is ahead of ours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from hopscope.hosts.program import clock_ahead_ns
from support.fakes import fake_host

SECOND = 10**9


@pytest.mark.parametrize("ahead_ns", [3 * SECOND, -7 * SECOND, 0])
def test_it_is_measured_to_half_of_what_asking_takes_and_less_is_none(tmp_path: Path, ahead_ns: int) -> None:
    def date(argv: Sequence[str], stdin: bytes | None) -> str:
        assert argv[0] == "date"
        return str(time.time_ns() + ahead_ns)

    host = fake_host(tmp_path, date)
    assert clock_ahead_ns(host) == 0, "this machine has our clock"
    host.here = False
    measured = clock_ahead_ns(host)
    assert abs(measured - ahead_ns) < SECOND / 10
    assert (measured == 0) is (ahead_ns == 0)
