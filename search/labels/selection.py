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

from search.optimizer.sampler import children
from search.optimizer.study import finished_study
from search.problem.baseline import Baseline
from search.problem.problem import Evaluation, Floats, Problem, concatenate, nondominated

DRAWN, DRAWS, POOL = 50_000, 40, 2000  # rows a draw, draws at most, feasible rows that are enough
FRONT_TRIALS = 200
FRONT_POOL = 120  # of the trials, the layers nearest to the front
CANDIDATES = 10


def select_networks(problem: Problem, n: int, seed: int, base: Baseline | None) -> Evaluation:
    """n >= 1 different feasible architectures to label, fewer if there are no more.

    `problem` has the closed form as its score.
    """
    near = near_front(problem, seed)
    spread = spread_out(problem, near, seed)
    if not len(spread):  # it contains what is near the front
        return spread
    pools = [spread, near]
    points = [_points(problem, pool, spread) for pool in pools]
    rng = np.random.default_rng([seed, 1])
    selected: list[Evaluation] = []
    taken: list[Floats] = []
    seen: set[bytes] = set()
    if base is not None and base.found.feasible[0]:
        selected.append(base.found)
        taken.append(_points(problem, base.found, spread)[0])
        seen.add(base.found.genes.tobytes())
    turn = 0
    while len(selected) < n:
        fresh = [np.flatnonzero([g.tobytes() not in seen for g in pool.genes]) for pool in pools]
        if not any(map(len, fresh)):
            break
        which = turn if len(fresh[turn]) else 1 - turn
        turn = 1 - turn
        rows = rng.permutation(fresh[which])[:CANDIDATES]
        row = int(rows[0])
        if taken:
            apart = points[which][rows][:, None] - np.array(taken)
            row = int(rows[np.argmax(np.square(apart).sum(axis=2).min(axis=1))])
        selected.append(pools[which].take(np.array([row])))
        taken.append(points[which][row])
        seen.add(pools[which].genes[row].tobytes())
    return concatenate(selected)


def near_front(problem: Problem, seed: int) -> Evaluation:
    """Feasible trials of a short search with the closed form, those of the foremost layers."""
    found = finished_study(problem, FRONT_TRIALS, seed=seed).evaluated()
    left = np.flatnonzero(found.feasible)
    rows = left[:0]
    while len(left) and len(rows) < FRONT_POOL:
        layer = nondominated(found.score[left], found.costs.latency_s[left])
        rows = np.concatenate([rows, left[layer]])
        left = np.delete(left, layer)
    return found.take(rows)


def spread_out(problem: Problem, near: Evaluation, seed: int) -> Evaluation:
    """Feasible rows drawn uniformly, and `near`. A tight budget leaves next to none: then also
    relatives of the networks near the front."""
    rng = np.random.default_rng([seed, 2])
    found: list[Evaluation] = []
    for draw in range(DRAWS):
        if sum(map(len, found)) >= POOL:
            break
        if draw < DRAWS // 2:
            genes = problem.space.sample(DRAWN, rng)
        elif len(near):
            # Genes of active parameters are the axes' own numbers; the others are 0.
            sizes = problem.space.active_sizes.astype(np.int64)
            parents = np.concatenate([near.genes, *(each.genes for each in found)])
            genes = children(parents, sizes, DRAWN // 10, rng).astype(near.genes.dtype)
        else:
            break
        every = problem.evaluate_unchecked(genes)
        found.append(every.take(np.flatnonzero(every.feasible)))
    pool = concatenate([*found, near])
    _, first = np.unique(pool.genes, axis=0, return_index=True)
    return pool.take(np.sort(first))


def _points(problem: Problem, found: Evaluation, scale: Evaluation) -> Floats:
    """[n, parameters + 1]: genes in 0..1, and the logarithm of the latency in 0..1 over `scale`,
    which counts as much as all genes together: the front runs along it."""
    sizes = problem.space.active_sizes
    columns = np.flatnonzero(sizes > 1)
    unit = found.genes[:, columns] / (sizes[columns] - 1) / np.sqrt(len(columns))
    low, high = np.log(scale.costs.latency_s.min()), np.log(scale.costs.latency_s.max())
    reach = (np.log(found.costs.latency_s) - low) / max(high - low, 1e-9)
    return np.column_stack([unit, reach])
