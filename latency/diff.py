"""python -m latency.diff A B: what two latency tables agree on, and where they differ."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latency.table.latency_table import LatencyTable
    from latency.table.op_model import OpCostModel

    Table = LatencyTable | OpCostModel
from latency.table.compare import compare_tables, comparison_networks, draw_comparison, lines_of


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m latency.diff",
        description="Compare two latency tables: the blocks that both have, and what each "
        "predicts of random networks. Ratios are B / A: 0.5 means that B is twice as fast.",
    )
    p.add_argument("a", metavar="A", help="a name (arm, gpu, cpu, ...) or a path")
    p.add_argument("b", metavar="B", help="the table that is compared with it")
    p.add_argument("--networks", type=int, default=300, help="random networks (300)")
    p.add_argument("--seed", type=int, default=0, help="of the networks (0)")
    p.add_argument("--out", type=Path, help="write a picture here (.png)")
    p.add_argument("--format", choices=("table", "json"), default="table")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 no answer, 2 wrong usage."""
    args = parser().parse_args(arguments)
    from latency.table.load import load_table

    try:
        if args.networks < 0 or args.seed < 0:
            raise ValueError("--networks and --seed must be 0 or more")
        a, b = load_table(args.a), load_table(args.b)
        networks = comparison_networks(a, b, args.networks, args.seed)
        found = compare_tables(a, b, networks) | {"seed": args.seed}
        print(json.dumps(found, indent=2) if args.format == "json" else "\n".join(lines_of(found)))
        if args.out:
            draw_comparison(a, b, networks, args.out)
            print(f"written: {args.out}", file=sys.stderr)
    except ValueError as error:
        print(f"latency.diff: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"latency.diff: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
