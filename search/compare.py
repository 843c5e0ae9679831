"""The paper's Table 8, Figure 1 and Table 7 on any target: `python -m search.compare`"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from search.problem.size import SHAPE_RANGES, parse_size
from space.common.cli import DONE, Parser, add_format, check_range, log, run_command


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m search.compare",
        description="Every network of the paper on a target, fastest first: counted FLOPs, "
        "published top-1 error, latency with its source, and the paper's own measurement where "
        "the target is the paper's device. --target cpu measures the networks whole, here.",
    )
    result.add_argument(
        "--shelf",
        action="store_true",
        help="every network with released weights: published top-1 against latency",
    )
    result.add_argument("--target", help="default: arm; with --features-only: gpu")
    result.add_argument(
        "--budget",
        help="FLOPs; only networks from 2/3 to 3/2 of it; with --shelf: of at most so many",
    )
    result.add_argument("--network", action="append", help="only this one; may be repeated")
    result.add_argument(
        "--input", metavar="HxW", help="default: the table's, or each network's published one"
    )
    result.add_argument("--channels", type=int, help="of the images; default: the table's, or 3")
    result.add_argument("--classes", type=int, help="default: the table's, or 1000")
    result.add_argument("--batch", type=int, help="default: the target's")
    result.add_argument(
        "--features-only",
        action="store_true",
        help="the backbones without their heads, relative to ShuffleNet v2 (the paper's Table 7)",
    )
    result.add_argument("--out", type=Path, help="write the picture here (PNG)")
    add_format(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command("search.compare", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_range(vars(args), "batch", **SHAPE_RANGES)
    if args.shelf:
        return _run_shelf(args)
    size = None if args.input is None else parse_size(args.input)
    from search.comparison.compare import compare_networks
    from search.comparison.report import draw_paper_figure, print_comparison

    comparison = compare_networks(
        args.target or ("gpu" if args.features_only else "arm"),
        names=args.network or (),
        budget=args.budget,
        size=size,
        channels=args.channels,
        classes=args.classes,
        batch=args.batch,
        features_only=args.features_only,
    )
    if args.format == "json":
        print(json.dumps(comparison.record(), indent=2))
    else:
        print_comparison(comparison)
    if args.out is not None:
        draw_paper_figure(args.out, comparison)
        log(f"picture in {args.out}")
    return DONE


def _run_shelf(args: argparse.Namespace) -> int:
    for name in ("input", "channels", "classes", "features_only"):
        if getattr(args, name):
            raise ValueError(
                "--shelf compares published top-1, which is of each network's own input, 3 "
                f"channels and 1000 classes: leave out --{name.replace('_', '-')}"
            )
    from search.comparison.shelf import compare_shelf
    from search.comparison.shelf_report import draw_shelf, print_published

    comparison = compare_shelf(
        args.target or "arm", names=args.network or (), budget=args.budget, batch=args.batch
    )
    if args.format == "json":
        print(json.dumps(comparison.record(), indent=2))
    else:
        print_published(comparison)
    if args.out is not None:
        draw_shelf(args.out, comparison)
        log(f"picture in {args.out}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
