"""What a measurement of the microbenchmarks says: the document on disk, and its text."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from latency.engines import Engine
from latency.guidelines_cases import TITLES, Case
from latency.guidelines_limits import SCHEMA, limits_json
from latency.guidelines_measure import chains
from latency.guidelines_rule import RULE, Limit
from latency.guidelines_show import case_rows, slowdown_line, tables
from latency.guidelines_slowdown import Slowdown, of_table, verdict
from latency.host import chip, commit, facts
from latency.journal import chain_text
from latency.measure import Floats
from latency.paper_data import CITATION
from space.guidelines import Guidelines

MEASURED = (
    "seconds are what ten blocks add to a chain of two units, each timed right after a run of its "
    "own; rows of one width share every round; medians; spread = IQR / median; 95 % intervals "
    "over passes, each of which prepares every chain anew"
)


def document(
    cases: Sequence[Case],
    times: Floats,
    here: Sequence[Slowdown],
    paper: Sequence[Slowdown],
    limits: Sequence[Limit],
    engine: Engine,
    *,
    columns: str,
    batch: int,
    command: str,
) -> dict[str, Any]:
    """What guidelines.json holds. `times`: seconds [cases, passes, rounds]."""
    flat = times.reshape(len(cases), -1)
    q25, seconds, q75 = np.quantile(flat, (0.25, 0.5, 0.75), axis=1)
    spread = (q75 - q25) / seconds
    return {
        "schema": SCHEMA,
        "limits": limits_json(Guidelines(*(limit.value for limit in limits))),
        "why": {limit.name: limit.why for limit in limits},
        "verdicts": {
            f"g{table}": verdict(of_table(here, table), of_table(paper, table), columns)
            for table in TITLES
        },
        "rule": RULE,
        "source": "measured",
        "device": chip(),
        "engine": engine.name,
        "engine_version": engine.version,
        "threads": engine.threads,
        "batch": batch,
        "dtype": "float32",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": {"python": platform.python_version(), "numpy": np.__version__}
        | engine.versions,
        "commit": commit(),
        "command": command,
        "host": facts(),
        "noise": {
            "spread": round(float(np.median(spread)), 4),
            "spread_90pct": round(float(np.quantile(spread, 0.9)), 4),
            "passes": times.shape[1],
            "rounds": times.shape[2],
        },
        "method": MEASURED,
        "reference": f"{CITATION}; Tables 1-4, {columns} columns",
        "columns": columns,
        "slowdowns": [_slowdown(s, p) for s, p in zip(here, paper, strict=True)],
        "rows": case_rows(cases, seconds, spread),
    }


def _slowdown(here: Slowdown, paper: Slowdown) -> dict[str, Any]:
    values = {"measured": here.value, "low": here.low, "high": here.high, "paper": paper.value}
    rounded = {name: round(value, 4) for name, value in values.items()}
    return {"table": here.table, "row": here.row, "number": round(here.number, 4)} | rounded


def samples_text(cases: Sequence[Case], times: Floats) -> str:
    """One JSON object a line: a case, its chains, its raw seconds [passes, rounds]."""
    lines = []
    for case, own in zip(cases, times, strict=True):
        long, before = chains(case)
        values = {
            "table": case.table,
            "row": case.row,
            "channels": case.channels,
            "long": chain_text(long),
            "before": chain_text(before),
            "times": [[float(f"{t:.5g}") for t in row] for row in own],
        }
        lines.append(json.dumps(values))
    return "\n".join(lines) + "\n"


def text(
    found: dict[str, Any],
    cases: Sequence[Case],
    here: Sequence[Slowdown],
    paper: Sequence[Slowdown],
) -> str:
    """The four tables with a verdict each, and the limits."""
    column = found["columns"]
    ends = {
        table: [
            slowdown_line(cases, table, here, "here"),
            slowdown_line(cases, table, paper, f"paper {column}"),
            found["verdicts"][f"g{table}"],
        ]
        for table in TITLES
    }
    noise, threads = found["noise"], found["threads"]
    head = (
        f"measured: {found['device']}, {found['engine']} {found['engine_version']}, {threads} "
        f"thread{'s' * (threads > 1)}, batch {found['batch']}, {found['date']}\n"
        f"median spread (IQR / median) {noise['spread']:.1%} over {noise['passes']} x "
        f"{noise['rounds']} rounds; 'to best' is time per multiply-add over the best of its width"
    )
    limits = ["Limits for search.run --guidelines", *(f"  {why}" for why in found["why"].values())]
    return "\n\n".join([head, tables(cases, found["rows"], ends, column), "\n".join(limits)])
