"""What accuracy a network is likely to reach: an estimate of top-1 on ImageNet with its interval,
training-free scores, which are no accuracies, predictors fitted on a few trained networks, and
training on labelled images."""

from typing import TYPE_CHECKING

from space.common.lazy import public_names

if TYPE_CHECKING:
    from evaluator.benchmarks.ranking import benchmark_scores as benchmark_scores
    from evaluator.data.open import open_data as open_data
    from evaluator.estimate.networks import AccuracyEstimate as AccuracyEstimate
    from evaluator.estimate.networks import estimate_accuracy as estimate_accuracy
    from evaluator.estimate.networks import estimate_genes as estimate_genes
    from evaluator.predictor.model import Predictor as Predictor
    from evaluator.score.closed_form import ClosedForm as ClosedForm
    from evaluator.score.genes import score_genes as score_genes
    from evaluator.training.recipes.recipe import Recipe as Recipe
    from evaluator.training.run import TrainConfig as TrainConfig
    from evaluator.training.run import train_network as train_network

_MODULES = {
    "AccuracyEstimate": "evaluator.estimate.networks",
    "ClosedForm": "evaluator.score.closed_form",
    "Predictor": "evaluator.predictor.model",
    "Recipe": "evaluator.training.recipes.recipe",
    "TrainConfig": "evaluator.training.run",
    "benchmark_scores": "evaluator.benchmarks.ranking",
    "estimate_accuracy": "evaluator.estimate.networks",
    "estimate_genes": "evaluator.estimate.networks",
    "open_data": "evaluator.data.open",
    "score_genes": "evaluator.score.genes",
    "train_network": "evaluator.training.run",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = public_names(__name__, _MODULES)
