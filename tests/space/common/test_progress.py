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
