"""python -m latency.assemble: a latency table from the samples of a finished build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from space.common.cli import Parser, command_line, run_command


def parser() -> Parser:
    p = Parser(
        prog="python -m latency.assemble",
        description="Make a latency table from the samples of a build, and judge it on its "
        "networks, without measuring anything.",
    )
    p.add_argument("samples", type=Path, help="NAME.samples.jsonl of a build, or its .xz")
    p.add_argument("--out", required=True, help="the table's path, or a folder for it")
    p.add_argument(
        "--header", type=Path, help="the header of that build's table (NAME.json beside SAMPLES)"
    )
    p.add_argument(
        "--networks", type=int, help="random networks that judged it (what its header says)"
    )
    p.add_argument(
        "--relax",
        action="append",
        default=[],
        choices=("g1", "g2", "g3", "g4"),
        help="a guideline that the build relaxed",
    )
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: see `space.common.cli.run_command`."""
    args = parser().parse_args(arguments)

    def body() -> int:
        from latency.builder.assemble import AssembleConfig, assemble_table

        options = vars(args) | {"relax": tuple(dict.fromkeys(args.relax))}
        command = command_line("latency.assemble", arguments)
        assemble_table(AssembleConfig(**options, command=command))
        return 0

    return run_command("latency.assemble", body)


if __name__ == "__main__":
    raise SystemExit(main())
