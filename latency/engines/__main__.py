"""Which engines run here, and how fast is a network on each? `python -m latency.engines`"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

ROUNDS = 15


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m latency.engines",
        description="List the engines, with what is missing for those that cannot run here. With "
        "--network, time it on each that can, interleaved.",
    )
    p.add_argument("--network", help='a name of `python -m space.zoo`, as "ShuffleNet v2 1.0x"')
    p.add_argument("--engines", help="names, with commas between (all but null)")
    p.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    p.add_argument("--batch", type=int, default=1, help="images at once; default: %(default)s")
    p.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    p.add_argument("--format", choices=("table", "json"), default="table")
    return p


def open_engines(names: Sequence[str], threads: int = 1) -> tuple[list[Any], list[dict[str, Any]]]:
    """The engines that can run here, one for each dtype, and a row for every engine and dtype.

    A row has `engine`, `dtype` and `version`, or `missing` in place of the last.

    Raises:
        ValueError: an unknown name.
    """
    from latency.engines.registry import ENGINES, get_engine

    found, rows = [], []
    for name in names:
        for dtype in ENGINES[name].dtypes if name in ENGINES else ("float32",):
            row = {"engine": name, "dtype": dtype}
            try:
                engine = get_engine(name, threads=threads, dtype=dtype)
            except (ImportError, OSError) as error:
                rows.append({**row, "missing": str(error)})
            else:
                rows.append({**row, "version": engine.version})
                found.append(engine)
    return found, rows


def time_network(
    blocks: Sequence[Any], engines: Sequence[Any], *, batch: int = 1, rounds: int = ROUNDS
) -> list[dict[str, Any]]:
    """Seconds of a chain on each engine: in every round each runs it once untimed, as a network
    in use has, and then timed. A row has `prepare_s`, `median_s` and `spread` (IQR / median)."""
    import numpy as np

    from latency.ondevice.timing import WARM_UP, clock_step, loops_for, timed

    runs, rows = [], []
    for engine in engines:
        started = time.monotonic()
        run = engine.prepare(tuple(blocks), batch)
        run.run()
        rows.append({"prepare_s": time.monotonic() - started})
        runs.append((run, engine.clock, loops_for(run, engine.clock, clock_step(engine.clock))))
    times = np.empty((WARM_UP + rounds, len(runs)))
    for index in range(len(times)):
        for column, (run, clock, loops) in enumerate(runs):
            run.run()
            times[index, column] = timed(run, clock, loops) / loops
    for row, samples in zip(rows, times[WARM_UP:].T, strict=True):
        q25, median, q75 = (float(q) for q in np.quantile(samples, (0.25, 0.5, 0.75)))
        row |= {"median_s": median, "spread": (q75 - q25) / median}
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 no engine can run here, 2 wrong usage."""
    args = parser().parse_args(arguments)
    from latency.engines.registry import ENGINES
    from latency.ondevice import host

    names = args.engines.split(",") if args.engines else [n for n in ENGINES if n != "null"]
    try:
        if args.rounds < 2 or args.batch < 1:
            raise ValueError(
                f"--rounds must be at least 2 and --batch 1; got {args.rounds} and {args.batch}"
            )
        if args.network and "null" in names:
            raise ValueError("the engine null makes its latencies up: leave it out of --engines")
        if args.network and host.emulated():
            raise ValueError("this machine is emulated: its wall time is not latency")
        engines, rows = open_engines(names, args.threads)
        if args.network:
            from space.zoo.catalog import published_network

            timed = time_network(
                published_network(args.network).network().blocks,
                engines,
                batch=args.batch,
                rounds=args.rounds,
            )
            here = [row for row in rows if "version" in row]
            for row, more in zip(here, timed, strict=True):
                row |= more
    except ValueError as error:
        print(f"latency.engines: {error}", file=sys.stderr)
        return 2
    about = {"chip": host.chip(), "threads": args.threads, "batch": args.batch}
    if args.format == "json":
        print(json.dumps({**about, "network": args.network, "engines": rows}, indent=2))
    else:
        print(_text(rows, about, args.network))
    if not engines:
        print("latency.engines: none of these engines can run here", file=sys.stderr)
    return 0 if engines else 1


def _text(rows: Sequence[dict[str, Any]], about: dict[str, Any], network: str | None) -> str:
    lines = []
    if network:
        threads = f"{about['threads']} thread{'s' * (about['threads'] > 1)}"
        lines.append(f"measured: {network}, {about['chip']}, {threads}, batch {about['batch']}")
        lines.append(f"{'engine':14} {'dtype':8} {'ms':>8} {'IQR':>6} {'prepare s':>9}  version")
    for row in rows:
        words = f"{row['engine']:14} {row['dtype']:8}"
        if "median_s" in row:
            words += f" {row['median_s'] * 1e3:8.3f} {row['spread']:6.1%} {row['prepare_s']:9.2f} "
        lines.append(f"{words} {row.get('version') or 'not here: ' + row['missing']}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
