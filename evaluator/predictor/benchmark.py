"""How well does a predictor fitted on a few labels rank the networks it has not seen?

Designed on the first half of each table (`trained.halves`): the logarithm of the error, trend and
one-hot, the grids and the prior. Judged on the second half alone: each draw takes its labels from
there and is judged on the rest of it.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks import public_tables as trained
from evaluator.benchmarks import ranking
from evaluator.benchmarks.candidate_scores import formulas
from evaluator.predictor.encoding import Floats, Scores
from evaluator.predictor.model import LEAST_LABELS, Predictor
from evaluator.predictor.ridge import Ridge
from evaluator.score.genes import FREE_SCORES
from space.architectures.search_space import Parameter, SearchSpace

METHODS = {
    "ridge, genes": ("ridge", ()),
    "ridge, genes + scores": ("ridge", FREE_SCORES),
    "gp, genes": ("gp", ()),
    "gp, genes + scores": ("gp", FREE_SCORES),
}
NO_LABELS, ONE_HOT = "closed form, no labels", "ridge, one-hot alone"
NINE_IN_TEN = 1.6449  # deviations either side that hold 90 % of a normal distribution
JUDGED_HALF = 1


def as_slots(table: trained.Trained) -> tuple[SearchSpace, NDArray[np.int64]]:
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


def table_scores(table: trained.Trained) -> dict[str, Floats]:
    """Training-free scores of every network that need no forward pass."""
    closed = formulas(table)["closed form"]
    found = (closed, np.log(table.flops), np.log(table.params))
    return dict(zip(FREE_SCORES, found, strict=True))


def benchmark_predictor(
    dataset: str,
    labels: Sequence[int],
    *,
    draws: int = 20,
    seed: int = 0,
    data: str | None = None,
    half: int = JUDGED_HALF,
) -> dict[str, Any]:
    """Every method on every accuracy of `dataset`, with seeds `seed` ... `seed + draws - 1`."""
    table = trained.TABLES[dataset](data)
    rows = trained.halves(len(table.flops))[half]
    most = len(rows) - 3 * ranking.DECILES
    if not labels or min(labels) < LEAST_LABELS or max(labels) > most or draws < 1:
        raise ValueError(
            f"--labels takes {LEAST_LABELS} to {most} and --draws at least 1; "
            f"got {','.join(map(str, labels))} and {draws}"
        )
    space, genes = as_slots(table)
    genes = genes[rows]
    scores = {name: values[rows] for name, values in table_scores(table).items()}
    found = []
    for target, accuracy in table.accuracy.items():
        for count in labels:
            found += _judge_draws(
                space, genes, scores, accuracy[rows], table.flops[rows], count, draws, seed, target
            )
    return {
        "dataset": dataset,
        "half": half,
        "networks": len(rows),
        "draws": draws,
        "seed": seed,
        "versions": _versions(),
        "rows": found,
    }


def _judge_draws(
    space: SearchSpace,
    genes: NDArray[np.int64],
    scores: Scores,
    accuracy: Floats,
    flops: Floats,
    count: int,
    draws: int,
    seed: int,
    target: str,
) -> list[dict[str, Any]]:
    each: dict[str, list[tuple[float, ...]]] = {}
    for draw in range(seed, seed + draws):
        rng = np.random.default_rng(draw)
        order = rng.permutation(len(genes))
        known, rest = order[:count], np.sort(order[count:])
        groups = ranking.deciles(flops[rest])

        def add(
            method: str,
            values: Floats,
            *more: float,
            rest: NDArray[np.intp] = rest,
            groups: list[NDArray[np.intp]] = groups,
        ) -> None:
            true = accuracy[rest]
            equal = np.mean([spearman(values[g], true[g]) for g in groups])
            each.setdefault(method, []).append((spearman(values, true), float(equal), *more))

        add(NO_LABELS, scores["closed form"][rest])
        add(ONE_HOT, _one_hot_ridge(space, genes, accuracy, known, rest, rng))
        for method, (engine, names) in METHODS.items():
            own = {name: scores[name] for name in names}
            predictor = Predictor.fit(
                space,
                genes[known],
                accuracy[known],
                scores={name: values[known] for name, values in own.items()},
                engine=engine,
                seed=draw,
            )
            others = {name: values[rest] for name, values in own.items()}
            validated = predictor.cross_validated or 0.0
            if engine == "gp":
                mean, low, high = predictor.predict_interval(
                    genes[rest], others, deviations=NINE_IN_TEN
                )
                inside = (low <= accuracy[rest]) & (accuracy[rest] <= high)
                add(method, mean, validated, float(inside.mean()))
            else:
                add(method, predictor.predict(genes[rest], others), validated)
    return [
        {"accuracy": target, "labels": count, "method": method, **_summary(values)}
        for method, values in each.items()
    ]


def _summary(values: list[tuple[float, ...]]) -> dict[str, float]:
    table = np.array(values)
    found = {
        "spearman": float(table[:, 0].mean()),
        "spread": float(table[:, 0].std()),
        "worst": float(table[:, 0].min()),
        "spearman_equal_flops": float(table[:, 1].mean()),
    }
    for index, name in enumerate(("cross_validated", "within_90"), 2):
        if table.shape[1] > index:
            found[name] = float(table[:, index].mean())
    return found


def _one_hot_ridge(
    space: SearchSpace,
    genes: NDArray[np.int64],
    accuracy: Floats,
    known: NDArray[np.intp],
    rest: NDArray[np.intp],
    rng: np.random.Generator,
) -> Floats:
    """The plain reference: no order among choices, no score, accuracy itself."""
    blocks = [
        (genes[:, column, None] == np.arange(slot.open_choices)).astype(float)
        for column, slot in enumerate(space.slots)
    ]
    hot, none = np.concatenate(blocks, axis=1), np.zeros((len(genes), 0))
    kept = none[known], hot[known], accuracy[known]
    model = Ridge.fit(Ridge.choose(*kept, rng), *kept)
    return model.mean(none[rest], hot[rest])


def spearman(a: Floats, b: Floats) -> float:
    from scipy import stats

    return float(stats.spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("numpy", "scipy", "pandas")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def print_report(report: dict[str, Any]) -> None:
    """A table per accuracy and count of labels."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in report["rows"]:
        groups.setdefault((row["accuracy"], row["labels"]), []).append(row)
    columns = ("spearman", "spread", "worst", "spearman_equal_flops", "cross_validated")
    for (target, count), rows in groups.items():
        table = Table(title=f"{report['dataset']}, {target}, {count} labels")
        for index, heading in enumerate(
            ("method", "rho", "+-", "worst", "rho eq", "cv", "in 90 %")
        ):
            table.add_column(heading, justify="right" if index else "left")
        for row in rows:
            cells = [f"{row[name]:.3f}" if name in row else "" for name in columns]
            inside = f"{row['within_90']:.0%}" if "within_90" in row else ""
            table.add_row(row["method"], *cells, inside)
        console.print(table)
    last = report["seed"] + report["draws"] - 1
    console.print(
        "rho: Spearman on the networks not labelled, +- its deviation over draws "
        f"{report['seed']} to {last};\n"
        "eq: mean over ten deciles of FLOPs; cv: cross-validated on the labels alone;\n"
        "in 90 %: true accuracies inside the 90 % interval. Of half the table:\n"
        f"{report['networks']:,} networks that nothing was designed or fitted on",
        highlight=False,
    )
