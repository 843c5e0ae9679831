"""A result for people: its rows as a table, with the source of every latency under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from latency.measure.drift import REFERENCE
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable
from search.problem.budget import scaled
from search.problem.problem import CLOSED_FORM, Table
from search.problem.shape import IMAGENET, NetworkShape, shape_lines, shape_of
from search.result.advice import advice_lines, no_winner_line
from search.result.estimates import estimate_line
from search.result.export import describe_weights
from search.result.rows import ResultRow, estimates_of
from search.result.search_result import SearchResult
from search.result.shelf_text import print_shelf
from space.common.stats import deviation
from space.common.text import format_number, print_rich, rich_table

DRIFT_NOTED = 0.02  # a drift since the table's build that is larger is printed
HELD = {"weight_bytes": "weights", "peak_bytes": "memory"}  # columns, if a budget limits these
WIDTH = 150  # as wide as the rows: a narrower terminal wraps them, where rich would cut them


def print_result(result: SearchResult) -> None:
    """The result on stdout."""
    shape = shape_of(result.problem.space)
    print_rows(result.rows, result.header, result.problem.score.line, shape)
    if line := no_winner_line(result):
        print(line)
    if result.shelf is not None:
        print_shelf(result.shelf, result.rows, result.header, estimates_of(result.rows))
    base = result.baseline
    lines = measured_blocks(result.rows, result.problem.table) + list(result.accuracy_lines)
    flops = {row.name: row.flops for row in result.rows}
    if base is None:
        lines.append("no ShuffleNet v2 is within the budget: no speed-up is given")
    elif result.limit is not None:
        lines += result.limit.lines(base.name)
    lines += advice_lines(result)
    for name, entry in result.files.items():
        if "files" in entry:
            difference = entry["onnx_max_relative_difference"]
            files = ", ".join(entry["files"])
            lines.append(f"{name}: {files}; ONNX against torch: {difference:.1e}")
            if (weights := entry["weights"])["trained"]:
                lines.append(
                    f"  {describe_weights(weights)}{_difference(weights, flops[name], shape)}"
                )
    lines.append(
        f"all in {result.folder}: winners.json, front.csv, front.png, {result.study.name}"
    )
    print("\n".join(lines))


def measured_blocks(rows: Sequence[ResultRow], table: Table) -> list[str]:
    """Of which blocks of the rows the table of a GPU has measurements: there, more than elsewhere,
    the library's choice of a kernel makes a block faster or slower than those of similar widths.
    No line for other tables."""
    if not isinstance(table, LatencyTable) or table.gpu is None:
        return []
    found = []
    for row in rows:
        if row.latency_s is not None:
            blocks = row.network.blocks
            count = sum(block in table.entries for block in blocks)
            found.append(f"{count} of {len(blocks)} in {row.name}")
    line = f"blocks measured on that GPU: {', '.join(found)}; the others are predicted from them"
    whole = [row.name for row in rows if row.measured_s is not None]
    return [f"{line}; networks run whole: {', '.join(whole) or 'none of these'}"]


def _difference(weights: Mapping[str, Any], flops: float, shape: NetworkShape) -> str:
    """Of what the costs in the table are, if not of the network that was trained: it may have
    another input, other classes, or fewer halvings."""
    if weights["flops"] == flops:
        return ""
    own = scaled(weights["flops"], "flops")
    return f"; its FLOPs are {own}: FLOPs, params and latency above are of {shape}, all halvings"


def print_rows(
    rows: Sequence[ResultRow],
    header: TableHeader,
    score: str = CLOSED_FORM.line,
    shape: NetworkShape = IMAGENET,
) -> None:
    """The rows on stdout, with the source of their latencies under them."""
    measured = any(row.measured_s is not None for row in rows)
    trained = any(row.accuracy for row in rows)
    estimated = any(row.estimate is not None for row in rows)
    per = "" if header.batch == 1 else f" of {header.batch}"
    columns: list[tuple[str, Callable[[ResultRow], str]]] = [
        ("network", lambda row: row.name),
        *(estimate_columns() if estimated else []),
        *([("accuracy", _accuracy)] if trained else []),
        ("FLOPs", lambda row: scaled(row.flops, "flops")),
        ("params", lambda row: scaled(row.params, "params")),
        *(_held(name) for name in HELD if any(name in row.held for row in rows)),
        (f"latency{per}", lambda row: _latency(row.latency_s)),
        *([("run whole", lambda row: _latency(row.measured_s))] if measured else []),
        ("speed-up", lambda row: "-" if row.speed_up is None else f"{row.speed_up:.2f}x"),
        *([] if estimated else [("score", lambda row: format_number(row.score))]),
        ("G1", lambda row: f"{row.guidelines.g1:.3f}"),
        ("G2", lambda row: f"{row.guidelines.g2:.3f}"),
        ("G3", lambda row: f"{row.guidelines.g3:.0f}"),
        ("G4", lambda row: f"{row.guidelines.g4:.3f}"),
    ]
    headings = [heading for heading, _ in columns]
    cells = [[cell(row) for _, cell in columns] for row in rows]
    table = rich_table(headings, cells, wrap=False, box=None, pad_edge=False, header_style="bold")
    lines: list[Any] = [table, "", *shape_lines(header, shape)]
    if any(row.latency_s is None for row in rows):
        lines.append("latency -: the table has no such blocks")
    if measured:
        lines.append(_measured_line(rows[0].pace))
    base = next((row for row in rows if row.role == "baseline"), None)
    if estimated:
        known = [row.estimate for row in rows if row.estimate is not None]
        lines.append(estimate_line(known[0], None if base is None else base.name))
    lines.append(score)
    for row in rows:
        if row.architecture and row.role != "baseline":
            lines += [f"{row.name}: {row.role}{_score(row, base)}", f"  {row.architecture}"]
            if row.estimate is not None and (uncertain := row.estimate.uncertain_text):
                lines.append(f"  {uncertain}")
    print_rich(*lines, width=WIDTH)


def _held(name: str) -> tuple[str, Callable[[ResultRow], str]]:
    """The column of bytes that a budget limits."""
    return HELD[name], lambda row: scaled(row.held[name], name) if name in row.held else "-"


def estimate_columns() -> list[tuple[str, Callable[[ResultRow], str]]]:
    """The columns of the estimate, which take the place of the score's."""
    return [
        ("top-1 (est.)", lambda row: "-" if row.estimate is None else row.estimate.top1_text),
        ("vs baseline", _difference_to_baseline),
    ]


def _difference_to_baseline(row: ResultRow) -> str:
    if row.estimate is None or row.role == "baseline":
        return "-"
    return row.estimate.difference_text


def _score(row: ResultRow, base: ResultRow | None) -> str:
    """The score of a winner, where no column has it."""
    if row.estimate is None or row.score is None:
        return ""
    other = "" if base is None or base.score is None else f", the baseline's {base.score:.2f}"
    return f" (score {row.score:.2f}{other})"


def _latency(seconds: float | None) -> str:
    return "-" if seconds is None else scaled(seconds, "latency_s")


def _accuracy(row: ResultRow) -> str:
    values = [value for _, value in row.accuracy]
    spread = deviation(values)
    if spread is None:
        return f"{values[0]:.2f} %" if values else "-"
    return f"{np.mean(values):.2f} +- {spread:.2f} %"


def _measured_line(drift: float | None) -> str:
    line = "run whole: measured on this machine just now, interleaved"
    if drift is None or abs(drift - 1) < DRIFT_NOTED:
        return line
    change = f"{abs(drift - 1):.0%} {'more' if drift > 1 else 'less'} time now"
    since = f"than when the table was built, by {REFERENCE} in the same rounds"
    return f"{line}; it takes {change} {since}"
