"""Text for people: durations, numbers, columns."""

from __future__ import annotations

import pytest

from space.common.text import (
    columns,
    format_duration,
    format_number,
    print_rich,
    rich_table,
    shorten,
)


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


def test_shortened() -> None:
    assert shorten("a\n") == "'a\\n'"
    assert shorten([1, None]) == "[1, None]"
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    for value in ("x" * 10_000, {"a": ["b" * 1000] * 1000}, 10**4000, deep):
        assert len(shorten(value)) <= 60


def test_no_markup_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    name = "board [/dev/ttyUSB0] [red]x"
    print_rich(rich_table([name], [[name]], title=name, box=None), f"on {name}", width=80)
    out = capsys.readouterr().out
    assert out.count(name) == 4
