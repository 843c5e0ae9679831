"""What the trials of a study say: candidates that are taken, and the labels of finished ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from search.sampling.costs import Floats
from search.sampling.grid import CandidateGrid, Rows, key

PROPOSAL = "g4nas:proposal"  # attribute of a trial: the parameters that were proposed for it
OUTSTANDING = (TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The trials of a study on a grid, in the order of their numbers.

    Attributes:
        seen: every row of any trial, failed and pruned ones too.
        rows: of the n finished trials, int64 [n, axes].
        values: [n, objectives], larger being better.
        constraints: name -> [n], feasible when <= 0; NaN where a trial has none.
        waiting: rows that are being evaluated, int64 [m, axes].
    """

    seen: frozenset[bytes]
    rows: Rows
    values: Floats
    constraints: dict[str, Floats]
    waiting: Rows

    @property
    def feasible(self) -> np.ndarray:
        """[n]: which finished trials meet every measured constraint."""
        found = np.ones(len(self.rows), dtype=bool)
        for values in self.constraints.values():
            found &= ~(values > 0)
        return found


def read_history(
    grid: CandidateGrid, trials: Iterable[FrozenTrial], signs: Floats, but: int | None = None
) -> History:
    """The history of trials.

    Args:
        signs: [objectives], 1 where larger values are better, -1 elsewhere.
        but: the number of the trial that is drawn now.
    """
    seen: set[bytes] = set()
    rows, values, constraints, waiting = [], [], [], []
    for trial in trials:
        row = None if trial.number == but else row_of_trial(grid, trial)
        if row is None:
            continue
        seen.add(key(row))
        if trial.state in OUTSTANDING:
            waiting.append(row)
        elif trial.state == TrialState.COMPLETE and trial.values is not None:
            rows.append(row)
            values.append(signs * np.array(trial.values, dtype=float))
            constraints.append(trial.constraints)
    names = sorted({name for each in constraints for name in each})
    return History(
        frozenset(seen),
        _table(grid, rows),
        np.array(values, dtype=float).reshape(-1, len(signs)),
        {name: np.array([each.get(name, np.nan) for each in constraints]) for name in names},
        _table(grid, waiting),
    )


def row_of_trial(grid: CandidateGrid, trial: FrozenTrial) -> tuple[int, ...] | None:
    """The row of a trial; of an outstanding one, what is proposed or enqueued for it counts too.
    None if it is not on the grid."""
    known = dict(trial.params)
    if trial.state in OUTSTANDING:
        proposed = trial.system_attrs.get(PROPOSAL, {})
        known = {**proposed, **trial.system_attrs.get("fixed_params", {}), **known}
    return grid.row(known)


def _table(grid: CandidateGrid, rows: list[tuple[int, ...]]) -> Rows:
    return np.array(rows, dtype=np.int64).reshape(-1, len(grid.axes))
