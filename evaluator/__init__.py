"""What accuracy a network is likely to reach: training-free scores, which are no accuracies,
predictors fitted on a few trained networks, and the training itself, on labelled images.

Public names load their modules when they are first used, so `import evaluator` loads no numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from space.common.lazy import public_names

if TYPE_CHECKING:
    from evaluator.benchmarks.run import benchmark_scores
    from evaluator.data.open import open_data
    from evaluator.predictor.model import Predictor
    from evaluator.score.closed_form import ClosedForm
    from evaluator.score.genes import score_genes
    from evaluator.training.recipe import Recipe
    from evaluator.training.run import TrainConfig, train_network

__all__ = [
    "ClosedForm",
    "Predictor",
    "Recipe",
    "TrainConfig",
    "benchmark_scores",
    "open_data",
    "score_genes",
    "train_network",
]

__getattr__, __dir__ = public_names(
    __name__,
    {
        "ClosedForm": "evaluator.score.closed_form",
        "Predictor": "evaluator.predictor.model",
        "Recipe": "evaluator.training.recipe",
        "TrainConfig": "evaluator.training.run",
        "benchmark_scores": "evaluator.benchmarks.run",
        "open_data": "evaluator.data.open",
        "score_genes": "evaluator.score.genes",
        "train_network": "evaluator.training.run",
    },
)
