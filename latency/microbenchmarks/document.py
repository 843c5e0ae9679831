"""The result of a measurement of the microbenchmarks: the document on disk, and its text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from latency.builder.journal import chain_text
from latency.devices.session import Session
from latency.measure.block import Floats
from latency.microbenchmarks.limits import SCHEMA, limits_json
from latency.microbenchmarks.passes import half_interval, on_accelerator
from latency.microbenchmarks.rule import rule_text
from latency.microbenchmarks.slowdown import (
    Slowdown,
    guideline_verdict,
    measured_slowdowns,
    of_table,
)
from latency.microbenchmarks.text import aligned_words, case_rows, format_tables, slowdown_line
from latency.microbenchmarks.timing import MicrobenchmarkConfig, case_chains
from latency.paper_model.cases import TITLES, Case
from latency.paper_model.paper_speeds import CITATION
from space.common.provenance import commit, today_utc, versions
from space.cost.guidelines import Guidelines

METHOD = (
    "seconds are what ten blocks add to a 1x1 convolution and two units, each chain timed right "
    "after a run of its own; rows of one width share every round; medians; spread = IQR / "
    "median; 95 % intervals over passes, each of which prepares every chain anew"
)
GPU_METHOD = (
    "; seconds are the GPU's, between events at either end of a CUDA graph; cuDNN chooses the "
    "kernel of a convolution once, so no interval contains that choice"
)


@dataclass(frozen=True)
class Sweep:
    """Cases and their times in seconds, float64 [cases, passes, rounds]."""

    cases: Sequence[Case]
    times: Floats

    @cached_property
    def slow(self) -> tuple[Slowdown, ...]:
        """The slow-down of each row."""
        return measured_slowdowns(self.cases, self.times)

    @cached_property
    def medians(self) -> tuple[Floats, Floats]:
        """Median seconds, and interquartile range over median, each [cases]."""
        samples = self.times.reshape(len(self.cases), -1)
        q25, median, q75 = np.quantile(samples, (0.25, 0.5, 0.75), axis=1)
        return median, (q75 - q25) / median


def make_document(
    own: Sweep,
    aligned: Sweep,
    paper: Sequence[Slowdown],
    limits: Guidelines,
    why: dict[str, str],
    session: Session,
    config: MicrobenchmarkConfig,
) -> dict[str, Any]:
    """The document of guidelines.json."""
    passes, rounds = own.times.shape[1:]
    spread, column = own.medians[1], config.paper_device
    at = f" {aligned_words(column)}"
    return {
        "schema": SCHEMA,
        "limits": limits_json(limits),
        "why": why,
        "verdicts": {
            f"g{table}": guideline_verdict(
                of_table(own.slow, table), of_table(paper, table), column
            )
            for table in TITLES
        },
        "aligned_verdicts": {
            f"g{table}": guideline_verdict(of_table(aligned.slow, table), where=at)
            for table in sorted({case.table for case in aligned.cases})
        },
        "rule": rule_text(column),
        "source": "measured",
        "device": session.chip,
        "engine": session.engine,
        "engine_version": session.engine_version,
        "threads": session.threads,
        "batch": config.batch,
        "dtype": session.dtype,
        "date": today_utc(),
        "versions": versions("numpy") | session.versions,
        "commit": commit(),
        "command": config.command,
        "host": session.host_info,
        "noise": {
            "spread": round(float(np.median(spread)), 4),
            "spread_90pct": round(float(np.quantile(spread, 0.9)), 4),
            "passes": passes,
            "rounds": rounds,
            "half_interval": round(half_interval((own.slow, aligned.slow)), 4),
        },
        "method": METHOD + GPU_METHOD * on_accelerator(session),
        "reference": f"{CITATION}; Tables 1-4, {column} columns",
        "columns": column,
        "slowdowns": [_slowdown(s, p) for s, p in zip(own.slow, paper, strict=True)],
        "aligned_slowdowns": [_slowdown(s) for s in aligned.slow],
        "rows": case_rows(own.cases, *own.medians),
        "aligned_rows": case_rows(aligned.cases, *aligned.medians),
    }


def dtype_words(session: Session) -> list[str]:
    """The dtype, where it is not the usual one or a GPU has several."""
    named = on_accelerator(session) or session.dtype != "float32"
    return [session.dtype] if named else []


def setting_words(session: Session) -> str:
    """The threads, which do nothing on a GPU, and the dtype: "1 thread", "float16"."""
    threads = f"{session.threads} thread{'s' * (session.threads > 1)}"
    words = [] if on_accelerator(session) else [threads]
    return ", ".join([*words, *dtype_words(session)])


def _slowdown(here: Slowdown, paper: Slowdown | None = None) -> dict[str, Any]:
    values = {"measured": here.value, "low": here.low, "high": here.high}
    if paper is not None:
        values["paper"] = paper.value
    rounded = {name: round(value, 4) for name, value in values.items()}
    return {"table": here.table, "row": here.row, "number": round(here.number, 4)} | rounded


def samples_text(*sweeps: Sweep) -> str:
    """One JSON object a line: a case, its chains, its raw seconds [passes, rounds]."""
    text = ""
    for sweep in sweeps:
        for case, times in zip(sweep.cases, sweep.times, strict=True):
            long, before = case_chains(case)
            values = {
                "table": case.table,
                "row": case.row,
                "channels": case.channels,
                "in_paper": bool(case.printed),
                "long": chain_text(long),
                "before": chain_text(before),
                "times": [[float(f"{t:.5g}") for t in row] for row in times],
            }
            text += json.dumps(values) + "\n"
    return text


def format_document(
    found: dict[str, Any],
    own: Sweep,
    aligned: Sweep,
    paper: Sequence[Slowdown],
    session: Session,
) -> str:
    """The four tables with their verdicts, and the limits, of a document of `make_document`."""
    column, ends = found["columns"], {}
    for table in TITLES:
        ends[table] = [
            slowdown_line(own.slow, table, "here"),
            slowdown_line(paper, table, f"paper {column}"),
            found["verdicts"][f"g{table}"],
        ]
        if verdict := found["aligned_verdicts"].get(f"g{table}"):
            line = slowdown_line(aligned.slow, table, f"here {aligned_words(column)}")
            ends[table][2:] = [line, ends[table][2], verdict]
    noise = found["noise"]
    head = (
        f"measured: {found['device']}, {found['engine']} {found['engine_version']}, "
        f"{setting_words(session)}, batch {found['batch']}, {found['date']}\n"
        f"median spread (IQR / median) {noise['spread']:.1%} over {noise['passes']} x "
        f"{noise['rounds']} rounds; 'to best' is time per multiply-add over the best of its width"
    )
    rows = found["rows"] + found["aligned_rows"]
    listed = format_tables((*own.cases, *aligned.cases), rows, ends, column)
    limits = ["Limits for search.run --guidelines", *(f"  {why}" for why in found["why"].values())]
    return "\n\n".join([head, listed, "\n".join(limits)])
