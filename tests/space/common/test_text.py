"""Text for people: durations, numbers, columns."""

from __future__ import annotations

from space.common.text import columns, format_duration, format_number


def test_durations() -> None:
    expected = {0.2: "1 s", 40: "40 s", 2400: "40 min", 9000: "2.5 h", 90000: "25 h"}
    assert {seconds: format_duration(seconds) for seconds in expected} == expected


def test_numbers() -> None:
    assert [format_number(None), format_number(1.234), format_number(0.5, ".0%")] == [
        "-",
        "1.23",
        "50%",
    ]


def test_columns_are_aligned() -> None:
    assert columns(["name", "n"], [["a", "10"], ["long name", "7"]]) == [
        "name        n",
        "a          10",
        "long name   7",
    ]
