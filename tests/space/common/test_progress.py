"""Progress: lines without a terminal, a bar with one, nothing when quiet."""

from __future__ import annotations

import sys

import pytest

from space.common.progress import Progress


def updates(bar: Progress, total: int) -> None:
    for done in range(1, total + 1):
        bar.update(done, total)


def test_a_line_each_quarter() -> None:
    lines: list[str] = []
    with Progress("measuring", lines="blocks", log=lines.append) as bar:
        assert not bar.shown
        updates(bar, 6)
    assert lines == [f"measuring: {done} of 6 blocks" for done in (2, 3, 5, 6)]


@pytest.mark.parametrize("options", [{"lines": None}, {"lines": "blocks", "quiet": True}])
def test_nothing(options: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("measuring", 6, **options) as bar:  # type: ignore[arg-type]
        updates(bar, 6)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("measuring", 4, lines="blocks") as bar:
        assert bar.shown
        updates(bar, 4)
        bar.log("one [line]")
    assert not bar.shown
    out, err = capsys.readouterr()
    assert out == ""
    assert "one [line]" in err
    assert "4 of 4 blocks" not in err


def test_a_caller_may_know_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the lines but the last, and in place of the bar's own estimate."""
    lines: list[str] = []
    with Progress("pass 1", lines="jobs", log=lines.append) as bar:
        for done in range(1, 5):
            bar.update(done, 4, left_s=30.0 * (4 - done))
    assert lines == [
        "pass 1: 1 of 4 jobs, about 2 min left", "pass 1: 2 of 4 jobs, about 60 s left",
        "pass 1: 3 of 4 jobs, about 30 s left", "pass 1: 4 of 4 jobs",
    ]  # fmt: skip
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("pass 1") as bar:
        bar.update(1, 4, left_s=600.0)
    err = capsys.readouterr().err
    assert "pass 1, about 10 min left" in err and "-:--:--" not in err.splitlines()[-1]
