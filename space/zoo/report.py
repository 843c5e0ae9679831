"""The known networks as rows and as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from space.common.text import columns
from space.zoo.catalog import published_networks

HEADINGS = (
    "network", "input", "MFLOPs", "printed", "difference", "Mparams", "printed", "top-1 error",
    "G1", "G2", "G3", "G4", "note", "source",
)  # fmt: skip
LEFT = (0, 1, 13)


def network_rows() -> list[dict[str, Any]]:
    """One row for each network, ready for JSON."""
    return [entry.row() for entry in published_networks().values()]


def _cells(row: dict[str, Any], note: int) -> tuple[str, ...]:
    def shown(value: float | None, form: str, unit: float = 1.0) -> str:
        return "-" if value is None else format(value / unit, form)

    channels, height, width = row["input"]
    return (
        row["name"],
        f"{height}x{width}" if channels == 3 else f"{channels}x{height}x{width}",
        shown(row["flops"], ".1f", 1e6),
        shown(row["published_flops"], "g", 1e6),
        shown(row["difference"], "+.1%"),
        shown(row["params"], ".2f", 1e6),
        shown(row["published_params"], ".4g", 1e6),
        shown(row["published_top1_error"], "g"),
        *(shown(row[name], ".3f") for name in ("g1", "g2")),
        str(row["g3"]),
        shown(row["g4"], ".3f"),
        f"[{note}]" if note else "",
        row["source"],
    )


def format_networks(rows: Iterable[dict[str, Any]]) -> str:
    """The rows in columns, then the numbered notes."""
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
    return "\n".join([*lines, "", *numbered])
