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

    def seeds(members: Iterable[MeasuredNetwork]) -> Floats:
        """[2, n]: the accuracies by two seeds of the networks that have them."""
        pairs = [m.accuracies[:2] for m in members if len(m.accuracies) > 1]
        return np.array(pairs, dtype=float).reshape(-1, 2).T

    by_band = {
        name: rank_correlation(*seeds(members)) for name, members in random_bands(found).items()
    }
    first, second = seeds(found.values())
    gaps = first - second
    return {
        "pairs": len(gaps),
        "deviation": float(np.sqrt(np.mean(gaps**2) / 2)) if len(gaps) else None,
        "spearman_by_band": by_band,
        "spearman_equal_flops": mean_of(by_band.values()),
        "spearman": rank_correlation(first, second),
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

    def stages(arch: Architecture, name: str) -> Floats:
        return np.array([float(space.value(arch, f"{name}{stage}")) for stage in STAGES])

    def axes(arch: Architecture) -> dict[str, float]:
        split, width, depth = (stages(arch, name) for name in ("split", "width", "depth"))
        return {
            "split, mean": split.mean(),
            "split, away from 1/2": np.abs(split - 0.5).mean(),
            "depth, sum": depth.sum(),
            "width, stage 4 / stage 2": width[2] / width[0],
            "kernel, mean": stages(arch, "kernel").mean(),
            "stem": float(space.value(arch, "stem")),
            "head": float(space.value(arch, "head")),
            **{f"width{stage}": each for stage, each in zip(STAGES, width, strict=True)},
            **{f"depth{stage}": each for stage, each in zip(STAGES, depth, strict=True)},
        }

    def correlations(members: Iterable[MeasuredNetwork]) -> dict[str, float | None]:
        rows = [(axes(space.parse(m.row.architecture)), m.accuracy) for m in members]
        return {
            name: rank_correlation([each[name] for each, _ in rows], [a for _, a in rows])
            for name in (rows[0][0] if rows else ())
        }

    by_band = [correlations(members) for members in random_bands(found).values()]
    after = correlations((long or {}).values())
    return [
        {
            "axis": name,
            "equal_flops": mean_of(band[name] for band in by_band),
            "long": after.get(name),
        }
        for name in (by_band[0] if by_band else ())
    ]


def pattern_results(found: dict[str, MeasuredNetwork]) -> dict[str, list[dict[str, Any]]]:
    """ShuffleNet v2 0.5x and its changes at equal FLOPs, best first: split, depths, growth."""
    if BASELINE not in found:
        return {}
    base = found[BASELINE]
    depths = "-".join(map(str, USUAL_DEPTHS))
    usual = {"split": str(USUAL_SPLIT), "depths": depths, "growth": str(USUAL_GROWTH)}
    result = {}
    for axis, own in usual.items():
        rows = [(own, base)]
        rows += [
            (name.removeprefix(f"{axis} "), each)
            for name, each in found.items()
            if each.row.group == "pattern" and name.startswith(f"{axis} ")
        ]
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
