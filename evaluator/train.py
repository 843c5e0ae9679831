"""Train a network: `python -m evaluator.train ARCH --data DIR [--recipe NAME]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from evaluator.training.cli import (
    add_device_option,
    add_ema_option,
    add_recipe_choice,
    add_recipe_options,
    add_teacher_options,
    add_threads_option,
    chosen_recipe,
    chosen_teacher,
)
from evaluator.training.recipes.recipe import check_options
from space.common.cli import DONE, Parser, add_format, run_command


def parser() -> Parser:
    """The options of the command."""
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
    add_recipe_choice(result, default="short")
    result.add_argument("--out", type=Path, help="default: out/train/ARCH-RECIPE-seedS")
    result.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    add_recipe_options(result, processes=True)
    add_ema_option(result)
    result.add_argument(
        "--channels", type=int, choices=(1, 3), help="1: grey images; default: 3, colour"
    )
    result.add_argument("--amp", action="store_true", help="half precision where it is safe")
    add_device_option(result, default="auto")
    result.add_argument(
        "--workers", type=int, help="processes that decode; default: one a free core, 8 at most"
    )
    add_threads_option(result)
    result.add_argument(
        "--save-every", type=float, default=60, metavar="SECONDS", help="default: %(default)s"
    )
    result.add_argument("--fresh", action="store_true", help="forget the checkpoint in --out")
    result.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="start from a .safetensors, or from torchvision's weights of ShuffleNet v2: their "
        "file, or 'torchvision' for what it has fetched",
    )
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
    add_teacher_options(result)
    add_format(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and print the result; returns the exit status."""
    args = parser().parse_args(arguments)

    def body() -> int:
        options = vars(args).copy()
        recipe, teacher = chosen_recipe(options), chosen_teacher(options)
        check_options(options)
        import json
        from dataclasses import fields

        from evaluator.training.source import read_network

        network = read_network(" ".join(args.arch))
        from evaluator.training.report import format_result
        from evaluator.training.run import TrainConfig, train_network

        options |= {"network": network, "recipe": recipe, "teacher": teacher}
        options["save_every_s"] = args.save_every
        config = TrainConfig(**{field.name: options[field.name] for field in fields(TrainConfig)})
        result = train_network(config)
        if result is not None:
            print(json.dumps(result, indent=1) if args.format == "json" else format_result(result))
        return DONE

    return run_command("evaluator.train", body, extra="train")


if __name__ == "__main__":
    sys.exit(main())
