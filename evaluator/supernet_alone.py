"""Networks of a supernet's own space trained one by one, to judge its ranks by.

Rows are those of `evaluator.measured`; three bands of FLOPs, each as many networks. Every row is
on disk before the next training begins, and the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from evaluator import measured
from evaluator.data_batches import ArrayBatches
from evaluator.data_cache import decoded
from evaluator.measured_file import Row, read_header, read_rows, write_header, write_rows
from evaluator.measured_plan import Entry, Run
from evaluator.recipe import Recipe
from evaluator.supernet_run import Parts
from evaluator.supernet_sample import Sampler
from evaluator.train_place import device_of
from space.command import say
from space.costs import CostModel
from space.files import commit, locked, versions

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
    rows: list[Row] = []
    if args.alone.exists():
        rows, there = read_rows(args.alone), read_header(args.alone)
        other = [name for name in header if there.get(name) != header[name]]
        if other:
            raise ValueError(
                f"{args.alone} holds trainings with other {', '.join(other)}. Choose another file"
            )
    arrays = [(decoded(part, recipe.input), torch.from_numpy(part.labels.copy())) for part in pair]
    done = {row.key for row in rows}
    for number, entry in enumerate(chosen, start=1):
        run = Run(entry, args.seed)
        if run.key in done:
            continue
        batches = [ArrayBatches(*each, recipe, run.seed, device=device) for each in arrays]
        classes = len(parts.data.classes)
        row = measured._train(run, recipe, len(pair[0]), classes, batches, device)
        rows.append(row)
        write_rows(args.alone, rows)
        told = {"rows": len(rows), "planned": len(chosen), "date": row.date, "commit": commit()}
        packages = {"versions": versions("torch", "torchvision", "numpy", "pillow")}
        write_header(args.alone, {**told, **packages, **header})
        say(f"{number} of {len(chosen)}: {row.name}: {row.accuracy:.2f} % in {row.seconds:.0f} s")
    return len(rows)
