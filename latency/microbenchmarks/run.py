"""Measure the paper's microbenchmarks on a device, and write the limits that follow."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from typing import Any

from latency.builder.memory import require_memory
from latency.devices.health import warnings
from latency.devices.open import open_session
from latency.devices.session import Session, Timed, require_real_time
from latency.measure.block import Floats
from latency.microbenchmarks.document import (
    Sweep,
    dtype_words,
    format_document,
    make_document,
    samples_text,
    setting_words,
)
from latency.microbenchmarks.estimate import estimate_s
from latency.microbenchmarks.passes import (
    MOST_S,
    half_interval,
    on_accelerator,
    plan_passes,
    stop_reason,
)
from latency.microbenchmarks.picture import draw_slowdowns
from latency.microbenchmarks.rule import suggest_limits
from latency.microbenchmarks.slowdown import paper_slowdowns
from latency.microbenchmarks.text import aligned_words
from latency.microbenchmarks.timing import MicrobenchmarkConfig, job_chains, time_cases
from latency.paper_model.cases import Case, make_aligned, make_cases
from space.common.cli import log
from space.common.files import writable_folder, write_atomic
from space.common.progress import Progress
from space.common.text import format_duration

LEAST_SHARE = 0.95  # of the processors' time; below it, other programs ran on them


def measure_device(config: MicrobenchmarkConfig) -> tuple[dict[str, Any], str]:
    """Measure a device and write the files of `config.stem`: .json, .samples.jsonl and .png.

    Returns:
        The document that the .json holds, and the tables and verdicts as text.

    Raises:
        ValueError: a value of the configuration cannot be used, or the device is emulated.
        ImportError: the engine's package is missing.
        OSError: the device cannot be used, or a file cannot be written.
        MemoryError: the batch needs more memory than there is.
        NoAnswerError: the device is too noisy.
    """
    column, stem = config.paper_device, config.stem
    cases, more = make_cases(column), make_aligned(column)
    with open_session(
        config.device, config.engine_name, threads=config.threads, dtype=config.dtype, log=log
    ) as session:
        require_real_time(session)
        require_memory(session, job_chains((*cases, *more)), config.batch)
        writable_folder(stem.parent)
        warned = _warn(session, [session.host_info.get("accelerator", {})], ())
        own, aligned, jobs, facts = _measure(cases, more, session, config)
    paper = paper_slowdowns(cases)
    limits, why = suggest_limits(own.slow, paper, aligned.slow)
    found = make_document(own, aligned, paper, limits, why, session, config)
    share = sum(job.processor_s for job in jobs) / max(sum(job.wall_s for job in jobs), 1e-9)
    found["noise"] |= facts | {"processor_share": round(share, 3)}
    # A processor that waits for a GPU is no sign of other programs.
    if share < LEAST_SHARE and session.engine != "null" and not on_accelerator(session):
        log(
            f"warning: this process had {share:.0%} of its CPU time; other programs were running, "
            "and latencies may be too high"
        )
    _warn(session, [job.state for job in jobs], warned)
    series = [
        (f"paper, {column}", paper),
        (", ".join([session.chip, session.engine, *dtype_words(session)]), own.slow),
        (aligned_words(column), aligned.slow),
    ]
    draw_slowdowns(stem.with_suffix(".png"), series, limits)
    write_atomic(stem.with_suffix(".samples.jsonl"), samples_text(own, aligned))
    write_atomic(stem.with_suffix(".json"), json.dumps(found, indent=1, allow_nan=False) + "\n")
    log(f"written: {stem.with_suffix('.json')}, .samples.jsonl, .png")
    return found, format_document(found, own, aligned, paper, session)


def _measure(
    cases: Sequence[Case], more: Sequence[Case], session: Session, config: MicrobenchmarkConfig
) -> tuple[Sweep, Sweep, list[Timed], dict[str, Any]]:
    """The sweeps of two sets of cases, the jobs, and what they took, for the document."""
    every, started, stopped = (*cases, *more), time.monotonic(), "passes"
    plan = plan_passes(config.rounds, adaptive=on_accelerator(session))
    least_s, most_s = estimate_s(every, session, config.batch, plan)
    bounds = least_s, max(least_s, min(most_s, MOST_S))  # no pass beyond the least ends later
    expected = dict.fromkeys(map(format_duration, bounds))
    log(
        f"{2 * len(every)} chains, of Tables 1-4 and at aligned widths, on {session.chip}, "
        f"{session.engine} {session.engine_version}, {setting_words(session)}, {plan.words}: "
        f"about {', at most about '.join(expected)}"
    )

    def enough(seconds: Floats) -> bool:
        nonlocal stopped
        found = [sweep.slow for sweep in sweeps(seconds)]
        why = stop_reason(found, seconds.shape[1], time.monotonic() - started)
        stopped = why or stopped
        return bool(why)

    def sweeps(seconds: Floats) -> tuple[Sweep, Sweep]:
        return Sweep(cases, seconds[: len(cases)]), Sweep(more, seconds[len(cases) :])

    measuring = time.monotonic()
    with Progress("measuring", counted=False) as bar:
        seconds, jobs = time_cases(
            every, session, plan, batch=config.batch, enough=enough, report=bar.update
        )
    wall_s, (own, aligned) = time.monotonic() - measuring, sweeps(seconds)
    passes, rounds = seconds.shape[1:]
    half = half_interval((own.slow, aligned.slow))
    log(
        f"measured in {format_duration(wall_s)}, {passes} x {rounds} rounds; half of an interval "
        f"is {half:.1%} (median)"
    )
    return own, aligned, jobs, {"seconds": round(wall_s), "stopped_by": stopped}


def _warn(session: Session, states: Sequence[dict[str, Any]], said: Collection[str]) -> set[str]:
    """Log what makes times doubtful, unless it is `said` already; all that was said."""
    if session.engine == "null":
        return set(said)
    found = warnings(session.host_info, states, session.threads)
    for line in dict.fromkeys(found):
        if line not in said:
            log(f"warning: {line}")
    return {*said, *found}
