from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, check_grad, milp, minimize

from search.optimizer.exact.descent import descend
from search.optimizer.exact.graph import ArcLayer, PathGraph
from search.optimizer.exact.labels import Labels, Steps, walk
from search.optimizer.exact.optimum import optimum
from search.optimizer.exact.pieces import pieces_of
from search.optimizer.exact.relaxation import Cut, Goal, Relaxation
from tests.helpers.exact import estimate_problem, every_network, rows_of, tiny_problem

NODES = (1, 3, 2, 4, 1)


def random_graph(seed: int) -> PathGraph:
    random = np.random.default_rng(seed)
    layers = []
    for starts, ends in itertools.pairwise(NODES):
        count = starts * ends * 2
        tail, head = np.arange(count) % starts, np.arange(count) // 2 % ends
        order = random.permutation(count)
        sums = random.normal(size=(3, count))
        layers.append(ArcLayer.of(tail[order], head[order], sums, starts, ends))
    return PathGraph(tuple(layers))


def every_path(graph: PathGraph) -> tuple[np.ndarray, np.ndarray]:
    """The sums [paths, attributes] and rows [paths, layers] of every path, by trying all."""
    sums, rows = [], []
    for arcs in rows_of([len(layer.tail) for layer in graph.layers]):
        node = 0
        for layer, arc in zip(graph.layers, arcs, strict=True):
            if layer.tail[arc] != node:
                break
            node = int(layer.head[arc])
        else:
            pairs = list(zip(graph.layers, arcs, strict=True))
            sums.append(sum(layer.sums[:, arc] for layer, arc in pairs))
            rows.append([layer.rows[arc] for layer, arc in pairs])
    return np.array(sums), np.array(rows)


@pytest.mark.parametrize("seed", range(3))
def test_a_graph_knows_its_paths(seed: int) -> None:
    graph, weights = random_graph(seed), np.array([1.0, -0.5, 2.0])
    sums, rows = every_path(graph)
    values = sums @ weights
    assert graph.paths() == len(sums)
    assert graph.highest(weights) == pytest.approx(values.max())
    value, own, path = graph.best(weights)
    assert value == pytest.approx(values.max())
    assert own == pytest.approx(sums[values.argmax()])
    assert path == rows[values.argmax()].tolist()
    soft, gradient = graph.softened(weights, 0.3)
    assert soft == pytest.approx(0.3 * np.log(np.exp(values / 0.3).sum()))
    shares = np.exp((values - soft) / 0.3)
    assert gradient == pytest.approx(shares @ sums)


@pytest.mark.parametrize("seed", range(3))
def test_arcs_above_a_value_are_those_of_its_paths(seed: int) -> None:
    graph, weights = random_graph(seed), np.array([1.0, -0.5, 2.0])
    sums, rows = every_path(graph)
    values = sums @ weights
    least = np.quantile(values, 0.97)
    kept = graph.above(weights, least)
    for layer, own in zip(kept.layers, rows[values >= least].T, strict=True):
        assert sorted(layer.rows) == sorted(set(own))
    assert graph.above(weights, values.max() + 1).arcs == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_walk_takes_every_path_above_all_cuts(seed: int) -> None:
    graph = random_graph(seed)
    cuts = [Cut(np.array([1.0, -0.5, 2.0]), 0.5), Cut(np.array([0.5, 0.5, 1.0]), 1.0)]
    sums, rows = every_path(graph)
    bounds = np.min([sums @ cut.weights + cut.constant for cut in cuts], axis=0)
    least = float(np.quantile(bounds, 0.9))
    seen: list[tuple[int, ...]] = []

    def finish(labels: Labels) -> float:
        seen.extend(map(tuple, labels.rows.tolist()))
        return -np.inf

    walked = walk(Steps(graph, cuts), least, finish, lambda: False)
    assert walked.bound == -np.inf
    assert sorted(seen) == sorted(map(tuple, rows[bounds >= least].tolist()))
    stopped = walk(Steps(graph, cuts), least, finish, lambda: False, most=1)
    assert bounds.max() <= stopped.bound + 1e-12 or stopped.labels <= 1


def test_descent_finds_what_scipy_finds() -> None:
    random = np.random.default_rng(0)
    root = random.normal(size=(6, 6))
    curvature, centre = root @ root.T + 0.1 * np.eye(6), random.normal(size=6)
    lowest = np.array([0, 0, 0, -np.inf, -np.inf, -np.inf])

    def function(at: np.ndarray) -> tuple[float, np.ndarray]:
        apart = at - centre
        return float(apart @ curvature @ apart) + 1, 2 * curvature @ apart

    found = descend(function, np.ones(6), lowest, lambda _: False)
    peer = minimize(function, np.ones(6), jac=True, bounds=[(low, None) for low in lowest])
    assert function(found)[0] == pytest.approx(peer.fun, rel=1e-5)
    assert (found >= lowest).all()
    assert descend(function, np.ones(6), lowest, lambda _: True).shape == (6,)


def test_a_cut_is_above_every_network_of_its_cell_and_has_its_gradient() -> None:
    problem = estimate_problem("arm", 1.5e8, 0.0)
    pieces = pieces_of(problem)
    genes = every_network(problem.space)[::7]
    rows = np.stack([lookup.index(genes) for lookup in pieces.lookups], axis=1)
    assert (pieces.genes(rows) == genes).all()
    sums = np.zeros((pieces.attributes, len(genes)))
    for layer, own in zip(pieces.graph.layers, rows.T, strict=True):
        sums += layer.sums[:, np.argsort(layer.rows)[own]]
    found = problem.evaluate(genes)
    worth = pieces.worth(sums)
    assert np.allclose([pieces.to_score(each) for each in worth[:50]], found.score[:50])
    variance = np.sqrt(sums[1] + np.square(sums[2 : pieces.scored]).sum(axis=0))
    columns = tuple(pieces.column(cost) for cost in pieces.limits)
    limits = np.array(list(pieces.limits.values()))
    random = np.random.default_rng(0)
    for goal in (
        Goal(pieces, True, columns, limits),
        Goal(pieces, False, columns, limits, float(np.median(worth))),
    ):
        inside = (goal.excess(sums) <= 0) & (variance >= 0.1) & (variance <= 0.4)
        assert inside.sum() > 100
        relaxation = Relaxation(goal, (0.1, 0.4))
        for _ in range(5):
            prices = goal.start()
            free = len(prices) - goal.tangents
            prices[:free] = random.uniform(0, 2, free)
            prices[free:] = random.normal(0, 0.1, goal.tangents)
            cut = relaxation.cut(prices)
            above = cut.weights @ sums + cut.constant
            assert (above[inside] >= goal.value(sums)[inside] - 1e-12).all()
            one = sums[:, 5]

            def value(at: np.ndarray, own: Relaxation = relaxation, x: np.ndarray = one) -> float:
                cut = own.cut(at)
                return float(cut.weights @ x) + cut.constant

            def slope(at: np.ndarray, own: Relaxation = relaxation, x: np.ndarray = one) -> object:
                return own.gradient(at, x)

            assert check_grad(value, slope, prices) < 1e-5


def test_descent_stops_where_there_is_no_lowest_value() -> None:
    def function(at: np.ndarray) -> tuple[float, np.ndarray]:
        return float(-at.sum()), -np.ones(3)

    found = descend(function, np.ones(3), np.zeros(3), lambda _: False)
    assert np.isfinite(found).all() and (found > 1e5).all()


def test_an_integer_program_agrees() -> None:
    """HiGHS, on one variable an arc."""
    problem = tiny_problem(11, 1.2e8, 3e6)
    pieces = pieces_of(problem)
    layers = pieces.graph.layers
    sums = np.concatenate([layer.sums for layer in layers], axis=1)
    count, offset, rows = sums.shape[1], 0, []
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        if offset == 0:
            first = np.zeros(count)
            first[: len(layer.tail)] = 1
            rows.append(first)
        for node in range(layer.ends if after else 0):
            flow = np.zeros(count)
            flow[offset : offset + len(layer.head)] = layer.head == node
            begin = offset + len(layer.head)
            flow[begin : begin + len(after.tail)] = -1.0 * (after.tail == node)
            rows.append(flow)
        offset += len(layer.head)
    right = np.array([1.0] + [0.0] * (len(rows) - 1))
    columns = [pieces.column(cost) for cost in pieces.limits]
    limits = LinearConstraint(sums[columns], -np.inf, np.array(list(pieces.limits.values())))
    peer = milp(
        -sums[0],
        constraints=[LinearConstraint(np.array(rows), right, right), limits],
        integrality=np.ones(count),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0},
    )
    best = optimum(problem, "score", seconds=60)
    assert best.proven and best.value == pytest.approx(-peer.fun, rel=1e-7)
