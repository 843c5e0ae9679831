"""The known networks as rows and as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from space.common.text import columns, format_number
from space.zoo.catalog import known_networks

HEADINGS = (
    "network", "input", "MFLOPs", "printed", "difference", "Mparams", "printed", "top-1 error",
    "G1", "G2", "G3", "G4", "note", "source",
)  # fmt: skip
LEFT = (0, 1, 13)


def network_rows() -> list[dict[str, Any]]:
    """One row for each network, ready for JSON."""
    return [entry.row() for entry in known_networks().values()]


WEIGHTS_HEADINGS = ("network", "top-1", "weights", "recipe")


def _cells(row: dict[str, Any], note: int) -> tuple[str, ...]:
    def millions(value: float | None, form: str) -> str:
        return format_number(None if value is None else value / 1e6, form)

    channels, height, width = row["input"]
    return (
        row["name"],
        f"{height}x{width}" if channels == 3 else f"{channels}x{height}x{width}",
        millions(row["flops"], ".1f"),
        millions(row["published_flops"], "g"),
        format_number(row["difference"], "+.1%"),
        millions(row["params"], ".2f"),
        millions(row["published_params"], ".4g"),
        format_number(row["published_top1_error"], "g"),
        *(format_number(row[name], ".3f") for name in ("g1", "g2")),
        str(row["g3"]),
        format_number(row["g4"], ".3f"),
        f"[{note}]" if note else "",
        row["source"],
    )


def format_networks(rows: Iterable[dict[str, Any]]) -> str:
    """The rows in columns, then the numbered notes, then the top-1 of released weights."""
    rows = list(rows)
    notes: dict[str, int] = {}
    cells = []
    for row in rows:
        number = notes.setdefault(row["note"], len(notes) + 1) if row["note"] else 0
        cells.append(_cells(row, number))
    lines = columns(HEADINGS, cells, left=LEFT)
    lines.insert(1, "-" * max(map(len, lines)))
    numbered = (
        textwrap.fill(note, 99, initial_indent=f"{f'[{number}]':5}", subsequent_indent=" " * 5)
        for note, number in notes.items()
    )
    released = [
        (row["name"], format_number(each["top1"], ".3f"), each["weights"], each["recipe"])
        for row in rows
        for each in row["weights"]
    ]
    weights = columns(WEIGHTS_HEADINGS, released, left=(0, 2, 3))
    weights.insert(1, "-" * max(map(len, weights)))
    return "\n".join([*lines, "", *numbered, "", *weights])
