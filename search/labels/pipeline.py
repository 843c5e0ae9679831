"""Accuracy in the search: label, fit, and after the search train the winners and the baseline.

Labels are judged on a part of the training images that is set aside. The test images are seen by
the last trainings alone, whose seeds no label had: what is reported was not chosen by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.data.dataset import Dataset, Part, split, subset
from evaluator.data.open import open_data
from search.labels.config import LabelConfig
from search.labels.from_benchmark import score_from_benchmark
from search.labels.progress import Bar, format_duration
from search.labels.pruning import Pruning, completed
from search.labels.score import ScoreComparison, score_of
from search.labels.selection import chosen
from search.labels.store import FILE, Store
from search.labels.trainer import LabelTrainer
from search.problem.baseline import baseline
from search.problem.problem import CLOSED_FORM, Evaluation, Problem
from search.result.rows import ResultRow, deviation
from space.common.cli import log
from space.common.errors import DataError
from space.network.network import Network

VALIDATION = 0.1  # of each class of the training images, for labels
LEAST_TESTED = 1000
WINNERS = 3  # at most, for what is said beforehand


@dataclass(eq=False)
class LabelPipeline:
    """Everything that is trained for one search. Open with `Labelling.open`."""

    wanted: LabelConfig
    problem: Problem
    seed: int
    out: Path
    store: Store
    labels: LabelTrainer
    again: LabelTrainer
    candidates: Evaluation
    judged: ScoreComparison | None = None

    @classmethod
    def open(cls, wanted: LabelConfig, problem: Problem, seed: int, out: Path) -> LabelPipeline:
        """Read the images and the trainings there are, and choose what to label.

        Raises:
            ValueError: images, options or files that cannot be used.
        """
        import torch

        from evaluator.training.process import SINGLE_PROCESS, device_of, loader_workers

        if wanted.threads:
            torch.set_num_threads(wanted.threads)
        try:
            data = open_data(wanted.data, seed=seed)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"--data needs {error.name}, which is not installed: pip install 'g4nas[train]'"
            ) from None
        train, held = _label_parts(data, wanted.recipe.images, seed)
        place = {
            "device": device_of(wanted.device),
            "workers": loader_workers(None, SINGLE_PROCESS),
        }
        folder = out / "training"
        whole = subset(data.train, wanted.again.images, seed=seed)
        labels = LabelTrainer(data, train, held, wanted.recipe, folder=folder, **place)  # type: ignore[arg-type]
        again = LabelTrainer(data, whole, data.test, wanted.again, folder=folder, **place)  # type: ignore[arg-type]
        store = Store.open(out / FILE)
        closed = replace(problem, score=CLOSED_FORM)
        genes = problem.space.sample(1, np.random.default_rng(seed))
        any_one = problem.space.lower(problem.space.architecture(genes[0]))
        for trainer in (labels, again):
            trainer.network(any_one)  # refused now, if such networks do not fit the images
        folder.mkdir(exist_ok=True)
        candidates = closed.evaluate_unchecked(genes[:0])
        if wanted.labels:
            candidates = chosen(closed, wanted.labels, seed, baseline(closed))
        return cls(wanted, problem, seed, out, store, labels, again, candidates)

    def scored(self) -> Problem:
        """Train what is not labelled yet, and the problem with the better score.

        Raises:
            KeyboardInterrupt: what was done is kept.
        """
        if self.wanted.labels_from is not None:
            problem, self.judged = score_from_benchmark(
                self.problem, self.wanted.labels_from, self.out
            )
            return problem
        if not len(self.candidates):
            return self.problem  # none wanted, or the search says how near any comes to the budget
        networks = [_network(self.problem, self.candidates, i) for i in range(len(self))]
        if len(self) < self.wanted.labels:
            log(f"only {len(self)} networks that meet the budget were found to label")
        keys = [self.labels.key(network.name, self.seed) for network in networks]
        left = [i for i, name in enumerate(keys) if name not in self.store.rows]
        latencies = self.candidates.costs.latency_s
        pruning = Pruning(latencies, self.labels.epochs if self.wanted.prune else 0)
        for i, name in enumerate(keys):
            if name in self.store.rows:
                pruning.recall(latencies[i], self.store.rows[name])
        with Bar("labelling", len(networks), len(networks) - len(left)) as bar:
            costs = self._costs(networks, left, pruning.on)
            bar.expect(float(costs[left].sum()))
            for i in left:
                step = bar.part(costs[i])
                judge = pruning.judge(latencies[i])
                row = self._train(self.labels, networks[i], self.seed, "label", step, judge=judge)
                pruning.recall(latencies[i], row)
                bar.done(row, costs[i])
        rows = [self.store.rows[name] for name in keys]
        score, self.judged = score_of(
            self.problem,
            self.candidates,
            completed(rows),
            stopped=sum(row["pruned"] for row in rows),
            told=keys,
            folder=self.out,
        )
        return replace(self.problem, score=score)

    def __len__(self) -> int:
        return len(self.candidates)

    def measured(self, rows: Sequence[ResultRow]) -> list[ResultRow]:
        """The rows, winners and baseline trained alike with seeds that no label had.

        Raises:
            KeyboardInterrupt: what was done is kept.
        """
        seeds = range(self.seed + 1, self.seed + 1 + self.wanted.seeds)
        jobs = [(i, seed) for seed in seeds for i, row in enumerate(rows) if row.genes]
        keys = {job: self.again.key(rows[job[0]].network.name, job[1]) for job in jobs}
        left = [job for job in jobs if keys[job] not in self.store.rows]
        guess = {i: self.again.probe(rows[i].network) for i in sorted({i for i, _ in left})}
        if left:
            seconds = sum(guess[i] for i, _ in left)
            log(f"{len(left)} trainings of winners and baseline: about {format_duration(seconds)}")
        with Bar("training the winners", len(jobs), len(jobs) - len(left)) as bar:
            bar.expect(sum(guess[i] for i, _ in left))
            for i, seed in left:
                step = bar.part(guess[i])
                entry = self._train(self.again, rows[i].network, seed, rows[i].name, step)
                bar.done(entry, guess[i])
        found = []
        for i, row in enumerate(rows):
            each = [
                (s, float(self.store.rows[keys[i, s]]["accuracy"])) for s in seeds if row.genes
            ]
            found.append(replace(row, accuracy=tuple(each)))
        return found

    def _train(
        self,
        trainer: LabelTrainer,
        network: Network,
        seed: int,
        purpose: str,
        step: Any,
        **more: Any,
    ) -> dict[str, Any]:
        key = trainer.key(network.name, seed)
        keep = None if purpose == "label" else trainer.folder / f"{key}.safetensors"
        row = trainer.run(network, seed, purpose=purpose, progress=step, keep=keep, **more)
        self.store.add(row)
        trainer.forget()
        return row

    def _costs(self, networks: Sequence[Network], left: Sequence[int], prune: bool) -> Any:
        """Seconds of each network's training from a probe of the least, a middle and the largest;
        says beforehand what all will take."""
        if not left:
            return np.zeros(len(networks))
        flops = np.array([network.flops for network in networks], dtype=float)
        order = sorted(left, key=lambda i: flops[i])
        probed = sorted({order[0], order[len(order) // 2], order[-1]}, key=lambda i: flops[i])
        seconds = np.array([self.labels.probe(networks[i]) for i in probed])
        costs = np.interp(flops, flops[probed], seconds)
        steps = (self.again.recipe, self.again.train, self.again.epochs * len(self.again.test))
        first = (self.labels.recipe, self.labels.train, self.labels.epochs * len(self.labels.test))
        # A test image costs a third of a training image: no backward pass.
        sizes = [r.total_steps(len(t)) * r.batch + tested / 3 for r, t, tested in (steps, first)]
        later = (WINNERS + 1) * self.wanted.seeds * float(np.median(costs)) * sizes[0] / sizes[1]
        most = " at most, as some will be stopped early" if prune else ""
        log(
            f"{len(left)} labels: about {format_duration(float(costs[left].sum()))} on this "
            f"machine{most}; "
            f"after the search up to {WINNERS} winners and the baseline, {self.wanted.seeds} "
            f"{'seed' if self.wanted.seeds == 1 else 'seeds'} each: about {format_duration(later)}"
        )
        return costs

    def record(self, rows: Sequence[ResultRow]) -> dict[str, Any]:
        """For winners.json."""
        about_again = {
            "recipe": self.again.recipe.record(),
            "images": [len(self.again.train), len(self.again.test)],
            "seeds": [seed for seed, _ in rows[0].accuracy],
        }
        return {
            "source": "measured",
            "data": self.again.data.name,
            "classes": list(self.again.data.classes),
            "device": self.again.device,
            **about_again,
            "labels": {
                **(self.judged.record() if self.judged else {}),
                **self._labels(),
            },
        }

    def _labels(self) -> dict[str, Any]:
        """How the labels came about."""
        if self.wanted.labels_from is not None:
            return {"file": Path(self.wanted.labels_from).name}
        if not self.wanted.labels:
            return {"labels": 0, "score": "closed form"}
        return {
            "recipe": self.labels.recipe.record(),
            "images": [len(self.labels.train), len(self.labels.test)],
            "seed": self.seed,
            "file": FILE,
        }

    def weights(self, row: ResultRow) -> list[str]:
        """The trained weights of a row, below --out."""
        keys = [self.again.key(row.network.name, seed) for seed, _ in row.accuracy]
        paths = [self.again.folder / f"{key}.safetensors" for key in keys]
        return [str(path.relative_to(self.out)) for path in paths if path.exists()]

    def lines(self, rows: Sequence[ResultRow], base: str | None) -> list[str]:
        """What the accuracies are, and each winner against the baseline."""
        recipe, seeds = self.again.recipe, [str(seed) for seed, _ in rows[0].accuracy]
        over = f"mean and deviation over seeds {', '.join(seeds)}"
        if len(seeds) == 1:
            over = f"seed {seeds[0]} alone, so of unknown spread"
        epochs = recipe.total_steps(len(self.again.train)) / recipe.steps_per_epoch(
            len(self.again.train)
        )
        told = [
            f"accuracy: measured on {len(self.again.test)} test images of {self.again.data.name} "
            f"after {epochs:g} epochs of {len(self.again.train)} images at {recipe.input}x"
            f"{recipe.input}; {over}; all trained alike"
        ]
        by_name = {row.name: [value for _, value in row.accuracy] for row in rows}
        for row in rows:
            if base is None or row.name == base or not row.accuracy:
                continue
            mine, theirs = by_name[row.name], by_name[base]
            difference = float(np.mean(mine) - np.mean(theirs))
            spread = [deviation(values) for values in (mine, theirs)]
            error = ""
            if spread[0] is not None and spread[1] is not None:
                error = f" +- {np.sqrt((spread[0] ** 2 + spread[1] ** 2) / len(mine)):.2f}"
            told.append(f"{row.name}: {difference:+.2f}{error} points of accuracy against {base}")
        return told


def _label_parts(data: Dataset, images: int, seed: int) -> tuple[Part, Part]:
    """What labels are trained on, and what they are judged on: no test image is either."""
    train, held, _ = split(data.train, len(data.classes), seed=seed, held_out=VALIDATION)
    if not len(held):
        raise DataError(
            f"{data.name} must have 2 training images of a class; none can be set aside"
        )
    train = subset(train, images, seed=seed)
    return train, subset(held, max(LEAST_TESTED, len(train) // 2), seed=seed)


def _network(problem: Problem, found: Evaluation, row: int) -> Network:
    return problem.space.lower(problem.space.architecture(found.genes[row]))
