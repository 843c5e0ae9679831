"""Labels by shared weights: what a trained supernet says of networks, in seconds for each.

The networks that can be cut from the weights are labelled and searched, no others: of those
outside of the supernet's limits nothing is known.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluator.data import digest
from search.baseline import baseline
from search.labels_choose import chosen
from search.labels_file import Store
from search.labels_options import Wanted
from search.labels_score import Judged, score_of
from search.labels_show import Bar
from search.problem import CLOSED_FORM, Evaluation, Problem, open_axes
from space.command import say
from space.errors import InfeasibleError
from space.files import commit, versions

if TYPE_CHECKING:
    from evaluator.supernet_run import Labels

AFTER = "with shared weights"


@dataclass(frozen=True, eq=False)
class Shared:
    """Trained shared weights, open for labels. `weights`: the file, and `mark` its SHA-256."""

    weights: Path
    mark: str
    labels: Labels

    @classmethod
    def open(cls, wanted: Wanted, device: str) -> Shared:
        """The weights that `wanted.labels_from` names, and the images it has set aside for them.

        Raises:
            ValueError: no supernet, or one that was trained on other images.
        """
        from evaluator.supernet_run import Labels
        from evaluator.train_files import LAST

        path = Path(str(wanted.labels_from))
        path = path / LAST if path.is_dir() else path
        if not path.is_file():
            raise ValueError(
                f"--labels-from must be rows of evaluator.measured, or a supernet's {LAST} or its "
                f"folder; there is no {path}"
            )
        labels = Labels.open(path, wanted.data, device=device, threads=wanted.threads or 0)
        with path.open("rb") as file:
            mark = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, mark, labels)

    def within(self, found: Evaluation) -> NDArray[np.bool_]:
        """Whether the supernet was trained for a network, [n]."""
        return self.labels.within(found.genes, found.costs.flops)

    def narrowed(self, problem: Problem) -> Problem:
        """The problem on the networks that the supernet was trained for."""
        return replace(problem, only=open_axes(problem.space, self.labels.allowed))

    def scored(
        self, problem: Problem, wanted: Wanted, seed: int, store: Store, folder: Path
    ) -> tuple[Problem, Judged]:
        """The problem with the better score on the labels, and how both were judged.

        Raises:
            InfeasibleError: no network of the supernet meets the budget.
            KeyboardInterrupt: labels that were found are kept.
        """
        closed = replace(self.narrowed(problem), score=CLOSED_FORM)
        base = baseline(closed)
        if base is not None and not self.within(base.found)[0]:
            base = None
        found = chosen(closed, wanted.labels, seed, base, self.within)
        if not len(found):
            raise InfeasibleError(
                f"no network that {self.weights} was trained for meets the budget: raise it, or "
                "train a supernet with other --limits"
            )
        if len(found) < wanted.labels:
            say(f"only {len(found)} networks of the supernet meet the budget: all are labelled")
        texts = [problem.space.text(problem.space.architecture(row)) for row in found.genes]
        keys = [self.key(text) for text in texts]
        left = [i for i, name in enumerate(keys) if name not in store.rows]
        with Bar("labelling", len(keys), len(keys) - len(left)) as bar:
            bar.expect(float(found.costs.flops[left].sum()))
            for i in left:
                row = self._label(found.genes[i], texts[i])
                store.add(row)
                bar.done(row, float(found.costs.flops[i]))
        score, judged = score_of(
            problem,
            found,
            np.array([store.rows[name]["accuracy"] for name in keys]),
            stopped=0,
            told=keys,
            folder=folder,
            after=AFTER,
        )
        if not judged.better:  # the closed form knows all networks
            return replace(problem, score=score), judged
        return replace(self.narrowed(problem), score=score), judged

    def key(self, architecture: str) -> str:
        """The name of a label: whatever changes it but the machine."""
        return digest(["supernet", self.mark, architecture])

    def _label(self, genes: NDArray[np.integer], text: str) -> dict[str, Any]:
        started = time.perf_counter()
        accuracy = round(float(self.labels.accuracies(genes[None])[0]), 4)
        return {
            "key": self.key(text),
            "architecture": text,
            "seed": self.labels.told["seed"],
            "accuracy": accuracy,
            "curve": [accuracy],
            "pruned": False,
            "diverged": False,
            "purpose": "label by shared weights",
            "weights": self.mark,
            "seconds": round(time.perf_counter() - started, 2),
            "versions": versions("torch", "torchvision", "numpy", "pillow"),
            "commit": commit(),
        }

    def record(self) -> dict[str, Any]:
        """For winners.json."""
        return {"supernet": self.weights.name, "sha256": self.mark}
