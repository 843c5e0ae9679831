"""One run of one sampler on a table of trained networks."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from search.experiments.regularised_evolution import RegularisedEvolution
from search.experiments.tabular_table import TrainedTable
from search.sampling.costs import Floats
from search.sampling.sampler import G4Sampler

if TYPE_CHECKING:
    import pandas as pd

OURS, SLOW = "G4Sampler", "GP"
SAMPLERS = (OURS, "TPE", SLOW, "NSGA-II", "regularised evolution", "random")
FREE = 10  # proposals in a row that no evaluation is spent on, before a random network stands in
POPULATION = 20  # of NSGA-II: ten generations of 200 evaluations
COST = "cost"


def make_peer(name: str, table: TrainedTable, seed: int) -> BaseSampler:
    """A sampler by its name, of SAMPLERS, with Optuna's settings but for NSGA-II's population."""
    if name == OURS:
        return _ours(table, seed)
    if name == "TPE":
        return TPESampler(seed=seed)
    if name == SLOW:
        return GPSampler(seed=seed)
    if name == "NSGA-II":
        return NSGAIISampler(seed=seed, population_size=POPULATION)
    if name == "regularised evolution":
        return RegularisedEvolution(table.space, seed=seed)
    return RandomSampler(seed=seed)


def _ours(table: TrainedTable, seed: int) -> G4Sampler:
    import pandas as pd

    listed = table.grid.frame(table.rows)
    if table.cost is None:
        return G4Sampler(table.space, candidates=listed, seed=seed)
    known = pd.Series(table.cost, pd.MultiIndex.from_frame(listed))

    def costs(candidates: pd.DataFrame) -> Floats:
        return np.asarray(known.loc[pd.MultiIndex.from_frame(candidates)], dtype=float)

    return G4Sampler(table.space, costs=costs, limits=table.limit, candidates=listed, seed=seed)


def run_sampler(
    name: str, table: TrainedTable, evaluations: int, seed: int
) -> tuple[list[int], float]:
    """The networks that a sampler evaluates, each once and each within the limit, in their order,
    and the seconds it took. A run ends at the best network of the table: nothing is better.

    A proposal outside the table stands for the nearest network of it. One that exceeds the limit
    is not trained and costs no evaluation: the sampler is told by how much it exceeds, and the
    mean of all values so far in place of its value. One that has been evaluated costs nothing
    either. After FREE of these in a row a random network stands in.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction="maximize", sampler=make_peer(name, table, seed))
    left = set(np.flatnonzero(table.feasible).tolist())
    best = table.value[table.feasible].max()
    rng = np.random.default_rng([seed, 1])
    found: list[int] = []
    free = 0
    while left and len(found) < evaluations:
        if free == FREE:
            place = sorted(left)[int(rng.integers(len(left)))]
            study.add_trial(_known_trial(table, place))
        else:
            trial = study.ask(table.space)
            place = table.nearest(trial.params)
            if table.cost is not None and table.limit is not None:
                trial.set_constraint(COST, float(table.cost[place] - table.limit))
            known = [place] if table.feasible[place] else found
            state = TrialState.COMPLETE if known else TrialState.FAIL
            study.tell(trial, float(table.value[known].mean()) if known else None, state)
        free = 0 if place in left else free + 1
        if place in left:
            left.remove(place)
            found.append(place)
            if table.value[place] == best:
                break
    return found, time.perf_counter() - started


def _known_trial(table: TrainedTable, place: int) -> FrozenTrial:
    trial = optuna.create_trial(
        params=table.grid.params(table.rows[place]),
        distributions=table.space,
        value=float(table.value[place]),
    )
    if table.cost is not None and table.limit is not None:
        trial.set_constraint(COST, float(table.cost[place] - table.limit))
    return trial
