"""Train a network: `python -m evaluator.train ARCH --data DIR [--recipe paper|short]`."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluator.training.cli import add_place_options, check_least
from evaluator.training.recipe import OPTIONS, RECIPES, Recipe, recipe
from space.common.cli import Parser, run_command

HELP = {
    "epochs": "instead of the recipe's",
    "steps": "optimizer steps, instead of epochs",
    "batch": "images a step, over all processes",
    "lr": "highest learning rate",
    "weight_decay": "of weights",
    "input": "side of the input in pixels",
    "drop": "halvings of the network to leave out: 2 up to 64 pixels, else 0",
    "images": "train on a seeded subset of this many",
    "label_smoothing": "share of the label spread over all classes",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = Parser(
        prog="python -m evaluator.train",
        description="Train a network on your images. The same command goes on where it stopped, "
        "to the same result.",
        epilog="Exit status: 0 done, 1 diverged or out of memory, 2 wrong usage, 130 Ctrl-C. "
        "On several GPUs: torchrun --nproc_per_node N -m evaluator.train ...",
    )
    result.add_argument(
        "arch",
        nargs="+",
        metavar="ARCH",
        help="a line of the space (shufflenet_v2 stem=... ), winners.json[:NAME] of a search, a "
        "trained .safetensors, or a name of space.zoo",
    )
    result.add_argument(
        "--data",
        required=True,
        help="a folder with a folder of images a class (below train/ and test/ or val/ if there "
        "is a split), a .parquet file or a folder of them, or torchvision:NAME[:FOLDER]",
    )
    result.add_argument(
        "--recipe", default="short", choices=list(RECIPES), help="default: %(default)s"
    )
    result.add_argument("--out", type=Path, help="default: out/train/ARCH-RECIPE-seedS")
    result.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    for name, kind in OPTIONS.items():
        result.add_argument(f"--{name.replace('_', '-')}", type=kind, help=HELP[name])
    result.add_argument(
        "--ema",
        type=float,
        nargs="?",
        const=0.999,
        metavar="DECAY",
        help="average the weights over steps; default decay: 0.999",
    )
    add_place_options(result)
    result.add_argument("--fresh", action="store_true", help="forget the checkpoint in --out")
    result.add_argument("--weights", type=Path, help="start from a .safetensors")
    result.add_argument(
        "--held-out",
        type=float,
        default=0.1,
        help="share of each class to test on if there is no test part; default: %(default)s",
    )
    result.add_argument("--image-column", help="of parquet files")
    result.add_argument("--label-column", help="of parquet files")
    result.add_argument("--download", action="store_true", help="fetch a torchvision data set")
    result.add_argument("--tensorboard", action="store_true", help="write its event files too")
    result.add_argument("--format", choices=("table", "json"), default="table")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    return run_command("evaluator.train", lambda: _run(args), extra="train")


def chosen_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe with the options of the command line; ValueError for a bad value."""
    return recipe(args.recipe, ema=args.ema, **{name: getattr(args, name) for name in OPTIONS})


def _run(args: argparse.Namespace) -> int:
    used = chosen_recipe(args)
    check_least(args, {"seed": 0, "workers": 0, "threads": 1, "save_every": 0})
    from evaluator.training.source import read_network

    whole = read_network(" ".join(args.arch))
    out = args.out or _default_out(whole.name, args)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"--out must be a folder, or a new one; got {out}") from None
    from evaluator.training.run import train

    result = train(args, used, whole, out)
    if result is not None:
        print(json.dumps(result, indent=1) if args.format == "json" else _table(result))
    return 0


def _default_out(name: str, args: argparse.Namespace) -> Path:
    short = re.sub(r"[^\w.]+", "-", name)[:40].strip("-")
    tag = hashlib.sha256(name.encode()).hexdigest()[:6]
    return Path("out") / "train" / f"{short}-{tag}-{args.recipe}-seed{args.seed}"


def _table(result: dict[str, Any]) -> str:
    size = "x".join(map(str, result["input"][1:]))
    lines = [
        ("network", result["architecture"]),
        ("input", f"{size}, total stride {result['total_stride']}"),
        ("FLOPs", f"{result['flops'] / 1e6:.2f}M"),
        ("parameters", f"{result['params'] / 1e6:.3f}M"),
        ("accuracy, last epoch", f"{result['last_accuracy']:.2f} %"),
        ("accuracy, best epoch", f"{result['best_accuracy']:.2f} % (chosen on the same images)"),
        ("seconds", f"{result['seconds']:.0f}"),
        ("files", ", ".join(result["files"])),
    ]
    return "\n".join(f"{name:20}  {value}" for name, value in lines)


if __name__ == "__main__":
    sys.exit(main())
