"""Stopping a label's training early: Optuna's median pruner, among networks of like latency.

A fast network is less accurate than a slow one and may be the better answer. So each is compared
with its third of the latencies only, in a study of Optuna's for each. Shorter trainings than
LEAST_EPOCHS are not pruned: the learning rate falls from start to end, and accuracies half-way of
two epochs say little. A stopped training counts with its extrapolated accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState, create_trial

from evaluator.predictor.model import from_log, to_log
from search.problem.problem import Floats

LEAST_EPOCHS = 4
BANDS = 3
STARTUP = 4  # finished trainings of a band before one of it may be stopped
FEW = 5  # finished trainings for a slope; below, a shift alone

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Pruning:
    """Decides whether trainings go on. `latencies`: of all networks that are to be labelled."""

    def __init__(self, latencies: Floats, epochs: int) -> None:
        self.on = epochs >= LEAST_EPOCHS
        self._edges = np.quantile(latencies, np.arange(1, BANDS) / BANDS)
        # No training is stopped before a third of it.
        pruner = optuna.pruners.MedianPruner(STARTUP, n_warmup_steps=-(-epochs // 3))
        self._studies = [
            optuna.create_study(direction="maximize", pruner=pruner) for _ in range(BANDS)
        ]

    def _study(self, latency: float) -> optuna.Study:
        return self._studies[int(np.searchsorted(self._edges, latency, side="right"))]

    def recall(self, latency: float, row: dict[str, Any]) -> None:
        """Count a training that is finished or was stopped."""
        if not self.on or row["diverged"] or not row["curve"]:
            return
        values = dict(enumerate(row["curve"], start=1))
        state = TrialState.PRUNED if row["pruned"] else TrialState.COMPLETE
        trial = create_trial(state=state, value=row["curve"][-1], intermediate_values=values)
        self._study(latency).add_trial(trial)

    def judge(self, latency: float) -> Any:
        """A function of (epoch, accuracy) that says whether to stop; None where nothing is."""
        if not self.on:
            return None
        trial = self._study(latency).ask()

        def stop(epoch: int, accuracy: float) -> bool:
            trial.report(accuracy, epoch)
            return bool(trial.should_prune())

        return stop


def completed(rows: Sequence[dict[str, Any]]) -> Floats:
    """Accuracies in %, [n]; of trainings that were stopped, what they would have come to.

    The logarithm of the error at the epoch where one stopped, carried to the last by a line fitted
    to the trainings that were not stopped; a shift where those are few.
    """
    done = [row for row in rows if not row["pruned"] and not row["diverged"]]
    found = []
    for row in rows:
        epoch = len(row["curve"])
        if not row["pruned"] or not done:
            found.append(float(row["accuracy"]))
            continue
        then = to_log(np.array([each["curve"][epoch - 1] for each in done]))
        last = to_log(np.array([each["accuracy"] for each in done]))
        slope = 1.0
        if len(done) >= FEW and np.ptp(then) > 0:
            slope = max(0.0, float(np.polyfit(then, last, 1)[0]))
        now = to_log(np.array([row["curve"][-1]]))
        found.append(float(from_log(last.mean() + slope * (now - then.mean()))[0]))
    return np.clip(np.array(found), 0.0, 100.0)
