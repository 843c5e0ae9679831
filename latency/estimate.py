"""python -m latency.estimate: latency tables of ARM boards without the board."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from latency.emulator.cores import CORES
from space.common.cli import DONE, Parser, add_format, command_line, run_command


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="python -m latency.estimate",
        description="Estimate what blocks of the search space cost on an ARM core: an engine's "
        "own code runs under QEMU, what it executes is counted and weighed with LLVM's model of "
        "the core. Needs Linux, Debian packages and a C compiler; no board.",
    )
    p.add_argument(
        "--core", choices=tuple(CORES), default="cortex-a76", help="default: %(default)s"
    )
    p.add_argument("--engine", default="ncnn", help="whose code runs (ncnn)")
    p.add_argument("--check", action="store_true", help="only compare with ncnn's own benchmark")
    p.add_argument(
        "--networks", nargs="+", default=[], help="with --check: these of the published networks"
    )
    p.add_argument("--out", type=Path, help="the table's path, or a folder (default: .)")
    p.add_argument(
        "--published",
        type=Path,
        help="ncnn's benchmark as a table of rows (arm/ncnn_rpi_1thread.csv in $G4NAS_DATA)",
    )
    add_format(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = parser().parse_args(arguments)

    def body() -> int:
        if options.networks and not options.check:
            raise ValueError("--networks goes with --check")
        from latency.emulator.check import format_check
        from latency.emulator.run import EstimateConfig, compare_core, estimate_table

        config = EstimateConfig(
            core=options.core,
            engine=options.engine,
            published=options.published,
            networks=tuple(options.networks),
            out=options.out or Path(),
            command=command_line("latency.estimate", arguments),
        )
        as_json = options.format == "json"
        if options.check:
            found = compare_core(config)
            print(json.dumps(found, indent=2) if as_json else format_check(found))
        else:
            table = estimate_table(config)
            print(table.header.to_json() if as_json else "", end="")
        return DONE

    stopped = "stopped; the same command goes on from here"
    return run_command("latency.estimate", body, stopped=stopped)


if __name__ == "__main__":
    raise SystemExit(main())
