"""Measure the paper's microbenchmarks on a device, or show the published ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DEVICES = {
    "cpu": "this host, measured",
    "arm": "the paper's Snapdragon 810, published",
    "gpu": "the paper's GTX 1080 Ti, published",
}
SHARE_WARNING = 0.95  # below this, others ran on our processors
TITLE = "Slow-down when a guideline is broken"


def measure_device(
    *,
    engine_name: str,
    threads: int,
    batch: int,
    rounds: int,
    columns: str,
    out: Path,
    command: str = "",
    say: Callable[[str], None] | None = None,
) -> tuple[dict[str, Any], str]:
    """Measure this host and write `out`/guidelines.json, .samples.jsonl and .png.

    Returns:
        What guidelines.json holds, and the tables and verdicts as text.

    Raises:
        ValueError, ImportError, OSError: cannot be done as asked; one line says why.
    """
    import time

    from latency.engines.registry import get_engine
    from latency.microbenchmarks.cases import make_aligned, make_cases
    from latency.microbenchmarks.document import Sweep, document, samples_text, text
    from latency.microbenchmarks.picture import draw_slowdowns
    from latency.microbenchmarks.rule import suggest
    from latency.microbenchmarks.slowdown import paper_slowdowns
    from latency.microbenchmarks.timing import estimate_s, measure, split_rounds
    from latency.ondevice.host import chip, emulated
    from space.common.files import write_atomic

    say = say or _to_stderr
    if batch < 1:
        raise ValueError(f"`--batch` must be at least 1; got {batch}")
    cases = make_cases(columns)
    every = (*cases, *make_aligned(columns))
    passes, each = split_rounds(rounds)
    engine = get_engine(engine_name, threads=threads)
    if emulated() and engine.name != "null":
        raise ValueError("this machine is emulated: its wall time is not latency")
    out.mkdir(parents=True, exist_ok=True)
    how = f"{threads} thread{'s' * (threads > 1)}, {passes} x {each} rounds"
    say(
        f"{2 * len(every)} chains, of Tables 1-4 and at aligned widths, on {chip()}, "
        f"{engine.name} {engine.version}, {how}: "
        f"{_duration(estimate_s(every, engine, batch, rounds))}"
    )
    started, processor = time.monotonic(), time.process_time()
    with _progress() as report:
        times = measure(every, engine, batch=batch, rounds=rounds, report=report)
    wall_s, processor_s = time.monotonic() - started, time.process_time() - processor
    own = Sweep(cases, times[: len(cases)])
    aligned = Sweep(every[len(cases) :], times[len(cases) :])
    paper = paper_slowdowns(cases)
    limits = suggest(own.slow, paper, aligned.slow)
    found = document(
        own, aligned, paper, limits, engine, columns=columns, batch=batch, command=command
    )
    share = processor_s / max(wall_s, 1e-9)
    found["noise"] |= {"seconds": round(wall_s), "processor_share": round(share, 3)}
    if engine.name != "null" and share < SHARE_WARNING:
        say(f"warning: the processor was ours {share:.0%} of the time only: others ran on it too")
    name = f"{chip()}, {engine.name}"
    lines = [(f"paper, {columns}", paper), (name, own.slow), ("at multiples of 16", aligned.slow)]
    draw_slowdowns(out / "guidelines.png", lines, TITLE, limits)
    write_atomic(out / "guidelines.samples.jsonl", samples_text(own, aligned))
    write_atomic(out / "guidelines.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    say(f"written: {out / 'guidelines.json'}, .samples.jsonl, .png")
    return found, text(found, own, aligned, paper)


def show_published(device: str, out: Path | None) -> tuple[dict[str, Any], str]:
    """The paper's own columns and the fitted model's error: (for JSON, as text). A picture goes
    to `out` if given."""
    from latency.microbenchmarks.cases import make_cases
    from latency.microbenchmarks.paper import load_model, published
    from latency.microbenchmarks.picture import draw_slowdowns
    from latency.microbenchmarks.slowdown import paper_slowdowns

    cases = make_cases(device)
    model = load_model(device)
    if out is not None:
        paper = paper_slowdowns(cases)
        draw_slowdowns(out / "guidelines.png", [(f"paper, {device}", paper)], TITLE)
    return published(model, cases)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring")
        yield lambda done, jobs: bar.update(task, completed=done, total=jobs)


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
