"""Accuracy in a search: train labels, fit a score to them, train the winners and the baseline.

Labels are tested on a part of the training images that is set aside. Only the final trainings use
the test images, with seeds that no label used, so reported accuracies never influenced the
selection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.data.dataset import Dataset, Part, split, subset
from evaluator.data.open import open_data
from search.labels.config import LabelConfig
from search.labels.fidelity import halves_of
from search.labels.pruning import Pruning, completed
from search.labels.score import ScoreComparison, score_of
from search.labels.selection import select_networks
from search.labels.store import FILE, Store
from search.labels.trainer import LabelTrainer, TrainingJob
from search.labels.training import train_jobs
from search.problem.baseline import baseline
from search.problem.problem import CLOSED_FORM, Evaluation, Problem
from space.common.cli import RANGES, check_range, log
from space.common.errors import DataError, NoAnswerError
from space.common.text import format_duration
from space.network.network import Network

VALIDATION = 0.1  # of each class of the training images, for labels
LEAST_TESTED = 1000
WINNERS = 3  # at most, for the estimate of what the final trainings take
TEST_COST = 1 / 3  # of a test image against a training image: no backward pass

# Of one network: (seed, accuracy in %) of each training.
Accuracies = tuple[tuple[int, float], ...]


@dataclass(eq=False)
class LabelPipeline:
    """The trainings of one search. Open with `LabelPipeline.open`.

    `labels` trains the networks that become the score, `final` the winners and the baseline;
    `candidates` are the architectures to label. After an interruption, finished trainings are in
    the store, the last one in a checkpoint.
    """

    config: LabelConfig
    problem: Problem
    seed: int
    out: Path
    store: Store
    labels: LabelTrainer
    final: LabelTrainer
    candidates: Evaluation

    @classmethod
    def open(cls, config: LabelConfig, problem: Problem, seed: int, out: Path) -> LabelPipeline:
        """Read the images and the finished trainings, and select what to label.

        Raises:
            ValueError: images, options or files that cannot be used.
            NoAnswerError: a package is missing.
        """
        import torch

        from evaluator.training.process import SINGLE_PROCESS, device_of, loader_workers

        # The winners are trained with the seeds that follow that of the search.
        least, most = RANGES["seed"]
        check_range({"seed": seed}, seed=(least, (most or 0) - config.seeds))
        if config.options.threads:
            torch.set_num_threads(config.options.threads)
        try:
            data = open_data(config.data, seed=seed)
        except ModuleNotFoundError as error:
            raise NoAnswerError(
                f"--data needs {error.name}, which is not installed: pip install 'g4nas[train]'"
            ) from None
        device, workers = (
            device_of(config.options.device or "auto"),
            loader_workers(None, SINGLE_PROCESS),
        )
        parts = _label_parts(data, config.recipe.images, seed)
        folder = out / "training"
        labels = LabelTrainer(data, *parts, config.recipe, device, workers, folder)
        train = subset(data.train, config.final.images, seed=seed)
        final = LabelTrainer(data, train, data.test, config.final, device, workers, folder)
        store = Store.open(out / FILE)
        closed = replace(problem, score=CLOSED_FORM)
        genes = problem.space.sample(1, np.random.default_rng(seed))
        for each in (labels, final):
            each.network(problem.network(genes[0]))  # an error now, if the images do not fit
        folder.mkdir(exist_ok=True)
        candidates = closed.evaluate_unchecked(genes[:0])
        if config.labels:
            candidates = select_networks(closed, config.labels, seed, baseline(closed))
        return cls(config, problem, seed, out, store, labels, final, candidates)

    @property
    def seeds(self) -> range:
        """Of the final trainings; no label uses them."""
        return range(self.seed + 1, self.seed + 1 + self.config.seeds)

    def score(self) -> tuple[Problem, ScoreComparison | None]:
        """Train what is not labelled yet; the problem with the better score, and how both scores
        rank the labels (None without labels)."""
        if not len(self.candidates):
            return self.problem, None
        if len(self.candidates) < self.config.labels:
            log(f"only {len(self.candidates)} networks that meet the budget were found to label")
        networks = [self.problem.network(row) for row in self.candidates.genes]
        rows = self._train_labels(networks)
        score, comparison = score_of(
            self.problem,
            self.candidates,
            completed(rows),
            stopped=sum(row["pruned"] for row in rows),
            names=[row["key"] for row in rows],
            folder=self.out,
            trainings=halves_of(rows),
        )
        return replace(self.problem, score=score), comparison

    def _train_labels(self, networks: Sequence[Network]) -> list[dict[str, Any]]:
        """The row of each network, trained if it is not on disk."""
        latencies = self.candidates.costs.latency_s
        pruning = Pruning(latencies, 0 if self.config.options.no_prune else self.labels.epochs)
        return train_jobs(
            self.labels,
            self.store,
            [TrainingJob(network, self.seed, "label") for network in networks],
            title="labelling",
            costs=lambda missing: self._label_costs(networks, missing, pruning.on),
            judge=lambda number: pruning.judge(latencies[number]),
            ended=lambda number, row: pruning.recall(latencies[number], row),
        )

    def train_final(self, networks: Mapping[str, Network]) -> dict[str, Accuracies]:
        """Train networks alike, by name, with seeds that no label used."""
        jobs = [
            TrainingJob(network, seed, name, weights_path=self._weights(network, seed))
            for seed in self.seeds
            for name, network in networks.items()
        ]

        def costs(missing: list[int]) -> NDArray[np.float64]:
            """Seconds of each training; prints their sum."""
            names = dict.fromkeys(jobs[number].purpose for number in missing)
            probed = {name: self.final.probe(networks[name]) for name in names}
            seconds = np.array([probed.get(job.purpose, 0.0) for job in jobs])
            time = format_duration(float(seconds[missing].sum()))
            log(f"{len(missing)} trainings of winners and baseline: about {time}")
            return seconds

        rows = train_jobs(self.final, self.store, jobs, title="training the winners", costs=costs)
        found = {
            (job.purpose, job.seed): float(row["accuracy"])
            for job, row in zip(jobs, rows, strict=True)
        }
        return {name: tuple((s, found[name, s]) for s in self.seeds) for name in networks}

    def _weights(self, network: Network, seed: int) -> Path:
        """Where the trained weights of a winner or of the baseline are."""
        return self.final.folder / f"{self.final.key(network.name, seed)}.safetensors"

    def weights(self, network: Network, accuracies: Accuracies) -> list[str]:
        """The trained weights of a network, as paths below the search's folder, in the order of
        `accuracies`; a training that diverged has none. `evaluator.training.source` reads them."""
        paths = [self._weights(network, seed) for seed, _ in accuracies]
        return [str(path.relative_to(self.out)) for path in paths if path.exists()]

    def _label_costs(
        self, networks: Sequence[Network], missing: Sequence[int], prune: bool
    ) -> NDArray[np.float64]:
        """Seconds of each network's training, [n], interpolated between timed steps of the
        smallest, a median and the largest network; prints an estimate before training starts."""
        flops = np.array([network.flops for network in networks], dtype=float)
        order = sorted(missing, key=lambda i: flops[i])
        timed = sorted({order[0], order[len(order) // 2], order[-1]}, key=lambda i: flops[i])
        seconds = [self.labels.probe(networks[i]) for i in timed]
        costs = np.asarray(np.interp(flops, flops[timed], seconds))
        ratio = _images_seen(self.final) / _images_seen(self.labels)
        later = (WINNERS + 1) * self.config.seeds * float(np.median(costs)) * ratio
        most = " at most, as some will be stopped early" if prune else ""
        log(
            f"{len(missing)} labels: about {format_duration(float(costs[missing].sum()))} on this "
            f"machine{most}; after the search up to {WINNERS} winners and the baseline, "
            f"{self.config.seeds} {'seed' if self.config.seeds == 1 else 'seeds'} each: about "
            f"{format_duration(later)}"
        )
        return costs


def _images_seen(trainer: LabelTrainer) -> float:
    """Images of a training, tests counted by what they cost."""
    trained = trainer.recipe.total_steps(len(trainer.train)) * trainer.recipe.batch
    return trained + trainer.epochs * len(trainer.test) * TEST_COST


def _label_parts(data: Dataset, images: int, seed: int) -> tuple[Part, Part]:
    """What labels are trained on and tested on: neither holds a test image."""
    train, held, _ = split(data.train, len(data.classes), seed=seed, held_out=VALIDATION)
    if not len(held):
        raise DataError(
            f"{data.name} must have 2 training images of a class; none can be set aside"
        )
    train = subset(train, images, seed=seed)
    return train, subset(held, max(LEAST_TESTED, len(train) // 2), seed=seed)
