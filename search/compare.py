"""The paper's Table 8, Figure 1 and Table 7 on any target: `python -m search.compare`"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from space.common.cli import DONE, Parser, log, run_command

if TYPE_CHECKING:
    from search.comparison.rows import PaperRow, Source


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m search.compare",
        description="Every network of the paper on a target, fastest first: counted FLOPs, "
        "published top-1 error, latency with its source, and the paper's own measurement where "
        "the target is the paper's device. --target cpu measures the networks whole, here.",
    )
    result.add_argument("--target", help="default: arm; with --features-only: gpu")
    result.add_argument("--budget", help="FLOPs; only networks from 2/3 to 3/2 of it")
    result.add_argument("--network", action="append", help="only this one; may be repeated")
    result.add_argument("--input", metavar="HxW", help="default: each network's published one")
    result.add_argument("--batch", type=int, help="default: the target's")
    result.add_argument(
        "--features-only",
        action="store_true",
        help="the backbones without their heads, relative to ShuffleNet v2 (the paper's Table 7)",
    )
    result.add_argument("--out", type=Path, help="write the picture here (PNG)")
    result.add_argument("--format", choices=("table", "json"), default="table")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    return run_command("search.compare", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from search.comparison.rows import compare_networks, networks, open_source

    target = args.target or ("gpu" if args.features_only else "arm")
    if args.batch is not None and args.batch < 1:
        raise ValueError(f"--batch must be at least 1; got {args.batch}")
    chosen = networks(args.network, args.budget, _size(args.input), args.features_only)
    source = open_source(target, args.batch)
    rows = compare_networks(chosen, source, target, args.features_only)
    if args.format == "json":
        print(json.dumps(_record(rows, source, args), indent=2))
    else:
        from search.comparison.report import print_features, print_rows

        (print_features if args.features_only else print_rows)(rows, source)
    if args.out is not None:
        from search.comparison.report import draw_comparison

        draw_comparison(args.out, rows, source, target)
        log(f"picture in {args.out}")
    return DONE


def _size(text: str | None) -> tuple[int, int] | None:
    """(height, width) of `HxW`; ValueError if it is not of that form."""
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ValueError(f"--input must be HEIGHTxWIDTH such as 224x224; got {text!r}")
    return int(height), int(width)


def _record(rows: Sequence[PaperRow], source: Source, args: argparse.Namespace) -> dict[str, Any]:
    from search.comparison.order import orders
    from search.result.record import provenance

    return {
        "latency": source.line,
        "batch": source.batch,
        "features_only": args.features_only,
        **provenance(),
        "orders": [order.record() for order in orders(rows)],
        "rows": [row.record(source.kind) for row in rows],
    }


if __name__ == "__main__":
    sys.exit(main())
