"""docs/aws.md has every sabotage that is tested, and no other."""

from __future__ import annotations

from pathlib import Path

from support import intruder
from support.vandal import OF_ENDPOINTS, SABOTAGES

TEXT = (Path(__file__).parents[3] / "docs" / "aws.md").read_text()


def test_the_table_is_what_is_tested() -> None:
    every = [SABOTAGES, OF_ENDPOINTS, intruder.SABOTAGES, intruder.WITH_CONSEQUENCES]
    rows = [f"| {name} | `{place}` |" for each in every for name, (_, place, _) in each.items()]
    table = TEXT.partition("| what happens | line |\n|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == rows
    assert f"{len(rows)} sabotages" in TEXT
    assert len(rows) >= 24
