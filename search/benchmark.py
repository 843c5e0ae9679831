"""How fast scoring is, and how good samplers are: `python -m search.benchmark scoring`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from space.common.cli import DONE, Parser, add_format, check_range, run_command


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m search.benchmark",
        description="scoring: architectures per second for FLOPs, parameters, latency and G1-G4 "
        "together. samplers: what each sampler finds in the same number of trials, beside the "
        "bound that no network exceeds. tabular: how soon G4Sampler, Optuna's samplers and "
        "regularised evolution find the best network of a table of trained networks.",
    )
    add = result.add_argument
    add("what", choices=("scoring", "samplers", "tabular"))
    add("file", nargs="?", type=Path, help="tabular: a CSV file, .xz or .gz too")
    add("--target", default="arm", help="default: %(default)s")
    add("--budget", default="146M", help="samplers; default: %(default)s")
    add("--architectures", type=int, default=2_000_000, help="scoring")
    add("--repeats", type=int, default=5, help="scoring")
    add("--trials", type=int, default=500, help="samplers")
    add("--seeds", type=int, help="samplers: default 3; tabular: default 30")
    add("--seed", type=int, default=0, help="scoring")
    add("--genes", help="tabular: the columns that a sampler sets, as a,b,c")
    add("--value", help="tabular: the column that is maximised")
    add("--minimise", action="store_true", help="tabular: minimise it")
    add("--cost", help="tabular: a column that is known before training, as FLOPs")
    add("--limit", help="tabular: the largest cost, a number or median")
    add("--evaluations", type=int, default=200, help="tabular; default: %(default)s")
    add("--gp-seeds", type=int, default=5, help="tabular: of Optuna's slow GP; default 5")
    add("--workers", type=int, help="tabular: processes; default: one for each core")
    add("--out", type=Path, help="tabular: the folder of journal, JSON and picture; it resumes")
    add_format(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command("search.benchmark", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    ranges = {"architectures": (1, 5_000_000), "repeats": (1, 1000), "evaluations": (1, 10_000)}
    common = ("seed", "seeds", "trials", "workers")
    check_range(vars(args), *common, gp_seeds=(0, 1000), **ranges)
    if args.what == "tabular":
        return _tabular(args)
    for name in ("file", "genes", "value", "cost", "limit", "workers", "out"):
        if getattr(args, name) is not None:
            option = "a FILE" if name == "file" else f"--{name}"
            raise ValueError(f"{option} is for tabular; got it for {args.what}")
    from search.experiments import benchmark

    target = args.target
    if args.what == "scoring":
        options = {"architectures": args.architectures, "repeats": args.repeats}
        found = benchmark.measure_scoring(target=target, seed=args.seed, **options)
        text = benchmark.format_scoring(found)
    else:
        options = {"trials": args.trials, "seeds": args.seeds or 3}
        base, found = benchmark.compare_samplers(target=target, budget=args.budget, **options)
        text = benchmark.format_samplers(base, found)
    print(json.dumps(found, indent=2) if args.format == "json" else text)
    return DONE


def _tabular(args: argparse.Namespace) -> int:
    for name in ("file", "genes", "value"):
        if getattr(args, name) is None:
            raise ValueError(f"tabular needs {'a FILE' if name == 'file' else f'--{name}'}")
    from search.experiments import tabular, tabular_report

    config = tabular.TabularConfig(
        table=args.file,
        genes=tuple(args.genes.split(",")),
        value=args.value,
        cost=args.cost,
        limit=args.limit,
        minimise=args.minimise,
        evaluations=args.evaluations,
        seeds=args.seeds or 30,
        slow_seeds=args.gp_seeds,
        workers=(os.cpu_count() or 1) if args.workers is None else args.workers,
        out=args.out,
    )
    found = tabular.compare_tabular(config)
    if args.out is not None:
        tabular_report.write_tabular(found, args.out / tabular.RESULT, args.out / tabular.PICTURE)
    if args.format == "json":
        print(json.dumps(found, indent=2))
    else:
        tabular_report.print_tabular(found)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
