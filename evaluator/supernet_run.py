"""A supernet from data to files and back: training, loading, labels."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluator import train_files as files
from evaluator.data import Data, DataError, Part, few, open_data, split_part
from evaluator.data_batches import WHOLE, Share
from evaluator.recipe import Recipe
from evaluator.supernet_judge import CALIBRATION, Judge
from evaluator.supernet_sample import Sampler, allowed
from evaluator.supernet_train import SupernetTraining, small_network
from evaluator.supernet_weights import SharedWeights
from evaluator.train_arch import read_about
from evaluator.train_batches import batches
from evaluator.train_keep import Keeper, explained
from evaluator.train_place import decoders, placed
from evaluator.train_show import Show
from space.shufflenet_v2 import ShuffleNetV2Space

HELD_OUT = 0.1  # of the training images: labels come from these, never from the test part


@dataclass(frozen=True, eq=False)
class Parts:
    """A data set in three: to train on, to label networks with, and the test part, untouched."""

    data: Data
    train: Part
    labels: Part

    @classmethod
    def open(cls, where: str, recipe: Recipe, *, seed: int, held_out: float = HELD_OUT) -> Parts:
        """The parts of a data set; one seed gives the same ones.

        Raises:
            DataError: it cannot be trained on.
        """
        data = open_data(where, seed=seed)
        rest, labels, _ = split_part(data.train, len(data.classes), seed=seed, held_out=held_out)
        if not len(labels):
            raise DataError(f"{data.name} must have 2 images of a class to hold one out")
        return cls(data, few(rest, recipe.images, seed=seed), labels)

    @property
    def key(self) -> str:
        return f"{self.data.key}-{self.train.key}-{self.labels.key}"


def train(args: argparse.Namespace, recipe: Recipe, sampler: Sampler) -> dict[str, Any] | None:
    """Train the shared weights, or go on; the result, or None in all processes but the first.

    Raises:
        ValueError: data, checkpoint or settings that cannot be used.
        NoAnswerError: the loss is no number any more, or memory ran out.
    """
    args.out.mkdir(parents=True, exist_ok=True)
    with placed(args, recipe, args.out) as (device, share):
        return _train(args, recipe, sampler, device, share)


def _train(
    args: argparse.Namespace, recipe: Recipe, sampler: Sampler, device: str, share: Share
) -> dict[str, Any] | None:
    parts = Parts.open(args.data, recipe, seed=args.seed)
    data, show = parts.data, Show(quiet=share.rank > 0)
    if len(parts.train) < 2 * share.world:
        raise DataError(
            f"{data.name} must have 2 images a process to train on; got {len(parts.train)}"
        )
    side, classes = recipe.input, len(data.classes)
    space = sampler.space
    network = small_network(space, sampler.corner(-1), side, classes, recipe.drop)
    show.say(
        f"{data.name}: {len(parts.train)} images to train on, {len(parts.labels)} held out of "
        "the training part for labels; the test part is not read"
    )
    show.say(
        f"shared weights of the largest network: {network.params / 1e6:.2f}M parameters, "
        f"{network.flops / 1e6:.1f}M FLOPs at {side}x{side}"
    )
    workers = decoders(args.workers, share)
    make = batches(recipe, args.seed, share, device, workers, show)
    # Every process judges alone: the networks are small, and the first one's word counts.
    alone = batches(recipe, args.seed, WHOLE, device, workers, show)
    training = SupernetTraining(
        network,
        recipe,
        len(parts.train),
        make(parts.train),
        alone(parts.labels),
        seed=args.seed,
        device=device,
        amp=args.amp,
        share=share,
        check_every=1 if device == "cpu" else 20,
        sampler=sampler,
        classes=classes,
        transform=args.kernel_transform,
        distill=not args.no_distill,
    )
    mine = {
        **files.identity(
            f"supernet of {space.text(space.architecture(sampler.corner(-1)))}",
            recipe,
            seed=args.seed,
            classes=data.classes,
            data=parts.key,
            amp=args.amp,
        ),
        "sampler": sampler.record(),
        "images_key": parts.key,
        "kernel_transform": training.transform,
        "distill": training.distill,
    }
    path = args.out / files.CHECKPOINT
    if path.exists() and not args.fresh:
        files.load_checkpoint(path, training, mine)
        show.say(f"{path} is at step {training.step} of {training.total}; going on from there")
    keeper = Keeper(training, mine, path, data)
    with explained(recipe, keeper):
        for _ in _steps(training, show):
            keeper.keep(args.save_every)
    last = training.history[-1]
    return (
        None
        if share.rank
        else {
            "architecture": mine["architecture"],
            "steps": training.step,
            "images": len(parts.train),
            "first_loss": training.history[0].train_loss,
            "last_loss": last.train_loss,
            "mean_accuracy": last.test_accuracy,
            "seconds": last.seconds,
            "files": [str(args.out / name) for name in (files.LAST, files.LOG, files.CHECKPOINT)],
        }
    )


def _steps(training: SupernetTraining, show: Show) -> Iterator[int]:
    with show.progress(training):
        for step in training.run():
            show.step(training)
            if training.epoch_ended:
                show.epoch(training)
                if training.watched:
                    large, small, *others = (f"{each:.2f}" for each in training.watched)
                    told = f"largest {large} %, smallest {small} %, others {', '.join(others)} %"
                    show.say(f"  held-out accuracy: {told}")
            yield step


class Labels:
    """Accuracies of networks by trained shared weights: labels for a search."""

    def __init__(self, judge: Judge, space: ShuffleNetV2Space, told: dict[str, Any]) -> None:
        self.judge, self.space, self.told = judge, space, told
        self.recipe = Recipe(**told["recipe"])

    @classmethod
    def open(
        cls, weights: Path, data: str, *, device: str = "cpu", images: int = 0, threads: int = 0
    ) -> Labels:
        """Trained weights (last.safetensors) and the data set that they were trained on.

        `images`: label with this many of the held-out images; 0 for all.

        Raises:
            ValueError: the file is no supernet, or the data has other classes or images.
        """
        from safetensors.torch import load_file

        told = read_about(weights)
        if "sampler" not in told:
            raise ValueError(
                f"{weights} must be the {files.LAST} of evaluator.supernet; it holds "
                f"{told.get('architecture', 'something else')}"
            )
        if threads:
            torch.set_num_threads(threads)
        recipe, space = Recipe(**told["recipe"]), ShuffleNetV2Space()
        parts = Parts.open(data, recipe, seed=told["seed"])
        if list(parts.data.classes) != told["classes"] or parts.key != told["images_key"]:
            raise ValueError(
                f"{weights} was trained on other images or classes than those of {data}: labels "
                "must come from images that it has not seen. Name the data set of its training"
            )
        # The name of shared weights is "supernet of" and the largest network's line.
        line = told["architecture"].removeprefix("supernet of ")
        genes = np.array(space.parse(line).genes, dtype=np.int16)
        whole = small_network(space, genes, recipe.input, len(told["classes"]), recipe.drop)
        shared = SharedWeights(whole, transform=told["kernel_transform"])
        shared.load_state_dict(load_file(weights))
        shared = shared.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        make = batches(recipe, told["seed"], WHOLE, device, 0, Show())
        tests = make(few(parts.labels, images, seed=0))
        judge = Judge(shared, make(parts.train), tests, device=device, calibration=CALIBRATION)
        return cls(judge, space, told)

    @property
    def allowed(self) -> dict[str, tuple[int, ...]]:
        """slot -> the genes that the weights were trained for."""
        return allowed(self.space, self.told["sampler"]["limits"])

    def within(self, genes: NDArray[np.integer], flops: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether the weights were trained for networks of `genes`, int [n, slots], and `flops`
        [n] at 224x224; bool [n]."""
        inside = np.ones(len(genes), dtype=bool)
        for column, usable in enumerate(self.allowed.values()):
            inside &= np.isin(genes[:, column], usable)
        least, most = self.told["sampler"]["flops"] or (0, np.inf)
        return inside & (flops >= least) & (flops <= most)

    def accuracies(self, genes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Accuracy in percent of each row of `genes`, int [n, slots]; float64 [n].

        Raises:
            ValueError: a network is larger than the shared weights; names it.
        """
        self.space.check(np.asarray(genes))
        found = np.empty(len(genes))
        for index, row in enumerate(genes):
            found[index] = self.judge.one(self.network(row))[1]
        return found

    def network(self, row: NDArray[np.integer]) -> Any:
        """The network of a row of genes, on the input of the training."""
        recipe, classes = self.recipe, len(self.told["classes"])
        genes = np.asarray(row, dtype=np.int16)
        return small_network(self.space, genes, recipe.input, classes, recipe.drop)
