"""python -m latency.estimate_width: a ShuffleNet v2 unit's estimated cost, width by width."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latency.emulator.estimator import Estimator, Request
    from latency.emulator.model import CycleModel

COPIES = (1, 2)  # what the second unit adds to the first


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m latency.estimate_width",
        description="Estimate a ShuffleNet v2 unit of stride 1 among copies of itself for every "
        "even number of channels a branch, and how much of it is not convolution: split, concat, "
        "channel shuffle and what they do to the engine's layout.",
    )
    p.add_argument("--core", choices=("cortex-a76", "cortex-a72"), default="cortex-a76")
    p.add_argument("--size", type=int, default=28, help="pixels of a side (28)")
    p.add_argument("--widths", type=int, nargs=2, default=(48, 64), metavar=("FIRST", "LAST"))
    p.add_argument("--float32", action="store_true", help="float32 where the core computes half")
    p.add_argument("--format", choices=("table", "json"), default="table")
    return p


def requests(branch: int, size: int, *, float32: bool) -> list[Request]:
    """Units of `branch` channels a branch, one and two; then their convolutions alone."""
    from latency.emulator.counter import Job
    from latency.emulator.estimator import Request
    from latency.emulator.ncnn_text import NetworkText
    from latency.estimate_build import FLOAT32, chain_request
    from space.block import Block

    unit = Block("shufflenet_v2", size, size, c_in=2 * branch, c_out=2 * branch, branch=branch)
    found = [chain_request((unit,) * copies, float32=float32) for copies in COPIES]
    for copies in COPIES:
        net = NetworkText()
        x = net.input(branch, size)
        for _ in range(copies):
            x = net.conv(net.depthwise(net.conv(x, branch), 3, act=""), branch)
        job = Job(net.text(), (size, size, branch), FLOAT32 if float32 else {}, evict=True)
        found.append(Request(job, net.flops))
    return found


def estimate_widths(
    estimator: Estimator, model: CycleModel, widths: Sequence[int], size: int, *, float32: bool
) -> list[dict[str, Any]]:
    """Seconds of a unit of each width, of its convolutions alone, and the share of the rest."""
    every = [requests(branch, size, float32=float32) for branch in widths]
    works = estimator.work([request for some in every for request in some])
    rows = []
    for number, branch in enumerate(widths):
        one, two, conv_one, conv_two = works[4 * number : 4 * number + 4]
        unit = model.seconds(two - one, estimator.core)
        convolutions = model.seconds(conv_two - conv_one, estimator.core)
        rows.append(
            {
                "branch": branch,
                "unit_s": unit,
                "convolutions_s": convolutions,
                "other_share": 1 - convolutions / unit,
            }
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 a tool cannot be had, 2 wrong usage."""
    args = parser().parse_args(arguments)
    first, last = args.widths
    if not 2 <= first <= last or args.size < 1:
        print("latency.estimate_width: --widths must rise from 2, --size from 1", file=sys.stderr)
        return 2
    from latency.emulator.cores import get_core
    from latency.emulator.estimator import Estimator
    from latency.estimate_build import model_of
    from latency.table import LatencyTable, load_table

    try:
        core = get_core(args.core)
        table = load_table(core.device)
        assert isinstance(table, LatencyTable)
        model = model_of(table.header)
        widths = list(range(first, last + 1, 2))
        with Estimator(core, say=lambda line: print(line, file=sys.stderr)) as estimator:
            rows = estimate_widths(estimator, model, widths, args.size, float32=args.float32)
    except ValueError as error:
        print(f"latency.estimate_width: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"latency.estimate_width: {error}", file=sys.stderr)
        return 1
    dtype = "float32" if args.float32 else core.dtype
    if args.format == "json":
        print(json.dumps({"device": table.header.device, "dtype": dtype, "rows": rows}, indent=2))
        return 0
    print(f"{table.header.label}, {dtype}; unit at {args.size}x{args.size}")
    print("branch   unit   convolutions   the rest")
    for row in rows:
        print(
            f"{row['branch']:6} {row['unit_s'] * 1e3:6.3f} {row['convolutions_s'] * 1e3:11.3f} ms"
            f" {row['other_share']:10.0%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
