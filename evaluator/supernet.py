"""One set of weights for all networks: `python -m evaluator.supernet --data DIR`.

`accuracies` is the one call that a search takes labels from.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.recipe import OPTIONS, Recipe
from evaluator.train_options import add_place_options, check_least
from space.command import Parser, run_command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluator.supernet_sample import Sampler

EPOCHS = 30.0
FRESH_HELP = "forget the checkpoint in --out"


def accuracies(
    genes: NDArray[np.integer], *, weights: str | Path, data: str, **options: Any
) -> NDArray[np.float64]:
    """Accuracy in percent of each row of `genes`, int [n, slots], by trained shared weights;
    float64 [n]. `options`: those of `evaluator.supernet_run.Labels.open`, which opens weights
    once for several calls."""
    from evaluator.supernet_run import Labels

    return Labels.open(Path(weights), data, **options).accuracies(genes)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = Parser(
        prog="python -m evaluator.supernet",
        description="Train one set of weights that every network of the space is cut from, or "
        "with --rank say how well they rank networks that were trained one by one. The same "
        "command goes on where it stopped.",
        epilog="Exit status: 0 done, 1 diverged or out of memory, 2 wrong usage, 130 Ctrl-C. "
        "On several GPUs: torchrun --nproc_per_node N -m evaluator.supernet ...",
    )
    result.add_argument("--data", required=True, help="as evaluator.train takes it")
    result.add_argument("--out", type=Path, default=Path("out/supernet"), help="%(default)s")
    result.add_argument("--rank", type=Path, metavar="FILE.csv", help="rows of evaluator.measured")
    result.add_argument(
        "--alone", type=Path, metavar="FILE.csv", help="train networks one by one, for --rank"
    )
    result.add_argument("--rank-images", type=int, default=0, help="held-out ones; default: all")
    result.add_argument("--networks", type=int, help="of --alone (default: 24) or --rank (all)")
    result.add_argument(
        "--limits",
        default="",
        help="part of the space: 'width2=24-64 depth=2-6 kernel=3,5 head=256-1024'",
    )
    result.add_argument(
        "--budget", metavar="30M-160M", help="FLOPs of sampled networks at 224x224"
    )
    result.add_argument(
        "--sampling", default="sandwich", choices=("sandwich", "single"), help="%(default)s"
    )
    result.add_argument(
        "--random", type=int, default=2, help="networks in the sandwich; %(default)s"
    )
    result.add_argument("--uniform", action="store_true", help="not fair in FLOPs")
    result.add_argument("--warm", type=float, default=0.1, help="share with the largest alone")
    result.add_argument("--widened", type=float, default=0.5, help="share until all are drawn")
    result.add_argument("--kernel-transform", action="store_true", help="learn smaller kernels")
    result.add_argument("--no-distill", action="store_true", help="all learn from the labels")
    for name, kind in OPTIONS.items():
        result.add_argument(f"--{name.replace('_', '-')}", type=kind)
    result.add_argument("--seed", type=int, default=0)
    add_place_options(result)
    result.add_argument("--fresh", action="store_true", help=FRESH_HELP)
    result.add_argument("--format", choices=("table", "json"), default="table")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    return run_command("evaluator.supernet", lambda: _run(args), extra="train")


def chosen_recipe(args: argparse.Namespace) -> Recipe:
    """The short recipe, longer, with one halving left out as the measured benchmark has it."""
    from evaluator.recipe import SHORT

    options = {name: getattr(args, name) for name in OPTIONS}
    used = SHORT.changed(name="supernet", drop=1, augment="flip", epochs=EPOCHS)
    return used.changed(**options)


def chosen_sampler(args: argparse.Namespace) -> Sampler:
    """The sampler of the command line; ValueError for a bad value."""
    from evaluator.supernet_sample import Sampler, parse_flops, parse_limits
    from space.shufflenet_v2 import ShuffleNetV2Space

    space = ShuffleNetV2Space()
    return Sampler(
        space=space,
        limits=parse_limits(space, args.limits),
        flops=parse_flops(args.budget) if args.budget else None,
        sampling=args.sampling,
        random=args.random,
        fair=not args.uniform,
        warm=args.warm,
        widened=args.widened,
        seed=args.seed,
    )


def _run(args: argparse.Namespace) -> int:
    check_least(args, {"seed": 0, "workers": 0, "threads": 1, "rank_images": 0, "networks": 1})
    if args.rank is not None:
        from evaluator.supernet_rank import as_text, rank
        from evaluator.supernet_run import Labels
        from evaluator.train_files import LAST
        from evaluator.train_place import device_of

        labels = Labels.open(
            args.out / LAST,
            args.data,
            device=device_of(args.device),
            images=args.rank_images,
            threads=args.threads or 0,
        )
        told = rank(labels, args.rank, most=args.networks)
        print(json.dumps(told, indent=1) if args.format == "json" else as_text(told))
        return 0
    recipe, sampler = chosen_recipe(args), chosen_sampler(args)
    if args.alone is not None:
        from evaluator.supernet_alone import train_alone

        print(f"{train_alone(args, recipe, sampler)} networks in {args.alone}")
        return 0
    from evaluator.supernet_run import train

    result = train(args, recipe, sampler)
    if result is not None:
        print(json.dumps(result, indent=1) if args.format == "json" else _table(result))
    return 0


def _table(result: dict[str, Any]) -> str:
    lines = [
        ("weights", result["architecture"]),
        ("steps", f"{result['steps']}, on {result['images']} images"),
        (
            "largest's loss",
            f"{result['first_loss']:.3f} in the first epoch, "
            f"{result['last_loss']:.3f} in the last",
        ),
        ("held-out accuracy", f"{result['mean_accuracy']:.2f} %, mean of the watched networks"),
        ("seconds", f"{result['seconds']:.0f}"),
        ("files", ", ".join(result["files"])),
    ]
    return "\n".join(f"{name:18}  {value}" for name, value in lines)


if __name__ == "__main__":
    sys.exit(main())
