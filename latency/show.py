"""python -m latency.show: what a latency table says, and a picture of latency against width."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from latency.table.describe import family_lines, header_lines


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m latency.show",
        description="Print a latency table's header; draw its latency against width.",
    )
    p.add_argument("table", help="a name (arm, gpu, cpu, ...) or a path")
    p.add_argument("--out", type=Path, help="write the picture of a measured table here (.png)")
    p.add_argument("--format", choices=("table", "json"), default="table")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 no answer, 2 wrong usage."""
    args = parser().parse_args(arguments)
    from latency.table.latency_table import LatencyTable
    from latency.table.load import load_table

    try:
        table = load_table(args.table)
        if args.out and not isinstance(table, LatencyTable):
            raise ValueError(f"{args.table} is a cost model of ops: it has no blocks to draw")
        if args.format == "json":
            print(table.header.to_json(), end="")
        else:
            print("\n".join(header_lines(table.header)))
            if isinstance(table, LatencyTable):
                print("\n" + "\n".join(family_lines(table)))
        if args.out and isinstance(table, LatencyTable):
            from latency.table.picture import draw_table

            draw_table(table, args.out)
            print(f"written: {args.out}", file=sys.stderr)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
