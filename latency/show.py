"""python -m latency.show: what a latency table says, and a picture of latency against width."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from space.common.cli import Parser, add_format, log, run_command


def parser() -> Parser:
    p = Parser(
        prog="python -m latency.show",
        description="Print a latency table's header; draw its latency against width.",
    )
    p.add_argument("table", help="a name (arm, gpu, cpu, ...) or a path")
    p.add_argument("--out", type=Path, help="write the picture of a measured table here (.png)")
    add_format(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: see `space.common.cli.run_command`."""
    args = parser().parse_args(arguments)

    def body() -> int:
        from latency.table.describe import format_table
        from latency.table.load import load_table

        table = load_table(args.table)
        if args.out:
            from latency.table.picture import draw_table

            draw_table(table, args.out)
            log(f"written: {args.out}")
        print(table.header.to_json() if args.format == "json" else format_table(table), end="")
        return 0

    return run_command("latency.show", body)


if __name__ == "__main__":
    raise SystemExit(main())
