"""Networks of a supernet's own space trained one by one, to judge its ranks by.

Rows are those of `evaluator.measured`; three bands of FLOPs, each as many networks. Every row is
on disk before the next training begins, and the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from evaluator.data_cache import decoded
from evaluator.measured_plan import Entry, Run
from evaluator.measured_run import read_back, train_missing
from evaluator.recipe import Recipe
from evaluator.supernet_run import Parts
from evaluator.supernet_sample import Sampler
from evaluator.train_place import device_of
from space.command import say
from space.costs import CostModel
from space.files import locked

BANDS = 3
NETWORKS = 24


def entries(sampler: Sampler, count: int) -> list[Entry]:
    """`count` different networks of a sampler, a band of FLOPs in turn, from the lowest up."""
    rng = np.random.default_rng([sampler.seed, 4])
    genes = np.unique(sampler.draw(20 * count, rng), axis=0)
    order = np.argsort(CostModel(sampler.space).costs(genes).flops, kind="stable")
    bands = [rng.permutation(part) for part in np.array_split(order, BANDS)]
    found = []
    for index in range(count):
        place, band = divmod(index, BANDS)
        text = sampler.space.text(sampler.space.architecture(genes[bands[band][place]]))
        found.append(Entry(f"band {band + 1} no. {place + 1}", f"band {band + 1}", text))
    return found


def train_alone(args: argparse.Namespace, recipe: Recipe, sampler: Sampler) -> int:
    """Train them, or go on; returns how many there are now.

    Raises:
        ValueError: the file holds trainings with other settings.
    """
    if args.threads:
        torch.set_num_threads(args.threads)
    chosen = entries(sampler, args.networks or NETWORKS)
    args.alone.parent.mkdir(parents=True, exist_ok=True)
    with locked(args.alone.parent, "training"):
        return _train(args, recipe, sampler, chosen)


def _train(args: argparse.Namespace, recipe: Recipe, sampler: Sampler, chosen: list[Entry]) -> int:
    device = device_of(args.device)
    parts = Parts.open(args.data, recipe, seed=args.seed)
    # The test part, which the supernet's labels never come from.
    pair = (parts.train, parts.data.test)
    header: dict[str, Any] = {
        "recipes": {"short": recipe.record()},
        "images": [len(part) for part in pair],
        "classes": list(parts.data.classes),
        "sampler": sampler.record(),
        "device": device,
    }
    rows = read_back(args.alone, header, what="trainings", option="--alone")
    arrays = [(decoded(part, recipe.input), torch.from_numpy(part.labels.copy())) for part in pair]
    runs = [Run(entry, args.seed) for entry in chosen]
    for number, row in train_missing(
        args.alone, rows, runs, {"short": recipe}, arrays, {}, header
    ):
        say(f"{number} of {len(runs)}: {row.name}: {row.accuracy:.2f} % in {row.seconds:.0f} s")
    return len(rows)
