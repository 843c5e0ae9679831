"""From the trials of a study to winners, baseline and the bound: no file is written."""

from __future__ import annotations

from pathlib import Path

from search.optimizer.study import Study
from search.problem.baseline import baseline
from search.result.limit import limit_of
from search.result.rows import result_rows
from search.result.search_result import SearchResult
from search.result.winners import require_feasible, winners


def summarize(
    study: Study, *, target: str, command: str, folder: Path, study_path: Path
) -> SearchResult:
    """The result of the trials of a study.

    Raises:
        InfeasibleError: no trial meets the budgets.
    """
    problem, found = study.problem, study.evaluated()
    require_feasible(problem, found)
    base = baseline(problem)
    best = tuple(winners(found, base))
    return SearchResult(
        target=target,
        command=command,
        seed=study.seed,
        folder=folder,
        study=study_path,
        problem=problem,
        found=found,
        duplicates=study.duplicates,
        baseline=base,
        winners=best,
        limit=limit_of(problem, found, base),
        rows=tuple(result_rows(problem, found, best, base)),
    )
