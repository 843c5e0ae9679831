"""Which networks to label: half spread over what the budget allows, half near the front.

The spread half varies every axis, so that the predictor does not confuse an axis with size. The
other half lies near the closed form's front, where the winners will be. The baseline comes first,
since the winners are compared with it. Each half adds the farthest of a few candidates from all
selected so far (Mitchell, "Spectrally optimal sampling for distribution ray tracing", SIGGRAPH
1991, section 4). The first n labels do not depend on how many are asked for, so a larger number
reuses them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.optimizer.proposals import children
from search.optimizer.study import Study
from search.problem.baseline import Baseline
from search.problem.problem import Evaluation, Problem, concatenate, nondominated
from space.architectures.search_space import Genes

DRAWN, DRAWS, POOL = 50_000, 40, 2000  # rows a draw, draws at most, feasible rows that are enough
FRONT_TRIALS = 200
FRONT_POOL = 120  # of the trials, the layers nearest to the front
CANDIDATES = 10

Floats = NDArray[np.float64]


def select_networks(problem: Problem, n: int, seed: int, base: Baseline | None) -> Evaluation:
    """n different feasible architectures to label, fewer if there are no more.

    `problem` has the closed form as its score.
    """
    near = near_front(problem, seed)
    spread = spread_out(problem, near, seed)
    if not len(spread):  # which has what is near the front too
        return spread
    pools = [spread, near]
    points = [_points(problem, pool, spread) for pool in pools]
    rng = np.random.default_rng([seed, 1])
    selected: list[Evaluation] = []
    taken: list[Floats] = []
    seen: set[bytes] = set()
    if base is not None and bool(base.found.feasible[0]) and n:
        selected.append(base.found)
        taken.append(_points(problem, base.found, spread)[0])
        seen.add(base.found.genes.tobytes())
    turn = 0
    while len(selected) < n:
        which = next((p for p in (turn % 2, 1 - turn % 2) if _fresh(pools[p], seen).any()), None)
        if which is None:
            break
        pool, turn = pools[which], turn + 1
        rows = np.flatnonzero(_fresh(pool, seen))
        rows = rows[rng.permutation(len(rows))[:CANDIDATES]]
        row = int(rows[0])
        if taken:
            apart = points[which][rows][:, None] - np.array(taken)
            row = int(rows[np.argmax(np.square(apart).sum(axis=2).min(axis=1))])
        selected.append(_rows(pool, np.array([row])))
        taken.append(points[which][row])
        seen.add(pool.genes[row].tobytes())
    return concatenate(selected) if selected else _rows(near, np.zeros(0, dtype=np.intp))


def near_front(problem: Problem, seed: int) -> Evaluation:
    """Feasible trials of a short search with the closed form, those of the foremost layers."""
    study = Study.open(problem, seed=seed)
    for _ in study.run(FRONT_TRIALS):
        pass
    found = study.evaluated()
    left = np.flatnonzero(found.feasible)
    layers: list[NDArray[np.intp]] = []
    while len(left) and sum(map(len, layers)) < FRONT_POOL:
        layer = nondominated(found.score[left], found.costs.latency_s[left])
        layers.append(left[layer])
        left = np.delete(left, layer)
    rows = np.concatenate(layers) if layers else np.zeros(0, dtype=np.intp)
    return _rows(found, rows)


def spread_out(problem: Problem, near: Evaluation, seed: int) -> Evaluation:
    """Feasible rows drawn uniformly. A tight budget leaves next to none of those: then relatives
    of the networks near the front too."""
    rng = np.random.default_rng([seed, 2])
    found: list[Evaluation] = []
    for draw in range(DRAWS):
        if sum(map(len, found)) >= POOL:
            break
        if draw < DRAWS // 2:
            genes = drawn(problem, DRAWN, rng)
        elif len(near):
            # int16 genes of active parameters are the axes' own numbers, but for closed ones, which are 0
            sizes = problem.space.active_sizes.astype(np.int64)
            parents = np.concatenate([near.genes, *(each.genes for each in found)])
            genes = children(parents, sizes, DRAWN // 10, rng).astype(near.genes.dtype)
        else:
            break
        every = problem.evaluate_unchecked(genes)
        found.append(_rows(every, np.flatnonzero(every.feasible)))
    pool = concatenate([*found, near])
    _, first = np.unique(pool.genes, axis=0, return_index=True)
    return _rows(pool, np.sort(first))


def drawn(problem: Problem, n: int, rng: np.random.Generator) -> Genes:
    """n architectures drawn uniformly from the problem's axes, int16 [n, parameters]."""
    if problem.only is None:
        return problem.space.sample(n, rng)
    sizes = problem.axes.sizes
    return problem.axes.genes(rng.integers(0, sizes, size=(n, len(sizes))))


def _rows(found: Evaluation, rows: NDArray[np.intp]) -> Evaluation:
    costs = type(found.costs)(
        *(getattr(found.costs, name)[rows] for name in type(found.costs).__slots__)
    )
    return Evaluation(found.genes[rows], costs, found.score[rows], found.violations[rows])


def _fresh(pool: Evaluation, seen: set[bytes]) -> NDArray[np.bool_]:
    return np.array([row.tobytes() not in seen for row in pool.genes], dtype=bool)


def _points(problem: Problem, found: Evaluation, scale: Evaluation) -> Floats:
    """[n, parameters + 1]: genes in 0..1, and the logarithm of the latency in 0..1 over `scale`, which
    counts as much as all genes together: the front runs along it."""
    sizes = problem.space.active_sizes
    columns = np.flatnonzero(sizes > 1)
    genes: Genes = found.genes[:, columns]
    unit = genes / (sizes[columns] - 1) / np.sqrt(len(columns))
    low, high = np.log(scale.costs.latency_s.min()), np.log(scale.costs.latency_s.max())
    reach = (np.log(found.costs.latency_s) - low) / max(high - low, 1e-9)
    return np.column_stack([unit, reach])
