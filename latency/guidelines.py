"""python -m latency.guidelines: the paper's microbenchmarks on a device; do G1-G4 hold there?"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

DEVICES = {
    "cpu": "this host, measured",
    "arm": "the paper's Snapdragon 810, published",
    "gpu": "the paper's GTX 1080 Ti, published",
}
SHARE_WARNING = 0.95  # below this, others ran on our processors
TITLE = "Slow-down when a guideline is broken"
MEASURING: dict[str, Any] = {
    "engine": "onnxruntime",
    "threads": 1,
    "batch": 1,
    "rounds": 30,
    "columns": "arm",
}


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"latency.guidelines: {' '.join(message.split())} (see --help)\n")


def parser() -> argparse.ArgumentParser:
    p = _Parser(
        prog="python -m latency.guidelines",
        description="Measure the microbenchmarks behind the paper's guidelines G1-G4 (its Tables "
        "1-4) on this host, beside the paper's columns, and write limits for search.run "
        "--guidelines.",
    )
    devices = "; ".join(f"{name}: {what}" for name, what in DEVICES.items())
    p.add_argument("--device", default="cpu", help=f"{devices} (cpu)")
    p.add_argument("--engine", help="what runs the blocks (onnxruntime)")
    p.add_argument("--threads", type=int, help="threads of the engine (1)")
    p.add_argument("--batch", type=int, help="images at once (1, as in the paper)")
    p.add_argument("--rounds", type=int, help="times each chain is timed (30)")
    p.add_argument(
        "--columns", help="whose widths: arm, the paper's for a CPU, or gpu, twice as wide (arm)"
    )
    p.add_argument(
        "--out", type=Path, help="folder of guidelines.json, .samples.jsonl and .png (the cache)"
    )
    p.add_argument("--format", choices=("table", "json"), default="table")
    return p


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

    from latency.engines import get_engine
    from latency.guidelines_cases import make_aligned, make_cases
    from latency.guidelines_measure import estimate_s, measure, split_rounds
    from latency.guidelines_picture import draw
    from latency.guidelines_report import Sweep, document, samples_text, text
    from latency.guidelines_rule import suggest
    from latency.guidelines_slowdown import paper_slowdowns
    from latency.machine import chip, emulated
    from space.files import write_atomic

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
    draw(out / "guidelines.png", lines, TITLE, limits)
    write_atomic(out / "guidelines.samples.jsonl", samples_text(own, aligned))
    write_atomic(out / "guidelines.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    say(f"written: {out / 'guidelines.json'}, .samples.jsonl, .png")
    return found, text(found, own, aligned, paper)


def show_published(device: str, out: Path | None) -> tuple[dict[str, Any], str]:
    """The paper's own columns and the fitted model's error: (for JSON, as text). A picture goes
    to `out` if given."""
    from latency.guidelines_cases import make_cases
    from latency.guidelines_picture import draw
    from latency.guidelines_published import load_model, published
    from latency.guidelines_slowdown import paper_slowdowns

    cases = make_cases(device)
    model = load_model(device)
    if out is not None:
        paper = paper_slowdowns(cases)
        draw(out / "guidelines.png", [(f"paper, {device}", paper)], TITLE)
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


def _run(args: argparse.Namespace, command: str) -> None:
    from space.files import cache_dir

    given = {name: getattr(args, name) for name in MEASURING}
    if args.device not in DEVICES:
        raise ValueError(f"`--device` must be one of {', '.join(DEVICES)}; got {args.device!r}")
    if args.device == "cpu":
        chosen = {n: given[n] if given[n] is not None else d for n, d in MEASURING.items()}
        found, text = measure_device(
            engine_name=chosen.pop("engine"),
            **chosen,
            out=args.out or cache_dir() / "guidelines",
            command=command,
        )
    else:
        extra = [f"--{name}" for name, value in given.items() if value is not None]
        if extra:
            raise ValueError(
                f"{args.device} is published, not measured: leave out {', '.join(extra)}"
            )
        found, text = show_published(args.device, args.out)
    print(json.dumps(found, indent=1, allow_nan=False) if args.format == "json" else text)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 no answer, 2 wrong usage."""
    words = sys.argv[1:] if arguments is None else arguments
    args = parser().parse_args(words)
    try:
        _run(args, shlex.join(["python", "-m", "latency.guidelines", *words]))
    except ValueError as error:
        _to_stderr(f"latency.guidelines: {error}")
        return 2
    except ImportError as error:
        _to_stderr(f"latency.guidelines: {error}")
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _to_stderr(f"latency.guidelines: {where}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        _to_stderr("latency.guidelines: stopped; nothing was written")
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
