"""What a search finds: its problem, what was evaluated, the winners, and the files it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latency.table.header import TableHeader
from search.problem.baseline import Baseline
from search.problem.problem import Evaluation, Problem
from search.result.rows import ResultRow
from search.result.shelf import Shelf
from search.result.winners import Limit, Winner


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The result of a search. Each step of `search.search` fills one more field.

    Args:
        target: as the user named it.
        command: the command that gives this result.
        seed: of the search.
        folder: of the files.
        study: the file of the trials.
        problem: what was searched, with the score that ranked it.
        found: every evaluated architecture; `duplicates` is the number of repeated ones.
        baseline: ShuffleNet v2 at the same budgets; None if none fits them.
        winners: rows of `found` that answer the question, at most three; none if the best found
            is the baseline itself.
        limit: how far the best found is from the best possible; None where it is not known.
        rows: winners, baseline and other networks, in this order, with all their numbers.
        files: by the name of a row: the files that hold it.
        shelf: the best networks off the shelf beside these; None: not asked for.
        accuracy: how the accuracies of `rows` came about, for JSON; None without labels.
        accuracy_lines: the same for people.
        record: what winners.json holds.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from search import SearchConfig, search
        >>> out = Path(tempfile.mkdtemp())
        >>> result = search(SearchConfig(target="arm", budgets=("41M",), trials=20, out=out))
        >>> len(result.found), result.baseline.name
        (20, 'ShuffleNet v2 0.5x')
    """

    target: str
    command: str
    seed: int
    folder: Path
    study: Path
    problem: Problem
    found: Evaluation
    duplicates: int
    baseline: Baseline | None
    winners: tuple[Winner, ...]
    limit: Limit | None
    rows: tuple[ResultRow, ...]
    shelf: Shelf | None = None
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    accuracy: Mapping[str, Any] | None = None
    accuracy_lines: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def header(self) -> TableHeader:
        """The header of the latency table."""
        return self.problem.table.header
