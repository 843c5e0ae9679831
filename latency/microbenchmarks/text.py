"""The microbenchmarks as text: one line a case, one sentence a guideline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from latency.measure.block import Floats
from latency.microbenchmarks.slowdown import Slowdown, of_table
from latency.paper_model.cases import ALIGNED, TITLES, Case, row_names


def relative_to_best(cases: Sequence[Case], seconds: Floats, flops: Floats) -> Floats:
    """Time per multiply-add over that of the best row of the same table and width, [cases]."""
    per_flop = seconds / flops
    same = [[(a.table, a.scale) == (b.table, b.scale) for b in cases] for a in cases]
    return per_flop / np.where(same, per_flop, np.inf).min(axis=1)


def paper_relative_to_best(cases: Sequence[Case]) -> Floats:
    """`relative_to_best` of the paper's column, [cases]."""
    seconds = np.array([case.paper_s for case in cases])
    return relative_to_best(cases, seconds, np.array([case.paper_flops for case in cases]))


def case_rows(
    cases: Sequence[Case], seconds: Floats, spread: Floats | None = None
) -> list[dict[str, object]]:
    """One dict per case, for JSON, from the seconds of its ten blocks [cases].

    Args:
        spread: IQR / median of the measured seconds, [cases]; None: a model predicts `seconds`.
    """
    measured = relative_to_best(
        cases, seconds, np.array([case.flops for case in cases], dtype=np.float64)
    )
    published = paper_relative_to_best(cases)
    rows: list[dict[str, object]] = []
    for i, case in enumerate(cases):
        row: dict[str, object] = {
            "table": case.table,
            "row": case.row,
            "channels": case.channels,
            "flops": case.flops,
            "number": round(case.number, 4),
        }
        if np.isfinite(case.paper_s):
            row["paper_s"] = float(f"{case.paper_s:.6g}")
            row["paper_to_best"] = round(float(published[i]), 4)
        value = float(f"{seconds[i]:.6g}")
        if spread is None:
            row |= {"model_s": value, "error": round(value / case.paper_s - 1, 4)}
        else:
            row |= {"measured_s": value, "spread": round(float(spread[i]), 4)}
            row["measured_to_best"] = round(float(measured[i]), 4)
        rows.append(row)
    return rows


def format_tables(
    cases: Sequence[Case],
    rows: Sequence[dict],
    ends: dict[int, list[str]],
    column: str,
    more: Sequence[tuple[Case, dict]] = (),
) -> str:
    """The four tables.

    Args:
        rows: of `case_rows`.
        ends: the lines under each table.
        more: cases that are not in the paper, and their rows.
    """
    text = []
    for table, title in TITLES.items():
        name = f"G{table}"
        heads = f"  {'':18}{'channels':>10}{'MFLOPs':>8}{name:>7}"
        measured = "measured_s" in rows[0]
        if measured:
            heads += f"{'here, ms':>10}{'spread':>8}{'to best':>9}"
        heads += f"{f'paper {column}, ms':>15}{'to best':>9}"
        heads += "" if measured else f"{'model, ms':>11}{'error':>8}"
        text += [f"Table {table}. {title}", heads]
        text += _lines(table, list(zip(cases, rows, strict=True)))
        own = _lines(table, more)
        text += [f"  at multiples of {ALIGNED}, not in the paper:", *own] if own else []
        text += [*ends.get(table, []), ""]
    return "\n".join(text).rstrip()


def _lines(table: int, pairs: Sequence[tuple[Case, dict]]) -> list[str]:
    """The lines of one table, width by width."""
    kept = [pair for pair in pairs if pair[0].table == table]
    return [_line(*pair) for pair in sorted(kept, key=lambda pair: pair[0].scale)]


def _line(case: Case, row: dict) -> str:
    line = f"  {case.row:18}{case.channels:>10}{case.flops / 1e6:8.1f}{case.number:7.3f}"
    if "measured_s" in row:
        line += f"{row['measured_s'] * 1e3:10.3f}{row['spread']:8.1%}"
        line += f"{row['measured_to_best']:8.2f}x"
    if "paper_s" in row:
        line += f"{row['paper_s'] * 1e3:15.3f}{row['paper_to_best']:8.2f}x"
    if "model_s" in row:
        line += f"{row['model_s'] * 1e3:11.3f}{row['error']:+8.1%}"
    return line


def slowdown_line(cases: Sequence[Case], table: int, found: Sequence[Slowdown], label: str) -> str:
    """All rows of a table against its first, means over its widths."""
    first, *others = row_names(cases, table)
    values = {s.row: s.value for s in of_table(found, table)}
    listed = ", ".join(f"{row} {values[row]:.2f}x" for row in others)
    return f"  {label}, mean of the widths, against {first}: {listed}"
