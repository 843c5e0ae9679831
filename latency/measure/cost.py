"""What timing chains costs in wall seconds, learned from calls that were timed.

To prepare a chain costs something for itself and for each of its ops. A convolution of a shape
that the process meets for the first time costs more where the library chooses its kernel by timing
several (cuDNN), most of all a depthwise one: on a GPU that is most of a build. To run costs
something for each chain, op and multiply-add. The costs are a non-negative least-squares fit to
all calls so far, so that they become more right as a measurement goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import Any, TypeAlias

import numpy as np

from latency.devices.session import Session, Timed
from latency.measure.block import chain_flops, runs_of
from space.network.block import Block, Chain

Shape: TypeAlias = tuple[
    Any, ...
]  # of a convolution: kind, channels, size, kernel, stride, groups
PROBED = 6  # chains that a probe times, besides the reference
PROBE_S = 5.0  # after which it times no further one, if it has two
LEAST_SHARE = 0.1  # of the longest call: the error of shorter ones counts as if they took as long
# A shape costs alike whether its convolution is depthwise, unless calls say otherwise: the penalty
# for a difference, as a share of what one call weighs.
ALIKE = 0.1


@dataclass(frozen=True, slots=True)
class CallWork:
    """What a call times: distinct chains, their ops and multiply-adds, and the shapes of their
    convolutions."""

    chains: int
    ops: int
    flops: int
    dense: frozenset[Shape]
    depthwise: frozenset[Shape]


@cache
def _block_work(block: Block) -> CallWork:
    shapes: dict[str, set[Shape]] = {"conv": set(), "dwconv": set()}
    for op in block.ops:
        if op.kind in shapes:
            size = op.height, op.width, op.kernel, op.stride
            shapes[op.kind].add((op.c_in, op.c_out, op.groups, *size))
    dense, depthwise = map(frozenset, shapes.values())
    return CallWork(0, len(block.ops), block.flops, dense, depthwise)


def work_of(chains: Iterable[Chain]) -> CallWork:
    """The work of one call; a chain that occurs several times is loaded once."""
    loaded = list(dict.fromkeys(chains))
    blocks = [_block_work(block) for chain in loaded for block in chain]
    return CallWork(
        chains=len(loaded),
        ops=sum(work.ops for work in blocks),
        flops=sum(map(chain_flops, loaded)),
        dense=frozenset().union(*(work.dense for work in blocks)),
        depthwise=frozenset().union(*(work.depthwise for work in blocks)),
    )


class TimingCosts:
    """Wall seconds of calls of a session: `learn` from some, then ask for others."""

    def __init__(self) -> None:
        self._met: set[Shape] = set()
        self._prepared: list[tuple[list[float], float]] = []  # (features, seconds) of each call
        self._ran: list[tuple[list[float], float]] = []
        self._fitted: tuple[Any, Any] | None = None

    def learn(self, work: CallWork, rounds: int, elapsed_s: float, timed: Timed) -> None:
        """Count a call of `rounds` that took `elapsed_s` here, the device's seconds included."""
        runs_s = max(timed.wall_s - timed.prepare_s, 0.0)
        prepare_s = max(elapsed_s, timed.wall_s) - runs_s
        self._prepared.append((self._to_prepare([work]), prepare_s))
        self._ran.append((_to_run([work], rounds), runs_s))
        self.meet([work])
        self._fitted = None

    def meet(self, works: Iterable[CallWork]) -> None:
        """Shapes that the process knows from now on."""
        for work in works:
            self._met |= {*_marked(work)}

    def seconds(self, works: Sequence[CallWork], rounds: int) -> float:
        """Expected wall seconds of calls that follow; at least one must have been learned."""
        return self._expected_s(self._to_prepare(works), _to_run(works, rounds))

    def again_s(self, works: Sequence[CallWork], rounds: int) -> float:
        """The same of calls whose shapes are all known then."""
        known = [*self._to_prepare(works)[:3], 0.0, 0.0, 0.0]
        return self._expected_s(known, _to_run(works, rounds))

    def _expected_s(self, prepare: Sequence[float], run: Sequence[float]) -> float:
        if self._fitted is None:
            self._fitted = _fit(self._prepared, alike=(3, 4)), _fit(self._ran)
        return float(np.array(prepare) @ self._fitted[0] + np.array(run) @ self._fitted[1])

    def _to_prepare(self, works: Sequence[CallWork]) -> list[float]:
        """calls, chains, ops; new shapes: dense, depthwise, and both."""
        new = {shape for work in works for shape in _marked(work)} - self._met
        depthwise = sum(shape[0] == "depthwise" for shape in new)
        chains, ops = (sum(getattr(work, name) for work in works) for name in ("chains", "ops"))
        return [len(works), chains, ops, len(new) - depthwise, depthwise, len(new)]


def _marked(work: CallWork) -> Iterable[Shape]:
    yield from (("dense", *shape) for shape in work.dense)
    yield from (("depthwise", *shape) for shape in work.depthwise)


def _to_run(works: Sequence[CallWork], rounds: int) -> list[float]:
    """calls; chains, ops and multiply-adds, each as often as it runs."""
    sums = (sum(getattr(work, name) for work in works) for name in ("chains", "ops", "flops"))
    return [len(works), *(runs_of(rounds) * value for value in sums)]


def _fit(calls: Sequence[tuple[list[float], float]], alike: Sequence[int] = ()) -> Any:
    """Seconds per feature, none negative.

    Args:
        alike: features that only say how others, which contain them, differ: a penalty on their
            seconds keeps them at 0 where the calls do not tell.
    """
    from scipy.optimize import nnls

    features = np.array([each for each, _ in calls], dtype=np.float64)
    seconds = np.array([each for _, each in calls])
    weights = 1 / np.maximum(seconds, LEAST_SHARE * max(seconds.max(), 1e-9))
    rows, wanted = features * weights[:, None], seconds * weights
    # Columns of one size, as the features have no common unit.
    sizes = np.sqrt((rows**2).sum(axis=0))
    sizes[sizes == 0] = np.inf
    penalty = np.zeros((len(alike), features.shape[1]))
    for row, column in enumerate(alike):
        penalty[row, column] = ALIKE
    found, _ = nnls(np.vstack([rows / sizes, penalty]), np.append(wanted, np.zeros(len(alike))))
    return found / sizes


def probe_costs(
    session: Session,
    calls: Sequence[Sequence[Chain]],
    *,
    batch: int,
    steady: bool,
    reference: Chain = (),
    clock: Callable[[], float] = time.monotonic,
) -> TimingCosts:
    """Costs from one round of a few chains of some calls that are planned, of different kinds.

    The first is not counted, since libraries load in it. Then each chain is timed alone, and
    at the end all once more, when the process knows their shapes.

    Args:
        steady: as most of the planned calls.
        reference: a chain that each call has besides.
        clock: seconds here.

    Raises:
        OSError: as `Session.time`.
    """
    chosen = _different(calls)
    costs = TimingCosts()

    def learn(chains: Sequence[Chain]) -> None:
        started = clock()
        timed = session.time(chains, batch=batch, rounds=1, steady=steady)
        costs.learn(work_of(chains), 1, clock() - started, timed)

    first = min(chosen, key=lambda chain: work_of([chain]).ops)
    session.time([first], batch=batch, rounds=1, steady=steady)
    costs.meet([work_of([first])])
    alone, started = [first], clock()
    for chain in dict.fromkeys([*[reference] * bool(reference), *chosen]):
        if len(alone) > 2 and clock() - started > PROBE_S:
            break
        if chain != first:
            learn([chain])
            alone.append(chain)
    learn(alone)
    return costs


def _different(calls: Sequence[Sequence[Chain]]) -> list[Chain]:
    """Up to `PROBED` chains at random, as many of each kind: by the last block's kind and stride,
    and whether the chain is a network."""
    kinds: dict[Any, list[Chain]] = {}
    every = list(dict.fromkeys(chain for chains in calls for chain in chains))
    for index in np.random.default_rng(0).permutation(len(every)):
        chain = every[index]
        kind = chain[-1].kind, dict(chain[-1].fields).get("stride", 1), chain[0].kind
        kinds.setdefault(kind, []).append(chain)
    turns = zip_longest(*kinds.values())
    return [chain for turn in turns for chain in turn if chain is not None][:PROBED]
