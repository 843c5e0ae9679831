"""How well does a predictor fitted on a few labels rank the networks it has not seen?

The first half of each table (`public_tables.halves`) served the design: the logarithm of the
error, trend and one-hot, the grids and the priors; that of once-for-all served nothing. Labels and
results are of the second half only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.benchmarks.public_tables import halves
from evaluator.benchmarks.ranking import DECILES, deciles, print_tables
from evaluator.predictor.columns import Columns
from evaluator.predictor.encoding import Encoding
from evaluator.predictor.model import LEAST_LABELS, Predictor
from evaluator.predictor.ridge import Ridge
from evaluator.predictor.tables import JudgedNetworks, read_judged, with_priors
from evaluator.score.closed_form import Floats
from space.common.cli import check_range, log
from space.common.errors import MissingDataError
from space.common.provenance import versions
from space.common.stats import mean_of, spearman

NINE_IN_TEN = 1.6449  # deviations either side that hold 90 % of a normal distribution
TEST_HALF = 1
MOST_DRAWS = (1, 10_000)
WITHOUT, WITH = "gp, genes + costs", "gp, genes + costs + prior"
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
{networks:,} networks that nothing was designed or fitted on. The prior is of the other sources"""
Results = dict[str, float | None]
"""Of one method in one draw, or on average: correlation or share by its key."""


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
        dataset: "nats-sss", "accel-nasbench" or "dynas-ofa".
        labels: how many labels a draw takes; each count is done. 0: what needs none.
        draws: with the seeds `seed` ... `seed + draws - 1`.
        data: the folder of tables; None: $G4NAS_DATA. Without the tables of the other sources
            there is no prior, and a line on stderr says so.

    Returns:
        dataset, half, networks, draws, seed, versions; rows: for each accuracy, count of labels
        and method the rank correlations on networks without label, or None; worth: for each
        accuracy and count, how many labels rank as well without the prior (`labels_worth`).

    Raises:
        ValueError: no table has this name; too few or too many labels, or no draw.
        MissingDataError: the folder or the table is missing.
    """
    check_range({"draws": draws, "seed": seed}, "seed", draws=MOST_DRAWS)
    judged = read_judged(dataset, data)
    size = len(next(iter(judged.values())))
    half = halves(size)[TEST_HALF]
    _check_counts(labels, len(half) - 3 * DECILES)
    try:
        judged = with_priors(judged, dataset, data)
    except MissingDataError as error:
        log(f"without a prior, which the other sources give: {error}")
    rows: list[dict[str, Any]] = []
    worth: list[dict[str, Any]] = []
    for target, every in judged.items():
        networks, first = every.take(half), len(rows)
        for count in sorted(set(labels)):
            seeds = range(seed, seed + draws) if count else range(seed, seed + 1)
            results = [_compare_methods(networks, count, draw) for draw in seeds]
            for method in results[0]:
                means = mean_results([result[method] for result in results])
                rows.append({"accuracy": target, "labels": count, "method": method, **means})
        found = labels_worth(rows[first:])
        worth += [{"accuracy": target, "labels": n, "worth": text} for n, text in found.items()]
    return {
        "dataset": dataset,
        "half": TEST_HALF,
        "networks": len(half),
        "draws": draws,
        "seed": seed,
        "versions": versions("numpy", "scipy", "pandas"),
        "rows": rows,
        "worth": worth,
    }


def _check_counts(labels: Sequence[int], most: int) -> None:
    if not labels or any(n and not LEAST_LABELS <= n <= most for n in labels):
        raise ValueError(
            f"--labels must be from {LEAST_LABELS} to {most}, or 0 for none; "
            f"got {','.join(map(str, labels))}"
        )


def _compare_methods(networks: JudgedNetworks, count: int, seed: int) -> dict[str, Results]:
    """Method -> its results in one draw of `count` labels."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(networks))
    labelled, unseen = networks.take(order[:count]), networks.take(np.sort(order[count:]))
    groups, true = deciles(unseen.flops), unseen.accuracy

    def ranks(values: Floats) -> Results:
        equal = mean_of(spearman(values[group], true[group]) for group in groups)
        return {"spearman": spearman(values, true), "spearman_equal_flops": equal}

    found = {}
    if unseen.closed_form is not None:
        found["closed form, no labels"] = ranks(unseen.closed_form)
    if unseen.prior is not None and unseen.features is not None:
        found["prior, no labels"] = ranks(unseen.prior.score(unseen.features))
    if not count:
        return found
    found["ridge, one-hot alone"] = ranks(_one_hot_ridge(labelled, unseen, rng))
    for name, regressor, names, known in _methods(networks):
        scores, other = ({n: each.scores[n] for n in names} for each in (labelled, unseen))
        prior: dict[str, Any] = {}
        features: dict[str, Any] = {}
        if known:
            prior = {"prior": labelled.prior, "features": labelled.features}
            features = {"features": unseen.features}
        predictor = Predictor.fit(
            networks.space,
            labelled.genes,
            labelled.accuracy,
            scores=scores,
            regressor=regressor,
            seed=seed,
            **prior,
        )
        results = ranks(predictor.predict(unseen.genes, other, **features))
        results["cross_validated"] = predictor.cross_validated
        if regressor == "gp":
            _, low, high = predictor.predict_interval(
                unseen.genes, other, **features, deviations=NINE_IN_TEN
            )
            results["within_90"] = float(((low <= true) & (true <= high)).mean())
        found[name] = results
    return found


def _methods(networks: JudgedNetworks) -> list[tuple[str, str, list[str], bool]]:
    """(name, regressor, scores, with the prior) of each."""
    costs, every = list(networks.costs), list(networks.scores)
    found = [("ridge, genes + costs", "ridge", costs, False), (WITHOUT, "gp", costs, False)]
    if networks.closed_form is not None:
        found.insert(1, ("gp, genes", "gp", [], False))
        found.append(("gp, genes + costs + closed form", "gp", every, False))
    if networks.prior is not None:
        found.append((WITH, "gp", costs, True))
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


def labels_worth(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Labels with the prior -> how many without it rank as well at equal FLOPs, by a line through
    the two nearest counts, in the logarithm of the labels; "< N" or "> N" beyond all counts."""
    without, with_prior = (
        {
            row["labels"]: row["spearman_equal_flops"]
            for row in rows
            if row["method"] == method and row["spearman_equal_flops"] is not None
        }
        for method in (WITHOUT, WITH)
    )
    counts, found = sorted(without), {}
    for labels, rank in with_prior.items() if counts else ():
        above = next((index for index, n in enumerate(counts) if without[n] >= rank), None)
        if above is None:
            found[labels] = f"> {counts[-1]}"
        elif above == 0:
            found[labels] = f"< {counts[0]}" if without[counts[0]] > rank else f"{counts[0]}"
        else:
            low, high = counts[above - 1], counts[above]
            share = (rank - without[low]) / (without[high] - without[low])
            found[labels] = f"{low * (high / low) ** share:.0f}"
    return found


def _one_hot_ridge(
    labelled: JudgedNetworks, unseen: JudgedNetworks, rng: np.random.Generator
) -> Floats:
    """The plain reference: no order among choices, no score, accuracy itself."""
    hots = (Encoding.of(each.space, {}).hot(each.genes) for each in (labelled, unseen))
    known, rest = (Columns(hot[:, :0], hot) for hot in hots)
    labels = known, labelled.accuracy
    return Ridge.fit(Ridge.choose(*labels, rng), *labels).mean(rest)


def print_report(report: Mapping[str, Any]) -> None:
    """Print what `benchmark_predictor` returns: a table for each accuracy and count of labels, and
    what the prior is worth."""
    rows = [
        {**row, "within_90": f"{row['within_90']:.0%}"} if "within_90" in row else row
        for row in report["rows"]
    ]
    title = "{dataset}, {accuracy}, {labels} labels"
    caption = CAPTION.format(**report, last=report["seed"] + report["draws"] - 1)
    print_tables({**report, "rows": rows}, title, COLUMNS, caption)
    for target, each in itertools.groupby(report["worth"], key=lambda row: row["accuracy"]):
        words = ", ".join(f"{row['labels']} as {row['worth']}" for row in each)
        print(f"{target}: labels with the prior rank, at equal FLOPs, as without it: {words}")
