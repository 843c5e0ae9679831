"""Find networks within budgets, compare them with ShuffleNet v2, report and export them.

The public names below load what they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from space.common.lazy import public_names

if TYPE_CHECKING:
    from search.labels.config import LabelOptions as LabelOptions
    from search.optimizer.bound import Bounds as Bounds
    from search.optimizer.study import Study as Study
    from search.problem.baseline import baseline as baseline
    from search.problem.budget import Budget as Budget
    from search.problem.budget import parse_budgets as parse_budgets
    from search.problem.problem import Problem as Problem
    from search.result.export import export_network as export_network
    from search.result.search_result import SearchResult as SearchResult
    from search.sampling.sampler import G4Sampler as G4Sampler
    from search.workflow.config import SearchConfig as SearchConfig
    from search.workflow.pipeline import search as search

_NAMES = {
    "Bounds": "search.optimizer.bound",
    "Budget": "search.problem.budget",
    "G4Sampler": "search.sampling.sampler",
    "LabelOptions": "search.labels.config",
    "Problem": "search.problem.problem",
    "SearchConfig": "search.workflow.config",
    "SearchResult": "search.result.search_result",
    "Study": "search.optimizer.study",
    "baseline": "search.problem.baseline",
    "export_network": "search.result.export",
    "parse_budgets": "search.problem.budget",
    "search": "search.workflow.pipeline",
}
__all__ = list(_NAMES)
__getattr__, __dir__ = public_names(__name__, _NAMES)
