"""python -m latency.build: measure this host's latency table."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latency.campaign import Campaign, Effort, Plan
    from latency.engines import Engine
    from latency.grid import Grid
    from latency.table import LatencyTable

Report = Callable[[str], None]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m latency.build",
        description="Measure the latency table of the blocks of the search space on this host.",
    )
    p.add_argument("--device", default="cpu", help="what to measure: cpu, this host (default)")
    p.add_argument("--engine", default="onnxruntime", help="what runs the blocks (onnxruntime)")
    p.add_argument("--threads", type=int, default=1, help="threads of the engine (1)")
    p.add_argument("--batch", type=int, default=1, help="images at once (1)")
    p.add_argument("--coarse", action="store_true", help="fewer blocks: about a minute")
    p.add_argument("--out", type=Path, help="the table's path (this host's own table)")
    p.add_argument("--seed", type=int, default=0, help="of the random networks and orders (0)")
    p.add_argument(
        "--networks",
        type=int,
        default=20,
        help="random networks to judge the table by; as many more give its scale (20)",
    )
    p.add_argument("--fresh", action="store_true", help="forget what an unfinished build measured")
    return p


def build_table(
    *,
    engine_name: str = "onnxruntime",
    threads: int = 1,
    batch: int = 1,
    coarse: bool = False,
    out: Path | None = None,
    seed: int = 0,
    networks: int = 20,
    fresh: bool = False,
    command: str = "",
    say: Report | None = None,
    grid: Grid | None = None,
    effort: Effort | None = None,
) -> LatencyTable:
    """Measure, check on networks not in the table, save; go on where a killed build stopped.

    Args:
        say: told what happens, line by line; stderr if None.
        grid, effort: instead of those that `coarse` chooses.

    Raises:
        ValueError, ImportError, OSError: cannot be done as asked; one line says why.
    """
    from latency.campaign import Campaign, Effort, estimate_s, make_plan
    from latency.engines import get_engine
    from latency.grid import COARSE, FULL
    from latency.host import chip, emulated
    from latency.journal import Journal
    from latency.show import error_lines
    from latency.table import host_table_path
    from space.shufflenet_v2 import ShuffleNetV2Space

    say = say or _to_stderr
    if networks < 2 or batch < 1:
        raise ValueError(f"needs `networks` >= 2 and `batch` >= 1; got {networks} and {batch}")
    engine = get_engine(engine_name, threads=threads)
    if emulated() and engine.name != "null":
        raise ValueError("this machine is emulated: its wall time is not latency, so no table")
    out = (out or host_table_path()).with_suffix(".json")
    grid = grid or (COARSE if coarse else FULL)
    effort = effort or (Effort(max_s=100.0, tolerance=0.02) if coarse else Effort())
    plan = make_plan(grid, ShuffleNetV2Space(), networks, seed)
    journal_path = out.with_suffix(".journal.jsonl")
    if fresh:
        journal_path.unlink(missing_ok=True)
    identity = {
        "device": chip(),
        "engine": engine.name,
        "engine_version": engine.version,
        "threads": threads,
        "batch": batch,
        "seed": seed,
        "grid": grid.name,
        "plan": plan.digest,
    }
    with Journal(journal_path, identity) as journal:
        campaign = Campaign(plan, engine, journal, effort, batch, seed)
        expected_s = estimate_s(plan, engine, effort, batch)
        count = 2 * networks + len(plan.on_grid)
        say(
            f"{len(plan.targets)} blocks and {count} networks on {chip()}, {engine.name} "
            f"{engine.version}, {threads} thread{'s' * (threads > 1)}: "
            f"{_duration(expected_s)}, at most {_duration(max(effort.max_s, expected_s))}"
        )
        if journal.done:
            say(f"{len(journal.done)} jobs ({_duration(journal.spent_s)}) are done already")
        with _progress(say) as report:
            campaign.run(report)
        table = _table(campaign, out.stem, grid, identity, command, seed)
    table.save(out)
    journal_path.replace(out.with_suffix(".samples.jsonl"))
    for line in error_lines(table.header):
        say(line)
    say(f"written: {out}, {out.with_suffix('.csv').name}")
    return table


def _table(
    campaign: Campaign,
    target: str,
    grid: Grid,
    identity: dict[str, Any],
    command: str,
    seed: int,
) -> LatencyTable:
    """The table of a finished campaign, scaled and judged."""
    import platform

    import numpy as np

    from latency.check import common_factor, error_summary, left_out_error, predictions
    from latency.grid import summary
    from latency.header import Header
    from latency.host import commit, facts
    from latency.table import LatencyTable

    plan: Plan = campaign.plan
    engine: Engine = campaign.engine
    entries, noisy = campaign.blocks()
    spreads = [m.spread for m in entries.values()]
    header = Header(
        layout="blocks",
        target=target,
        source="measured",
        device=identity["device"],
        engine=engine.name,
        engine_version=engine.version,
        threads=identity["threads"],
        batch=identity["batch"],
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        versions={"python": platform.python_version(), "numpy": np.__version__} | engine.versions,
        commit=commit(),
        command=command,
        grid=f"{grid.name}: {summary(plan.targets)}, seed {seed}",
        host=facts(),
        noise={
            "spread": round(float(np.median(spreads)), 4),
            "spread_90pct": round(float(np.quantile(spreads, 0.9)), 4),
            "samples": int(np.median([m.n for m in entries.values()])),
            "stopped_by": campaign.stopped_by,
            "seconds": round(campaign.journal.spent_s),
            "processor_share": round(
                campaign.journal.processor_s / max(campaign.journal.spent_s, 1e-9), 3
            ),
            "too_noisy": [str(block) for block in noisy],
        },
    )
    table = LatencyTable(header, entries)
    factor = common_factor(predictions(table, plan.scale_set), campaign.networks_s(plan.scale_set))
    how = f"geometric mean of measured / predicted, {len(plan.scale_set)} other random networks"
    errors: dict[str, Any] = {"seed": seed}
    for name, nets in (("held_out", plan.held_out), ("on_grid", plan.on_grid)):
        predicted, measured = predictions(table, nets), campaign.networks_s(nets)
        errors[name] = {
            "unscaled": error_summary(predicted, measured),
            "scaled": error_summary(predicted * factor, measured),
        }
    errors["left_out_blocks"] = left_out_error({b: m.median_s for b, m in entries.items()})
    scale = {"factor": round(factor, 5), "how": how}
    return LatencyTable(replace(header, scale=scale, network_error=errors), entries)


def ensure_host_table(*, say: Report | None = None) -> LatencyTable:
    """This host's table; a coarse one is measured first if there is none (about a minute)."""
    from latency.table import HOST_TARGET, LatencyTable, load_table

    say = say or _to_stderr
    try:
        table = load_table(HOST_TARGET)
    except FileNotFoundError:
        say("no latency table of this host yet: measuring a coarse one")
        return build_table(coarse=True, say=say, command="ensure_host_table()")
    if not isinstance(table, LatencyTable):
        raise ValueError("this host's table must have measured blocks; build it again")
    return table


@contextmanager
def _progress(say: Report) -> Iterator[Callable[[int, int, int], None]]:
    """A bar on a terminal, else a line every tenth of a pass."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("")

            def draw(index: int, done: int, jobs: int) -> None:
                bar.update(task, description=f"pass {index + 1}", completed=done, total=jobs)

            yield draw
    else:

        def lines(index: int, done: int, jobs: int) -> None:
            if done == jobs or done * 4 // jobs > (done - 1) * 4 // jobs:
                say(f"pass {index + 1}: {done} of {jobs} jobs")

        yield lines


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 no table, 2 wrong usage."""
    args = parser().parse_args(arguments)
    if args.device != "cpu":
        _to_stderr(f"`--device` must be cpu (this host); {args.device} cannot be measured yet")
        return 2
    words = ["python", "-m", "latency.build", *(sys.argv[1:] if arguments is None else arguments)]
    try:
        build_table(
            engine_name=args.engine,
            threads=args.threads,
            batch=args.batch,
            coarse=args.coarse,
            out=args.out,
            seed=args.seed,
            networks=args.networks,
            fresh=args.fresh,
            command=shlex.join(words),
        )
    except ValueError as error:
        _to_stderr(str(error))
        return 2
    except (ImportError, OSError) as error:
        _to_stderr(str(error))
        return 1
    except KeyboardInterrupt:
        _to_stderr("stopped; the same command goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
