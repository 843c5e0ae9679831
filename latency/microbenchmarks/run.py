"""Measure the paper's microbenchmarks on a device, and write the limits that follow."""

from __future__ import annotations

import json
import time
from typing import Any

from latency.builder.memory import require_memory
from latency.devices.health import warnings
from latency.devices.open import open_session
from latency.devices.session import require_real_time
from latency.microbenchmarks.document import Sweep, format_document, make_document, samples_text
from latency.microbenchmarks.picture import draw_slowdowns
from latency.microbenchmarks.rule import suggest_limits
from latency.microbenchmarks.slowdown import paper_slowdowns
from latency.microbenchmarks.timing import (
    MicrobenchmarkConfig,
    case_chains,
    estimate_s,
    group_cases,
    split_rounds,
    time_cases,
)
from latency.paper_model.cases import make_aligned, make_cases
from space.common.cli import log
from space.common.files import writable_folder, write_atomic
from space.common.progress import Progress
from space.common.text import format_duration

LEAST_SHARE = 0.95  # of the processors' time; below it, other programs ran on them


def measure_device(config: MicrobenchmarkConfig) -> tuple[dict[str, Any], str]:
    """Measure a device and write guidelines.json, .samples.jsonl and .png.

    Returns:
        The document that guidelines.json holds, and the tables and verdicts as text.

    Raises:
        ValueError: a value of the configuration cannot be used, or the device is emulated.
        ImportError: the engine's package is missing.
        OSError: the device cannot be used, or a file cannot be written.
    """
    batch, rounds = config.batch, config.rounds
    cases = make_cases(config.columns)
    every = (*cases, *make_aligned(config.columns))
    passes, each = split_rounds(rounds)
    with open_session(config.device, config.engine, threads=config.threads, log=log) as session:
        require_real_time(session)
        require_memory(
            session,
            [[c for i in some for c in case_chains(every[i])] for some in group_cases(every)],
            batch,
        )
        out, threads = writable_folder(config.folder), session.threads
        log(
            f"{2 * len(every)} chains, of Tables 1-4 and at aligned widths, on {session.chip}, "
            f"{session.engine} {session.engine_version}, {threads} thread{'s' * (threads > 1)}, "
            f"{passes} x {each} rounds: about "
            f"{format_duration(estimate_s(every, session, batch, rounds))}"
        )
        started = time.monotonic()
        with Progress("measuring", counted=False) as bar:
            seconds, jobs = time_cases(
                every, session, batch=batch, rounds=rounds, report=bar.update
            )
        wall_s = time.monotonic() - started
    own = Sweep(cases, seconds[: len(cases)])
    aligned = Sweep(every[len(cases) :], seconds[len(cases) :])
    paper = paper_slowdowns(cases)
    limits, why = suggest_limits(own.slow, paper, aligned.slow)
    found = make_document(own, aligned, paper, limits, why, session, config)
    share = sum(job.processor_s for job in jobs) / max(sum(job.wall_s for job in jobs), 1e-9)
    found["noise"] |= {"seconds": round(wall_s), "processor_share": round(share, 3)}
    if session.engine != "null":
        if share < LEAST_SHARE:
            log(
                f"warning: this process had {share:.0%} of its CPU time; other programs were "
                "running, and latencies may be too high"
            )
        for line in warnings(session.host_info, [job.state for job in jobs], threads):
            log(f"warning: {line}")
    series = [
        (f"paper, {config.columns}", paper),
        (f"{session.chip}, {session.engine}", own.slow),
        ("at multiples of 16", aligned.slow),
    ]
    draw_slowdowns(out / "guidelines.png", series, limits)
    write_atomic(out / "guidelines.samples.jsonl", samples_text(own, aligned))
    write_atomic(out / "guidelines.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    log(f"written: {out / 'guidelines.json'}, .samples.jsonl, .png")
    return found, format_document(found, own, aligned, paper)
