"""python -m latency.diff A B: what two latency tables agree on, and where they differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from space.common.cli import Parser, add_format, check_range, log, run_command

MOST_NETWORKS = 10_000


def parser() -> Parser:
    p = Parser(
        prog="python -m latency.diff",
        description="Compare two latency tables: the blocks that both have, and what each "
        "predicts of random networks. Ratios are B / A: 0.5 means that B is twice as fast.",
    )
    p.add_argument("a", metavar="A", help="a name (arm, gpu, cpu, ...) or a path")
    p.add_argument("b", metavar="B", help="the table that is compared with it")
    p.add_argument("--networks", type=int, default=300, help="random networks (300)")
    p.add_argument("--seed", type=int, default=0, help="of the networks (0)")
    p.add_argument("--out", type=Path, help="write a picture here (.png)")
    add_format(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: see `space.common.cli.run_command`."""
    args = parser().parse_args(arguments)

    def body() -> int:
        from latency.builder.random_networks import SPACE, random_networks, space_of
        from latency.table.compare import compare_tables, format_table_comparison
        from latency.table.load import load_table
        from space.common.progress import Progress

        check_range(vars(args), "seed", networks=(0, MOST_NETWORKS))
        a, b = load_table(args.a), load_table(args.b)
        space = space_of(a.header if a.header.input else b.header)
        networks = random_networks(SPACE, args.networks, args.seed, space)
        lines = "networks" if args.networks > 1000 else None
        with Progress("predicting", lines=lines) as bar:
            found = compare_tables(a, b, networks, report=bar.update) | {"seed": args.seed}
        if args.out:
            from latency.table.compare_picture import draw_table_comparison

            draw_table_comparison(a, b, networks, args.out)
            log(f"written: {args.out}")
        as_json = args.format == "json"
        print(json.dumps(found, indent=2) if as_json else format_table_comparison(found))
        return 0

    return run_command("latency.diff", body)


if __name__ == "__main__":
    raise SystemExit(main())
