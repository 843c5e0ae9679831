"""How well each score ranks the random networks of the measured benchmark, at equal FLOPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks.public_tables import BenchmarkTable
from evaluator.benchmarks.ranking import formulas
from evaluator.measured_benchmark.analysis import MeasuredNetwork, random_bands, rank_correlation
from evaluator.predictor.model import LEAST_LABELS, Predictor
from evaluator.predictor.ridge import folds
from evaluator.score.genes import free_scores, score_genes
from space.architectures.shufflenet_v2 import STAGES, ShuffleNetV2Space
from space.common.stats import mean_of
from space.network.network import Network

Floats = NDArray[np.float64]
PREDICTOR = "predictor, networks left out"


def measured_table(space: ShuffleNetV2Space, members: Sequence[MeasuredNetwork]) -> BenchmarkTable:
    """The random networks in the shape that the scores of `evaluator.benchmarks.ranking`
    take."""
    archs = [space.parse(each.row.architecture) for each in members]

    def column(name: str) -> Any:
        values = [[space.value(arch, f"{name}{stage}") for stage in STAGES] for arch in archs]
        return np.array([[float(v) for v in row] for row in values])

    lowered = [_layers(space.lower(arch)) for arch in archs]
    return BenchmarkTable(
        name="measured",
        widths=column("width").astype(np.int64),
        depths=column("depth").astype(np.int64),
        splits=column("split"),
        kernels=column("kernel").astype(np.int64),
        se=np.zeros((len(archs), len(STAGES)), dtype=np.int64),
        levels=np.arange(len(STAGES), dtype=float),
        flops=np.array([each.row.flops for each in members], dtype=float),
        params=np.array([each.row.params for each in members], dtype=float),
        accuracy={"CIFAR-10": np.array([each.accuracy for each in members])},
        log_width_layers=np.array([widths for widths, _ in lowered]),
        fan_in_layers=np.array([fan_in for _, fan_in in lowered]),
    )


def _layers(network: Network) -> tuple[float, Floats]:
    """(sum of log output widths, [stages] sums of log fan-in) over the convolutions of stages."""
    widths, fan_in, stage = 0.0, np.zeros(len(STAGES)), -1
    for block in network.blocks:
        if block.kind != "shufflenet_v2":
            continue
        stage += block["stride"] == 2
        for op in block.ops:
            if op.kind in ("conv", "dwconv"):
                each = 1 if op.kind == "dwconv" else op.c_in // op.groups
                widths += float(np.log(op.c_out))
                fan_in[stage] += np.log(each * op.kernel**2)
    return widths, fan_in


def score_correlations(
    found: dict[str, MeasuredNetwork],
    long: Mapping[str, MeasuredNetwork] | None = None,
) -> list[dict[str, Any]]:
    """Rank correlation of each score with accuracy, in each band and over all, best first; and
    with accuracy after the long trainings, of one band, as "long"."""
    space, by_band = ShuffleNetV2Space(), random_bands(found)
    members = [each for group in by_band.values() for each in group]
    if not members:
        return []
    table = measured_table(space, members)
    genes = np.array([space.parse(each.row.architecture).genes for each in members])
    every = {**formulas(table), "closed form with stem and head": score_genes(space, genes)}
    predictions = predicted(space, genes, members)
    if predictions is not None:
        every[PREDICTOR] = predictions
    accuracy, groups = table.accuracy["CIFAR-10"], np.array([m.row.group for m in members])
    longer = [i for i, each in enumerate(members) if each.row.name in (long or {})]
    after = [(long or {})[members[i].row.name].accuracy for i in longer]
    rows = []
    for name, score in every.items():
        each = {
            band: rank_correlation(score[groups == band], accuracy[groups == band])
            for band in by_band
        }
        rows.append(
            {
                "score": name,
                **each,
                "equal_flops": mean_of(each.values()),
                "overall": rank_correlation(score, accuracy),
                "long": rank_correlation(score[longer], after),
            }
        )
    return sorted(rows, key=lambda row: -(row["equal_flops"] or -2.0))


def predicted(
    space: ShuffleNetV2Space, genes: NDArray[np.integer], members: Sequence[MeasuredNetwork]
) -> Floats | None:
    """[n]: each network's accuracy in percent, by a predictor fitted on the validation accuracies
    of four fifths of the networks, the other ones; None if there are too few."""
    known = np.array([each.validation for each in members])
    if len(members) * 4 // 5 < LEAST_LABELS or not np.ptp(known) > 0:  # nor NaN
        return None
    flops = np.array([each.row.flops_224 for each in members], dtype=float)
    params = np.array([space.lower(space.architecture(row)).params for row in genes], dtype=float)
    free = free_scores(space, genes, flops, params)
    found = np.empty(len(members))
    fold = folds(len(members), np.random.default_rng(0))
    for held in range(int(fold.max()) + 1):
        out = fold == held
        fitted, tested = ({k: v[rows] for k, v in free.items()} for rows in (~out, out))
        predictor = Predictor.fit(space, genes[~out], known[~out], scores=fitted, validate=False)
        found[out] = predictor.predict(genes[out], tested)
    return found
