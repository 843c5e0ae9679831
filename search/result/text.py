"""The answer for people: its rows as a table, with the source of every latency under it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from latency.measure.drift import REFERENCE
from latency.table.header import TableHeader, latency_line
from search.problem.budget import scaled
from search.problem.problem import CLOSED_FORM
from search.result.rows import ResultRow, deviation
from space.cost.guidelines import NAMES

PACE_TOLD = 0.02  # a machine's pace that is further from the table's is worth a word


def _whole_line(pace: float | None) -> str:
    line = "run whole: measured on this machine just now, interleaved"
    if pace is None or abs(pace - 1) < PACE_TOLD:
        return line
    change = f"{abs(pace - 1):.0%} {'more' if pace > 1 else 'less'} time"
    return (
        f"{line}; it takes {change} now than when the table was built, by {REFERENCE} in the same "
        "rounds"
    )


def _accuracy(row: ResultRow) -> str:
    values = [value for _, value in row.accuracy]
    spread = deviation(values)
    if spread is None:
        return f"{values[0]:.2f} %" if values else "-"
    return f"{np.mean(values):.2f} +- {spread:.2f} %"


def print_rows(
    rows: Sequence[ResultRow], header: TableHeader, score: str = CLOSED_FORM.line
) -> None:
    """The table on stdout, with the source of the latencies under it."""
    from rich.console import Console
    from rich.table import Table as RichTable

    # As wide as the rows: a narrower terminal wraps them, which rich would cut.
    console = Console(width=150, highlight=False)
    per = "" if header.batch == 1 else f" of {header.batch}"
    shown = RichTable(box=None, pad_edge=False, header_style="bold")
    shown.add_column("network", no_wrap=True)
    whole = any(row.measured_s is not None for row in rows)
    heads = ["FLOPs", "params", f"latency{per}", "speed-up", "score", *(n.upper() for n in NAMES)]
    if whole:
        heads.insert(3, "run whole")
    trained = any(row.accuracy for row in rows)
    if trained:
        heads.insert(0, "accuracy")
    for head in heads:
        shown.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        g = row.guidelines
        latency = "-" if row.latency_s is None else scaled(row.latency_s, "latency_s")
        run = "-" if row.measured_s is None else scaled(row.measured_s, "latency_s")
        shown.add_row(
            row.name,
            *([_accuracy(row)] if trained else []),
            scaled(row.flops, "flops"),
            scaled(row.params, "params"),
            latency,
            *([run] if whole else []),
            "-" if row.speed_up is None else f"{row.speed_up:.2f}x",
            "-" if row.score is None else f"{row.score:.2f}",
            f"{g.g1:.3f}",
            f"{g.g2:.3f}",
            f"{g.g3:.0f}",
            f"{g.g4:.3f}",
        )
    console.print(shown)
    console.print()
    console.print(latency_line(header), soft_wrap=True)
    if any(row.latency_s is None for row in rows):
        console.print("latency -: the table has no such blocks", soft_wrap=True)
    if whole:
        console.print(_whole_line(rows[0].pace), soft_wrap=True)
    console.print(score, soft_wrap=True)
    for row in rows:
        if row.architecture and row.role != "baseline":
            console.print(f"{row.name}: {row.role}", soft_wrap=True)
            console.print(f"  {row.architecture}", soft_wrap=True)
