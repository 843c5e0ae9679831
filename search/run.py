"""Find networks that are fast on a target: `python -m search.run --target arm --budget 146M`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluator.estimate import RECIPES
from evaluator.training.cli import (
    add_device_option,
    add_recipe_choice,
    add_recipe_options,
    add_threads_option,
)
from evaluator.training.recipes.recipe import OPTIONS
from search.labels.config import LABELS, ORDER, SEEDS, LabelOptions
from search.optimizer import SAMPLERS
from search.workflow.config import PLAIN, SCORES, TRIALS, SearchConfig, split_inputs
from space.common.cli import DONE, Parser, add_format, run_command


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m search.run",
        description="Search networks that are fast on a target device within budgets, compare "
        "them with ShuffleNet v2 at the same budget, and export the winners.",
        epilog="Exit status: 0 done, 1 no network meets the budget, 2 wrong usage, 130 Ctrl-C.",
        conflict_handler="resolve",  # --input means more than in a training
    )
    add = result.add_argument
    add("--target", required=True, help="arm or gpu (published tables), cpu (this machine, "
        "measured), another shipped table's name, or the path of a table")  # fmt: skip
    add("--budget", action="append", default=[], metavar="B",
        help="146M (FLOPs), 2.3Mparams, or 30ms; give it again to combine")  # fmt: skip
    add("--channels", type=int, metavar="N", help="of the images; default: the table's, or 3")
    add("--classes", type=int, metavar="N", help="default: the table's, or 1000")
    add("--trials", type=int, default=TRIALS, help="default: %(default)s")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--out", type=Path, help="default: out/TARGET-BUDGET")
    add("--relax", action="append", default=[], choices=("g1", "g2", "g3", "g4"), help="open the "
        "axes that break a guideline and drop its limit; may be repeated")  # fmt: skip
    add("--guidelines", type=Path, metavar="FILE", help="limits of G1-G4 measured on a device by "
        "latency.guidelines; default: the paper's")  # fmt: skip
    add("--sampler", default="prescreened", choices=SAMPLERS,
        help="default: %(default)s (NSGA-II, each trial the best of many children)")  # fmt: skip
    add("--score", choices=SCORES, help="what ranks networks without labels; default: estimate")
    add("--estimate-recipe", default=RECIPES[0], choices=RECIPES, help="default: %(default)s")
    add("--optimism", type=float, default=0.0, metavar="X", help="the score is the estimate less "
        "1 - X standard deviations of the difference to the baseline: 0, the default, is "
        "cautious, 1 the mean, above 1 bold, below 0 more cautious")  # fmt: skip
    add("--resume", action="store_true", help="go on with the study that must be in --out")
    add("--no-shelf", action="store_true",
        help="no comparison with released networks, which may have to be timed first")  # fmt: skip
    add_format(result)
    group = result.add_argument_group(
        "accuracy",
        "With --data some networks are trained for a short time, a predictor is fitted on what "
        "they reach and becomes the score, and the winners and the baseline are trained alike. "
        "The options of a training are those of evaluator.train.",
    )
    add = group.add_argument
    add("--data", help="images, as evaluator.train takes them; without, --score ranks networks")
    add("--labels", type=int, metavar="N", help="networks to train first; 0: none, --score ranks "
        f"and only the answer is trained; default: {LABELS}")  # fmt: skip
    add("--labels-from", metavar="FILE", help="rows of evaluator.measured in place of labels "
        "('shipped': those of this package), which make the score without --data too")  # fmt: skip
    add_recipe_choice(group)
    add_recipe_options(group)
    add("--seeds", type=int, metavar="N", help=f"trainings of each winner; default: {SEEDS}")
    add("--retrain-epochs", type=float, metavar="E", help="of these; default: as for the labels")
    add("--no-prune", action="store_true", help="train every label to its end")
    add_device_option(group)
    add_threads_option(group)
    result.add_argument("--input", action="append", default=[], metavar="HxW", help="of the "
        "networks on the target, such as 160x128; default: the table's, or 224x224. With --data, "
        "a single number is the side of the training images; both may be given")  # fmt: skip
    return result


def config_of(args: argparse.Namespace) -> SearchConfig:
    """The config that the words of the command line ask for; ValueError for a bad value."""
    size, side = split_inputs(args.input, trained=args.data is not None)
    values = {**vars(args), "input": side}
    changes = {name: values[name] for name in OPTIONS if values[name] is not None}
    labels = LabelOptions(**{name: values[name] for name in ORDER}, recipe_options=changes)
    return SearchConfig(
        input=size,
        **{name: values[name] for name in PLAIN},
        budgets=tuple(args.budget),
        relax=tuple(args.relax),
        labels=labels,
        shelf=not args.no_shelf,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command("search.run", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    config = config_of(args)
    from search.result.text import print_result
    from search.result.write import json_text
    from search.workflow.pipeline import search

    result = search(config)
    if args.format == "json":
        print(json_text(result), end="")
    else:
        print_result(result)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
