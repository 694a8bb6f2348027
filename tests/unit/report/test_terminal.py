from __future__ import annotations

from hopscope.report import terminal

ROW = {
    "sut": "stamp",
    "rtt_ms": 20.6,
    "plain_ttfb_ms": 41.5,
    "sut_ttfb_ms": 20.9,
    "saved_rtts": 1.0,
    "plain_send_unlock_ms": 20.7,
    "sut_send_unlock_ms": float("nan"),
    "asked": 1000,
    "completed": 999,
    "drops": 0,
}


def test_columns_line_up() -> None:
    assert terminal.table(("a", "bb"), [("xxx", "1"), ("y", "222")]) == ["a     bb", "xxx    1", "y    222"]


def test_a_comparison_shows_both_sides_and_says_so_when_a_value_is_absent() -> None:
    head, row = terminal.comparisons([ROW])
    assert head.split()[0] == "SUT"
    assert row.split() == [
        "stamp",
        "20.60",
        "ms",
        "41.50",
        "ms",
        "20.90",
        "ms",
        "1.000",
        "RTT",
        "20.70",
        "ms",
        "-",
        "999",
        "of",
        "1000",
        "0",
    ]


def test_verdicts_are_counted_by_check_and_outcome() -> None:
    lines = terminal.verdict_counts(
        [
            {"check": "ordering", "outcome": "PASS"},
            {"check": "ordering", "outcome": "PASS"},
            {"check": "checksums", "outcome": "FAIL"},
        ]
    )
    assert [line.split() for line in lines[1:]] == [["checksums", "1"], ["ordering", "2"]]
    assert lines[0].split() == ["check", "PASS", "FAIL", "INCONCLUSIVE", "NOT_APPLICABLE"]


def test_nothing_to_say_is_no_lines() -> None:
    assert terminal.summary([], []) == []
