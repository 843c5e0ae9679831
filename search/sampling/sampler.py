"""Optuna's interface to the proposals."""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from search.sampling.costs import CostFunction, Limits
from search.sampling.grid import CandidateGrid, key
from search.sampling.history import PROPOSAL, read_history
from search.sampling.known import Expectation, Known
from search.sampling.pool import Pool
from search.sampling.proposal import Proposer

ATTEMPTS = 10  # proposals for one trial, where others take the same row at the same moment
_one_at_a_time = threading.Lock()  # between the threads of a process
_logger = logging.getLogger(__name__)


class G4Sampler(BaseSampler):
    """Samples the parameters of integer and categorical spaces whose costs are known before
    anything is trained.

    Every proposal is within the limits, and new while something new is left: no finished, running,
    enqueued, failed or pruned trial has it. A Gaussian process of the finished trials says what
    improvement each candidate promises; of several objectives, those in a random direction of
    their front. `Trial.set_constraint` tells of constraints that only an evaluation can measure.

    The next proposal follows from the trials and the seed alone, so a study that is loaded from
    its storage continues as if it had never stopped. Running trials count as if they had the
    values that are expected of them: any number of workers may ask at the same time.

    Args:
        space: the distribution of each parameter. None: what all finished trials have in common,
            so that the first trial is random; costs need a space.
        costs: candidates, a pandas data frame with a column for each parameter -> an array [n] of
            one cost, or arrays by name.
        limits: the largest cost, or the largest of each cost by name. A cost without a limit
            still helps to predict.
        candidates: the only candidates that exist, as a data frame or an array [n, parameters];
            None: every combination.
        prior: candidates -> the objective's values that you expect, [n], or [n, objectives].
            Labels decide how much of it to believe.
        startup: trials that are spread over the candidates before the process takes over.
        seed: of all random numbers; None: a random one.

    Raises:
        ValueError: a distribution of floats, or costs, limits or candidates that do not fit.
        TypeError: an argument of another type.
        InfeasibleError: no candidate is within the limits; the message has the nearest one.

    Example:
        >>> import optuna
        >>> from optuna.distributions import IntDistribution
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> space = {"width": IntDistribution(8, 64, step=8), "depth": IntDistribution(1, 20)}
        >>> def flops(candidates):
        ...     return candidates["width"] ** 2 * candidates["depth"]
        >>> sampler = G4Sampler(space, costs=flops, limits=10_000, seed=0)
        >>> study = optuna.create_study(sampler=sampler, direction="maximize")
        >>> for _ in range(25):
        ...     trial = study.ask(space)
        ...     _ = study.tell(trial, trial.params["width"] + 3 * trial.params["depth"])
        >>> sorted(study.best_params.items())
        [('depth', 20), ('width', 16)]
    """

    def __init__(
        self,
        space: Mapping[str, BaseDistribution] | None = None,
        *,
        costs: CostFunction | None = None,
        limits: float | Mapping[str, float] | None = None,
        candidates: Any = None,
        prior: Expectation | None = None,
        startup: int = 10,
        seed: int | None = None,
    ) -> None:
        if startup < 1:
            raise ValueError(f"`startup` must be at least 1; got {startup}")
        if seed is not None and not 0 <= seed < 2**32:
            raise ValueError(f"`seed` must be from 0 to {2**32 - 1}; got {seed}")
        self._limits = Limits.of(costs, limits)
        if space is None and any(each is not None for each in (costs, candidates, prior)):
            raise ValueError("`costs`, `candidates` and `prior` need `space`; got none")
        self._prior, self._startup = prior, startup
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self._space = None if space is None else dict(space)
        self._intersection = IntersectionSearchSpace()
        self._told: set[str] = set()
        self._made: tuple[dict[str, BaseDistribution], Proposer] | None = None
        if self._space is not None:
            grid = CandidateGrid.of(self._space)
            only = None if candidates is None else grid.rows(candidates)
            pool = Pool.of(grid, self._limits, only, self._seed)
            self._made = self._space, Proposer(Known(pool, prior), startup)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The space; without one, the integers and categories of all finished trials."""
        if self._space is not None:
            return dict(self._space)
        common = self._intersection.calculate(study)
        return {
            name: each
            for name, each in common.items()
            if not isinstance(each, FloatDistribution) and not each.single()
        }

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of the next trial.

        Raises:
            ValueError: the space lacks a parameter that costs are of, or costs or prior return
                something else than numbers.
        """
        floats = [n for n, each in search_space.items() if isinstance(each, FloatDistribution)]
        found = {
            name: self.sample_independent(study, trial, name, search_space[name])
            for name in floats
        }
        space = {name: each for name, each in search_space.items() if name not in found}
        if not space:
            return found
        proposer = self._proposer(space)
        with _one_at_a_time:
            return found | self._propose(study, trial, proposer)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random value, for floats and for parameters outside the space."""
        beside = self._space is not None or isinstance(param_distribution, FloatDistribution)
        if beside:
            self._tell_once(
                f"parameter `{param_name}` is drawn at random: it is not in the space of "
                "G4Sampler, which has integers and categories"
            )
        seed = zlib.crc32(f"{self._seed} {trial.number} {param_name}".encode())
        return RandomSampler(seed).sample_independent(study, trial, param_name, param_distribution)

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            _logger.warning(message)

    def _proposer(self, space: dict[str, BaseDistribution]) -> Proposer:
        """The proposer of a space; the last one is kept."""
        if self._made is None or self._made[0] != space:
            if self._space is not None:
                missing = ", ".join(f"`{name}`" for name in self._space if name not in space)
                raise ValueError(
                    f"G4Sampler must sample its whole space; {missing or 'a distribution'} is not "
                    "as in `space`; to fix a parameter, give it one choice there"
                )
            pool = Pool.of(CandidateGrid.of(space), self._limits, None, self._seed)
            self._made = space, Proposer(Known(pool, None), self._startup)
        return self._made[1]

    def _propose(
        self, study: optuna.Study, trial: FrozenTrial, proposer: Proposer
    ) -> dict[str, Any]:
        """Propose, tell the storage at once, and propose again if another worker was as fast."""
        grid = proposer.known.pool.grid
        signs = np.array([1.0 if d == StudyDirection.MAXIMIZE else -1.0 for d in study.directions])
        fixed = _fixed(grid, trial)
        storage = study._storage  # Optuna's samplers keep attributes of trials this way
        for attempt in range(ATTEMPTS):
            trials = study.get_trials(deepcopy=False)
            history = read_history(grid, trials, signs, trial.number)
            rng = np.random.default_rng([self._seed, trial.number, attempt])
            row, new = proposer.propose(history, signs, rng, fixed, attempt)
            params = grid.params(row)
            storage.set_trial_system_attr(trial._trial_id, PROPOSAL, params)
            others = study.get_trials(deepcopy=False)
            if not new or key(row) not in read_history(grid, others, signs, trial.number).seen:
                break
        if any(row[place] != index for place, index in fixed.items()):
            self._tell_once(
                "nothing new within the limits has the enqueued parameters of some trial; it may "
                "exceed them"
            )
        if not new:
            self._tell_once("every candidate has been tried: a trial is repeated")
        return params


def _fixed(grid: CandidateGrid, trial: FrozenTrial) -> dict[int, int]:
    """GridAxis -> its index, of what the trial was enqueued with."""
    given = trial.system_attrs.get("fixed_params", {})
    found = {
        place: axis.index(given[axis.name])
        for place, axis in enumerate(grid.axes)
        if axis.name in given
    }
    return {place: index for place, index in found.items() if index is not None}
