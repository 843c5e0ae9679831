"""How well does a predictor fitted on a few labels rank the networks it has not seen?

The first half of each table (`public_tables.halves`) served the design: the logarithm of the
error, trend and one-hot, the grids and the prior. Results are of the second half only: each draw
takes its labels from it and compares predictions with accuracies on the rest of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks.candidate_scores import closed_form
from evaluator.benchmarks.public_tables import BenchmarkTable, halves, read_table
from evaluator.benchmarks.ranking import DECILES, deciles
from evaluator.benchmarks.run import print_tables
from evaluator.predictor.encoding import Encoding, Floats, Scores
from evaluator.predictor.model import LEAST_LABELS, Predictor
from evaluator.predictor.ridge import Ridge
from evaluator.score.genes import FREE_SCORES, name_free_scores
from space.architectures.search_space import Parameter, SearchSpace
from space.common.provenance import versions
from space.common.stats import mean_of, spearman

METHODS = {
    "ridge, genes": ("ridge", ()),
    "ridge, genes + scores": ("ridge", FREE_SCORES),
    "gp, genes": ("gp", ()),
    "gp, genes + scores": ("gp", FREE_SCORES),
}
NO_LABELS, ONE_HOT = "closed form, no labels", "ridge, one-hot alone"
NINE_IN_TEN = 1.6449  # deviations either side that hold 90 % of a normal distribution
TEST_HALF = 1
COLUMNS = {
    "method": "method",
    "spearman": "rho",
    "spread": "+-",
    "worst": "worst",
    "spearman_equal_flops": "rho eq",
    "cross_validated": "cv",
    "within_90": "in 90 %",
}
Results = dict[str, float | None]
"""Of one method in one draw, or on average: correlation or share by its key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Networks:
    """The n networks of a benchmark: genes int [n, slots], scores name -> [n], accuracy in % and
    FLOPs [n]."""

    space: SearchSpace
    genes: NDArray[np.int64]
    scores: Scores
    accuracy: Floats
    flops: Floats


def as_space(table: BenchmarkTable) -> tuple[SearchSpace, NDArray[np.int64]]:
    """What a table varies as a space, and its networks as genes int [n, slots]."""
    slots, genes = [], []
    varied = (("width", table.widths), ("depth", table.depths), ("expansion", table.splits))
    for name, values in (*varied, ("kernel", table.kernels), ("se", table.se)):
        for stage in range(values.shape[1]):
            choices, index = np.unique(values[:, stage], return_inverse=True)
            if len(choices) > 1:
                numbers = tuple(int(choice) for choice in choices)
                slots.append(Parameter(f"{name}{stage + 1}", numbers, len(numbers)))
                genes.append(index)
    return SearchSpace(table.name, tuple(slots)), np.column_stack(genes)


def benchmark_predictor(
    dataset: str,
    labels: Sequence[int],
    *,
    draws: int = 20,
    seed: int = 0,
    data: str | Path | None = None,
    half: int = TEST_HALF,
) -> dict[str, Any]:
    """Every method on every accuracy of a public table.

    Args:
        dataset: "nats-sss" or "accel-nasbench".
        labels: how many labels a draw takes; each count is done.
        draws: with the seeds `seed` ... `seed + draws - 1`.
        data: the folder of tables; None: $G4NAS_DATA.

    Returns:
        dataset, half, networks, draws, seed, versions, and rows: for each accuracy, count of
        labels and method the rank correlations on networks that were not labelled. A correlation
        is None where no draw has one.

    Raises:
        ValueError: no table has this name; too few or too many labels, or no draw.
        MissingDataError: the folder or the table is missing.
    """
    table = read_table(dataset, data)
    rows = halves(len(table.flops))[half]
    most = len(rows) - 3 * DECILES
    if not labels or min(labels) < LEAST_LABELS or max(labels) > most or draws < 1:
        raise ValueError(
            f"--labels takes {LEAST_LABELS} to {most} and --draws at least 1; "
            f"got {','.join(map(str, labels))} and {draws}"
        )
    space, genes = as_space(table)
    scores = name_free_scores(closed_form(table), table.flops, table.params)
    found = []
    for target, accuracy in table.accuracy.items():
        networks = _Networks(
            space=space,
            genes=genes[rows],
            scores=_rows(scores, rows),
            accuracy=accuracy[rows],
            flops=table.flops[rows],
        )
        for count in labels:
            each = [_compare_methods(networks, count, draw) for draw in range(seed, seed + draws)]
            for method in each[0]:
                means = mean_results([results[method] for results in each])
                found.append({"accuracy": target, "labels": count, "method": method, **means})
    return {
        "dataset": dataset,
        "half": half,
        "networks": len(rows),
        "draws": draws,
        "seed": seed,
        "versions": versions("numpy", "scipy", "pandas"),
        "rows": found,
    }


def _compare_methods(networks: _Networks, count: int, seed: int) -> dict[str, Results]:
    """Method -> its results in one draw of `count` labels."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(networks.genes))
    labelled, rest = order[:count], np.sort(order[count:])
    groups, true = deciles(networks.flops[rest]), networks.accuracy[rest]

    def ranks(values: Floats) -> Results:
        equal = mean_of(spearman(values[group], true[group]) for group in groups)
        return {"spearman": spearman(values, true), "spearman_equal_flops": equal}

    found = {
        NO_LABELS: ranks(networks.scores["closed form"][rest]),
        ONE_HOT: ranks(_one_hot_ridge(networks, labelled, rest, rng)),
    }
    for method, (regressor, names) in METHODS.items():
        scores = {name: networks.scores[name] for name in names}
        predictor = Predictor.fit(
            networks.space,
            networks.genes[labelled],
            networks.accuracy[labelled],
            scores=_rows(scores, labelled),
            regressor=regressor,
            seed=seed,
        )
        unseen = networks.genes[rest], _rows(scores, rest)
        validated: Results = {"cross_validated": predictor.cross_validated}
        if regressor == "gp":
            mean, low, high = predictor.predict_interval(*unseen, deviations=NINE_IN_TEN)
            inside = float(((low <= true) & (true <= high)).mean())
            found[method] = {**ranks(mean), **validated, "within_90": inside}
        else:
            found[method] = {**ranks(predictor.predict(*unseen)), **validated}
    return found


def _rows(scores: Scores, rows: NDArray[np.intp]) -> Scores:
    return {name: values[rows] for name, values in scores.items()}


def mean_results(draws: Sequence[Results]) -> Results:
    """The mean over the draws that have a value, and the spread of the rank correlation."""
    rho = [draw["spearman"] for draw in draws if draw["spearman"] is not None]
    means = {name: mean_of(draw[name] for draw in draws) for name in draws[0]}
    return {
        "spearman": means.pop("spearman"),
        "spread": float(np.std(rho)) if rho else None,
        "worst": min(rho, default=None),
        **means,
    }


def _one_hot_ridge(
    networks: _Networks,
    labelled: NDArray[np.intp],
    rest: NDArray[np.intp],
    rng: np.random.Generator,
) -> Floats:
    """The plain reference: no order among choices, no score, accuracy itself."""
    hot = Encoding.of(networks.space, {}).hot(networks.genes)
    trend = np.zeros((len(hot), 0))
    labels = trend[labelled], hot[labelled], networks.accuracy[labelled]
    model = Ridge.fit(Ridge.choose(*labels, rng), *labels)
    return model.mean(trend[rest], hot[rest])


def print_report(report: Mapping[str, Any]) -> None:
    """Print what `benchmark_predictor` returns: a table for each accuracy and count of labels."""
    rows = [
        {
            **dict.fromkeys(COLUMNS, ""),
            **row,
            "within_90": f"{row['within_90']:.0%}" if "within_90" in row else "",
        }
        for row in report["rows"]
    ]
    last = report["seed"] + report["draws"] - 1
    print_tables(
        rows,
        lambda row: f"{report['dataset']}, {row['accuracy']}, {row['labels']} labels",
        COLUMNS,
        "rho: Spearman on the networks not labelled, +- its deviation over draws "
        f"{report['seed']} to {last};\n"
        "eq: mean over ten deciles of FLOPs; cv: cross-validated on the labels alone;\n"
        "in 90 %: true accuracies inside the 90 % interval. Of half the table:\n"
        f"{report['networks']:,} networks that nothing was designed or fitted on",
    )
