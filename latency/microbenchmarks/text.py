"""The microbenchmarks as text: one line a case, one sentence a guideline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from latency.measure.block import Floats
from latency.microbenchmarks.slowdown import Slowdown, of_table
from latency.paper_model.cases import ALIGNED, TITLES, Case


def _relative_to_best(cases: Sequence[Case], seconds: ArrayLike, flops: ArrayLike) -> Floats:
    """Time per multiply-add over that of the best row of the same table and width, [cases]."""
    per_flop = np.asarray(seconds) / np.asarray(flops)
    same = [[(a.table, a.scale) == (b.table, b.scale) for b in cases] for a in cases]
    return per_flop / np.where(same, per_flop, np.inf).min(axis=1)


def case_rows(
    cases: Sequence[Case], seconds: Floats, spread: Floats | None = None
) -> list[dict[str, Any]]:
    """One dict per case, for JSON, from the seconds of its ten blocks [cases].

    Args:
        spread: IQR / median of the measured seconds [cases]; None: a model predicts `seconds`.
    """
    measured = _relative_to_best(cases, seconds, [case.flops for case in cases])
    paper_s, paper_flops = zip(*((c.paper_s, c.paper_flops) for c in cases), strict=True)
    published = _relative_to_best(cases, paper_s, paper_flops)
    rows = []
    for i, case in enumerate(cases):
        row: dict[str, Any] = {
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


def aligned_words(column: str) -> str:
    """What the aligned rows of a paper's column are."""
    return f"at multiples of {ALIGNED[column]}"


def format_tables(
    cases: Sequence[Case],
    rows: Sequence[dict],
    ends: dict[int, list[str]],
    column: str,
) -> str:
    """The four tables, with cases that are not in the paper after the others.

    Args:
        rows: of `case_rows`.
        ends: the lines under each table.
    """
    text = []
    measured = f"{'here, ms':>10}{'spread':>8}{'to best':>9}" if "measured_s" in rows[0] else ""
    model = "" if measured else f"{'model, ms':>11}{'error':>8}"
    for table, title in TITLES.items():
        heads = f"  {'':18}{'channels':>10}{'MFLOPs':>8}{f'G{table}':>7}{measured}"
        heads += f"{f'paper {column}, ms':>15}{'to best':>9}{model}"
        pairs = [pair for pair in zip(cases, rows, strict=True) if pair[0].table == table]
        pairs.sort(key=lambda pair: pair[0].scale)
        printed = [_line(case, row) for case, row in pairs if case.printed]
        aligned = [_line(case, row) for case, row in pairs if not case.printed]
        if aligned:
            aligned.insert(0, f"  {aligned_words(column)}, not in the paper:")
        text += [f"Table {table}. {title}", heads, *printed, *aligned, *ends[table], ""]
    return "\n".join(text).rstrip()


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


def slowdown_line(found: Sequence[Slowdown], table: int, label: str) -> str:
    """All rows of a table against its first, means over its widths."""
    first, *others = of_table(found, table)
    listed = ", ".join(f"{s.row} {s.value:.2f}x" for s in others)
    return f"  {label}, mean of the widths, against {first.row}: {listed}"
