"""How well does a predictor fitted on a few labels rank the networks it has not seen?

The first half of each table (`public_tables.halves`) served the design: the logarithm of the
error, trend and one-hot, the grids and the prior. Labels and results are of the second half only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks.public_tables import BenchmarkTable, halves, read_table
from evaluator.benchmarks.ranking import DECILES, closed_form, deciles, print_tables
from evaluator.predictor.columns import Columns
from evaluator.predictor.encoding import Encoding, Scores
from evaluator.predictor.model import LEAST_LABELS, Predictor
from evaluator.predictor.ridge import Ridge
from evaluator.score.closed_form import ClosedForm, Floats
from space.architectures.search_space import Parameter, SearchSpace
from space.common.cli import check_range
from space.common.provenance import versions
from space.common.stats import mean_of, spearman

NINE_IN_TEN = 1.6449  # deviations either side that hold 90 % of a normal distribution
TEST_HALF = 1
MOST_DRAWS = (1, 10_000)
COLUMNS = {
    "method": "method",
    "spearman": "rho",
    "spread": "+-",
    "worst": "worst",
    "spearman_equal_flops": "rho eq",
    "cross_validated": "cv",
    "within_90": "in 90 %",
}
CAPTION = """\
rho: Spearman on the networks not labelled, +- its deviation over draws {seed} to {last};
eq: mean over ten deciles of FLOPs; cv: cross-validated on the labels alone;
in 90 %: true accuracies inside the 90 % interval. Of half the table:
{networks:,} networks that nothing was designed or fitted on"""
Results = dict[str, float | None]
"""Of one method in one draw, or on average: correlation or share by its key."""


@dataclass(frozen=True, slots=True)
class _Networks:
    """n networks: genes int [n, parameters], scores name -> [n], accuracy in % [n], FLOPs [n]."""

    genes: NDArray[np.int64]
    scores: Scores
    accuracy: Floats
    flops: Floats

    def take(self, rows: NDArray[np.intp]) -> _Networks:
        scores = {name: values[rows] for name, values in self.scores.items()}
        return _Networks(self.genes[rows], scores, self.accuracy[rows], self.flops[rows])


def as_space(table: BenchmarkTable) -> tuple[SearchSpace, NDArray[np.int64]]:
    """What a table varies as a space, and its networks as genes int [n, parameters]."""
    parameters, genes = [], []
    varied = {"width": table.widths, "depth": table.depths, "expansion": table.splits}
    for name, values in {**varied, "kernel": table.kernels, "se": table.se}.items():
        for stage, column in enumerate(values.T, 1):
            choices, index = np.unique(column, return_inverse=True)
            if len(choices) > 1:
                parameters.append(
                    Parameter(f"{name}{stage}", tuple(choices.tolist()), len(choices))
                )
                genes.append(index)
    return SearchSpace(table.name, tuple(parameters)), np.column_stack(genes)


def benchmark_predictor(
    dataset: str,
    labels: Sequence[int],
    *,
    draws: int = 20,
    seed: int = 0,
    data: str | Path | None = None,
) -> dict[str, Any]:
    """Every method on every accuracy of a public table.

    Args:
        dataset: "nats-sss" or "accel-nasbench".
        labels: how many labels a draw takes; each count is done.
        draws: with the seeds `seed` ... `seed + draws - 1`.
        data: the folder of tables; None: $G4NAS_DATA.

    Returns:
        dataset, half, networks, draws, seed, versions, and rows: for each accuracy, count of
        labels and method the rank correlations on networks without label, or None.

    Raises:
        ValueError: no table has this name; too few or too many labels, or no draw.
        MissingDataError: the folder or the table is missing.
    """
    check_range({"draws": draws, "seed": seed}, "seed", draws=MOST_DRAWS)
    table = read_table(dataset, data)
    half = halves(len(table.flops))[TEST_HALF]
    most = len(half) - 3 * DECILES
    if not labels or min(labels) < LEAST_LABELS or max(labels) > most:
        raise ValueError(
            f"--labels must be from {LEAST_LABELS} to {most}; got {','.join(map(str, labels))}"
        )
    space, genes = as_space(table)
    scores = {
        "closed form": closed_form(table, ClosedForm()),
        "log FLOPs": np.log(table.flops),
        "log params": np.log(table.params),
    }
    rows = []
    for (target, accuracy), count in itertools.product(table.accuracy.items(), labels):
        networks = _Networks(genes, scores, accuracy, table.flops).take(half)
        seeds = range(seed, seed + draws)
        results = [_compare_methods(space, networks, count, draw) for draw in seeds]
        for method in results[0]:
            means = mean_results([result[method] for result in results])
            rows.append({"accuracy": target, "labels": count, "method": method, **means})
    return {
        "dataset": dataset,
        "half": TEST_HALF,
        "networks": len(half),
        "draws": draws,
        "seed": seed,
        "versions": versions("numpy", "scipy", "pandas"),
        "rows": rows,
    }


def _compare_methods(
    space: SearchSpace, networks: _Networks, count: int, seed: int
) -> dict[str, Results]:
    """Method -> its results in one draw of `count` labels."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(networks.genes))
    labelled, unseen = networks.take(order[:count]), networks.take(np.sort(order[count:]))
    groups, true = deciles(unseen.flops), unseen.accuracy

    def ranks(values: Floats) -> Results:
        equal = mean_of(spearman(values[group], true[group]) for group in groups)
        return {"spearman": spearman(values, true), "spearman_equal_flops": equal}

    found = {
        "closed form, no labels": ranks(unseen.scores["closed form"]),
        "ridge, one-hot alone": ranks(_one_hot_ridge(space, labelled, unseen, rng)),
    }
    for regressor, with_scores in itertools.product(("ridge", "gp"), (False, True)):
        known, other = (each.scores if with_scores else {} for each in (labelled, unseen))
        labels, inputs = (labelled.genes, labelled.accuracy), (unseen.genes, other)
        predictor = Predictor.fit(space, *labels, scores=known, regressor=regressor, seed=seed)
        results = ranks(predictor.predict(*inputs))
        results["cross_validated"] = predictor.cross_validated
        if regressor == "gp":
            _, low, high = predictor.predict_interval(*inputs, deviations=NINE_IN_TEN)
            results["within_90"] = float(((low <= true) & (true <= high)).mean())
        found[f"{regressor}, genes{' + scores' if with_scores else ''}"] = results
    return found


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
    space: SearchSpace, labelled: _Networks, unseen: _Networks, rng: np.random.Generator
) -> Floats:
    """The plain reference: no order among choices, no score, accuracy itself."""
    hots = (Encoding.of(space, {}).hot(each.genes) for each in (labelled, unseen))
    known, rest = (Columns(hot[:, :0], hot) for hot in hots)
    labels = known, labelled.accuracy
    return Ridge.fit(Ridge.choose(*labels, rng), *labels).mean(rest)


def print_report(report: Mapping[str, Any]) -> None:
    """Print what `benchmark_predictor` returns: a table for each accuracy and count of labels."""
    rows = [
        {**row, "within_90": f"{row['within_90']:.0%}"} if "within_90" in row else row
        for row in report["rows"]
    ]
    title = "{dataset}, {accuracy}, {labels} labels"
    caption = CAPTION.format(**report, last=report["seed"] + report["draws"] - 1)
    print_tables({**report, "rows": rows}, title, COLUMNS, caption)
