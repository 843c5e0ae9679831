"""What follows from the rows of the measured benchmark: noise, axes, the paper's own choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.measured_benchmark.plan import USUAL_DEPTHS, USUAL_GROWTH, USUAL_SPLIT
from evaluator.measured_benchmark.rows import TrainingRow
from space.architectures.search_space import Architecture
from space.architectures.shufflenet_v2 import STAGES, ShuffleNetV2Space
from space.common.stats import mean_of, spearman

Floats = NDArray[np.float64]
Values = Sequence[float] | Floats
FEWEST = 5  # values for a rank correlation
BASELINE = "ShuffleNet v2 0.5x"


@dataclass(frozen=True, slots=True)
class MeasuredNetwork:
    """A network of the benchmark: accuracies in percent on the test images, by seed, and the mean
    accuracy on the validation images."""

    row: TrainingRow
    accuracies: tuple[float, ...]
    validation: float

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.accuracies))


def by_network(rows: Iterable[TrainingRow], recipe: str = "short") -> dict[str, MeasuredNetwork]:
    """The trainings by one recipe, by name of the network."""
    found: dict[str, list[TrainingRow]] = {}
    for row in rows:
        if row.recipe == recipe:
            found.setdefault(row.name, []).append(row)
    return {
        name: MeasuredNetwork(
            each[0],
            tuple(r.accuracy for r in sorted(each, key=lambda r: r.seed)),
            float(np.mean([r.validation for r in each])),
        )
        for name, each in found.items()
    }


def random_bands(found: dict[str, MeasuredNetwork]) -> dict[str, list[MeasuredNetwork]]:
    """The random networks, by band of FLOPs."""
    result: dict[str, list[MeasuredNetwork]] = {}
    for each in found.values():
        if each.row.group.startswith("band"):
            result.setdefault(each.row.group, []).append(each)
    return dict(sorted(result.items()))


def rank_correlation(a: Values, b: Values) -> float | None:
    """Spearman's rank correlation; None for fewer than `FEWEST` values or a constant column."""
    return spearman(a, b) if len(a) >= FEWEST else None


def noise(found: dict[str, MeasuredNetwork]) -> dict[str, Any]:
    """One seed against another: how well a perfect score could rank single trainings.

    "deviation": of one training, in points of accuracy, from the differences of pairs.
    """
    by_band: dict[str, float | None] = {}
    pairs: list[tuple[float, float]] = []
    for name, members in random_bands(found).items():
        two = [m.accuracies[:2] for m in members if len(m.accuracies) > 1]
        by_band[name] = rank_correlation([a for a, _ in two], [b for _, b in two])
    for each in found.values():
        if len(each.accuracies) > 1:
            pairs.append((each.accuracies[0], each.accuracies[1]))
    gaps = np.array([a - b for a, b in pairs])
    return {
        "pairs": len(pairs),
        "deviation": float(np.sqrt(np.mean(gaps**2) / 2)) if len(gaps) else None,
        "spearman_by_band": by_band,
        "spearman_equal_flops": mean_of(by_band.values()),
        "spearman": rank_correlation([a for a, _ in pairs], [b for _, b in pairs]),
    }


def short_and_long(rows: Sequence[TrainingRow]) -> dict[str, Any]:
    """How well the short recipe ranks networks as the long one does, on one band, by one seed."""
    short = {row.name: row.accuracy for row in rows if row.recipe == "short" and row.seed == 0}
    long = {row.name: row.accuracy for row in rows if row.recipe == "long" and row.seed == 0}
    both = [(short[name], accuracy) for name, accuracy in long.items() if name in short]
    return {
        "networks": len(both),
        "spearman": rank_correlation([a for a, _ in both], [b for _, b in both]),
        "gain": float(np.mean([b - a for a, b in both])) if both else None,
    }


def axis_correlations(
    found: dict[str, MeasuredNetwork], long: Mapping[str, MeasuredNetwork] | None = None
) -> list[dict[str, Any]]:
    """Rank correlation of single axes with accuracy, as the mean over bands of equal FLOPs; and
    with accuracy after the long trainings, of one band, as "long"."""
    space = ShuffleNetV2Space()

    def value(arch: Architecture, name: str, stage: int) -> float:
        return float(space.value(arch, f"{name}{stage}"))

    def axes(arch: Architecture) -> dict[str, float]:
        split = [value(arch, "split", stage) for stage in STAGES]
        width = [value(arch, "width", stage) for stage in STAGES]
        return {
            "split, mean": float(np.mean(split)),
            "split, away from 1/2": float(np.mean([abs(s - 0.5) for s in split])),
            "depth, sum": sum(value(arch, "depth", stage) for stage in STAGES),
            "width, stage 4 / stage 2": width[2] / width[0],
            "kernel, mean": float(np.mean([value(arch, "kernel", stage) for stage in STAGES])),
            "stem": float(space.value(arch, "stem")),
            "head": float(space.value(arch, "head")),
            **{f"width{stage}": value(arch, "width", stage) for stage in STAGES},
            **{f"depth{stage}": value(arch, "depth", stage) for stage in STAGES},
        }

    correlations: dict[str, list[float | None]] = {}
    for members in random_bands(found).values():
        values_of = [axes(space.parse(each.row.architecture)) for each in members]
        accuracy = [each.accuracy for each in members]
        for name in values_of[0]:
            values = [each[name] for each in values_of]
            correlations.setdefault(name, []).append(rank_correlation(values, accuracy))
    longer = list((long or {}).values())
    values_of = [axes(space.parse(each.row.architecture)) for each in longer]
    accuracy = [each.accuracy for each in longer]
    return [
        {
            "axis": name,
            "equal_flops": mean_of(found_by_band),
            "long": rank_correlation([each[name] for each in values_of], accuracy),
        }
        for name, found_by_band in correlations.items()
    ]


def pattern_results(found: dict[str, MeasuredNetwork]) -> dict[str, list[dict[str, Any]]]:
    """ShuffleNet v2 0.5x and its changes at equal FLOPs, best first: split, depths, growth."""
    if BASELINE not in found:
        return {}
    base = found[BASELINE]
    usual = {
        "split": str(USUAL_SPLIT),
        "depths": "-".join(map(str, USUAL_DEPTHS)),
        "growth": str(USUAL_GROWTH),
    }
    result = {}
    for axis, own in usual.items():
        rows = [(own, base)]
        for each in found.values():
            if each.row.group == "pattern" and each.row.name.startswith(f"{axis} "):
                rows.append((each.row.name.partition(" ")[2], each))
        result[axis] = [
            {
                axis: text,
                "paper": each is base,
                "accuracy": each.accuracy,
                "difference": each.accuracy - base.accuracy,
                "seeds": len(each.accuracies),
                "flops_224": each.row.flops_224,
            }
            for text, each in sorted(rows, key=lambda pair: -pair[1].accuracy)
        ]
    return result


def paper_networks(found: dict[str, MeasuredNetwork]) -> list[dict[str, Any]]:
    """The paper's networks: accuracy, and which share of a band's random networks they beat, if
    their FLOPs are within a tenth of the band's."""
    rows = []
    for each in found.values():
        if each.row.group != "paper":
            continue
        beaten = None
        for members in random_bands(found).values():
            flops = float(np.mean([m.row.flops_224 for m in members]))
            if abs(each.row.flops_224 / flops - 1) <= 0.1:
                beaten = float(np.mean([m.accuracy < each.accuracy for m in members]))
        rows.append(
            {
                "name": each.row.name,
                "flops_224": each.row.flops_224,
                "params": each.row.params,
                "accuracy": each.accuracy,
                "seeds": len(each.accuracies),
                "beats_share_of_band": beaten,
            }
        )
    return rows
