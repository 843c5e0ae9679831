"""python -m latency.estimate: latency tables of ARM boards without the board."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from latency.emulator.run import CORES, _progress, _to_stderr, estimate_table


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m latency.estimate",
        description="Estimate what blocks of the search space cost on an ARM core: an engine's "
        "own code runs under QEMU, what it executes is counted and weighed with LLVM's model of "
        "the core. Needs Linux, Debian packages and a C compiler; no board.",
    )
    p.add_argument("--core", choices=CORES, default=CORES[0], help="default: %(default)s")
    p.add_argument("--engine", default="ncnn", help="whose code runs (ncnn)")
    p.add_argument("--check", action="store_true", help="only compare with ncnn's own benchmark")
    p.add_argument(
        "--networks", nargs="+", default=[], help="with --check: these of the published networks"
    )
    p.add_argument("--out", type=Path, help="the table's path, or a folder (default: .)")
    p.add_argument("--published", type=Path, help="ncnn's benchmark as a table of rows")
    p.add_argument("--format", choices=("table", "json"), default="table")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 a tool or a package cannot be had, 2 wrong usage."""
    args = parser().parse_args(arguments)
    words = sys.argv[1:] if arguments is None else list(arguments)
    command = shlex.join(["python", "-m", "latency.estimate", *words])
    if args.networks and not args.check:
        print("latency.estimate: --networks goes with --check", file=sys.stderr)
        return 2
    try:
        _run(args, command)
    except ValueError as error:
        print(f"latency.estimate: {error}", file=sys.stderr)
        return 2
    except (ImportError, OSError) as error:
        print(f"latency.estimate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _run(args: argparse.Namespace, command: str) -> None:
    from latency.emulator.check import PUBLISHED, check, check_lines, chosen_networks
    from latency.emulator.cores import get_core
    from latency.emulator.estimator import Estimator

    path = args.published or PUBLISHED
    core = get_core(args.core)
    chosen_networks(core, args.networks, path)  # a mistake is told before anything is fetched
    with Estimator(core, args.engine, say=_to_stderr) as estimator:
        found = check(estimator, args.networks, _progress, path)
        if args.check:
            text = json.dumps(found, indent=2) if args.format == "json" else check_lines(found)
            print(text)
            return
        _to_stderr(check_lines(found))
        table = estimate_table(estimator, found, command=command)
        out = args.out or Path()
        path = table.save(out / table.header.target if out.suffix != ".json" else out)
        _to_stderr(f"written: {path}, {path.with_suffix('.csv').name}")
        if args.format == "json":
            print(table.header.to_json(), end="")


if __name__ == "__main__":
    sys.exit(main())
