"""python -m latency.estimate: latency tables of ARM boards without the board."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latency.emulator.estimator import Estimator, Request, Work
    from latency.table import LatencyTable

CORES = ("cortex-a76", "cortex-a72")
Say = Callable[[str], None]


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
    from latency.emulator.cores import get_core
    from latency.emulator.estimator import Estimator
    from latency.estimate_check import PUBLISHED, check, check_lines, chosen_networks

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
        table = build(estimator, found, command=command)
        out = args.out or Path()
        path = table.save(out / table.header.target if out.suffix != ".json" else out)
        _to_stderr(f"written: {path}, {path.with_suffix('.csv').name}")
        if args.format == "json":
            print(table.header.to_json(), end="")


def build(estimator: Estimator, found: dict[str, Any], *, command: str) -> LatencyTable:
    """The table of the estimator's core, scaled by what the published networks say (`found`)."""
    from latency.emulator.model import CycleModel
    from latency.estimate_build import (
        GRID,
        chain_request,
        chains_of,
        make_table,
        targets_of,
        whole_networks,
    )  # fmt: skip
    from space.shufflenet_v2 import ShuffleNetV2Space

    space = ShuffleNetV2Space()
    targets = targets_of(GRID, space)
    whole = whole_networks(space, seed=0)
    chains = chains_of(targets) + [network.blocks for network in whole]
    requests = [chain_request(chain) for chain in chains]
    _to_stderr(f"{len(targets)} blocks, {len(whole)} networks on {estimator.core.name}")
    works = _progress(estimator, requests)
    model = found["model"]
    return make_table(
        estimator,
        CycleModel(model["base"], model["factor"], tuple(model["waits"])),
        targets,
        dict(zip(chains, works, strict=True)),
        whole,
        target=estimator.core.device,
        grid=GRID,
        network_error=found["network_error"],
        how=model["how"],
        command=command,
        seed=0,
    )


def _progress(estimator: Estimator, requests: Sequence[Request]) -> list[Work]:
    """Count networks with a bar, or lines where there is no terminal."""
    missing = estimator.missing(requests)
    if missing:
        minutes = max(1, round(estimator.expected_s(requests) / 60))
        _to_stderr(
            f"{len(missing)} of {len(requests)} networks to run under the emulator, "
            f"about {minutes} min of one processor"
        )
    with _bar() as report:
        return estimator.work(requests, report)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("counting")
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = [-1]

    def line(done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if total and tenth > last[0]:
            last[0] = tenth
            _to_stderr(f"{done} of {total} networks")

    yield line


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
