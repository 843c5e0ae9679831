"""Text for people: numbers, durations and tables, on stdout."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def format_duration(seconds: float) -> str:
    """A duration to one or two digits: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 10 else f"{round(hours)} h"


def shorten(value: object, longest: int = 60) -> str:
    """The `repr` of a value on one line, cut in the middle to `longest` characters: for the "got"
    of a message, whatever a file holds."""
    import reprlib

    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = longest
    short.maxlevel = 3
    text = " ".join(short.repr(value).split())
    if len(text) <= longest:
        return text
    half = (longest - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def format_number(value: float | None, form: str = ".2f") -> str:
    """A number in the format `form`; "-" for None."""
    return "-" if value is None else format(value, form)


def columns(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: Container[int] = (0,)
) -> list[str]:
    """Lines of columns, two spaces apart; columns in `left` are left-aligned, others right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return [
        "  ".join(
            format(cell, f"{'<' if index in left else '>'}{width}")
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [headings, *rows]
    ]


def rich_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    right_from: int = 1,
    left: Sequence[int] = (),
    wrap: bool = True,
    fold: bool = False,
    **options: Any,
) -> Table:
    """A table of `rich`; columns from `right_from` on are right-aligned.

    Args:
        left: columns that are left-aligned all the same, counted from 0.
        fold: break a word that is too long for its column instead of cutting it.
        options: of `rich.table.Table`, as title and box.
    """
    from rich.table import Table

    if isinstance(title := options.get("title"), str):
        options["title"] = plain_text(title, "table.title")
    table = Table(**options)
    overflow: Any = "fold" if fold else "ellipsis"
    for index, heading in enumerate(headings):
        justify: Any = "left" if index < right_from or index in left else "right"
        table.add_column(plain_text(heading), justify=justify, no_wrap=not wrap, overflow=overflow)
    for row in rows:
        # Text has no markup: a device may be called "board [/dev/ttyUSB0]".
        table.add_row(*(plain_text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def plain_text(text: str, style: str = "") -> Text:
    """Text for `rich` without markup, which wraps at the width: a cell, or a paragraph."""
    from rich.text import Text

    return Text(text, style)


def print_rich(*parts: Any, width: int | None = None) -> None:
    """Print tables and lines on stdout; a line is not cut to `width`, and nothing is coloured."""
    from rich.console import Console

    console = Console(width=width, highlight=False)
    for part in parts:
        if isinstance(part, str):
            console.print(part, soft_wrap=True, markup=False)
        else:
            console.print(part)
