"""Which networks the measured benchmark trains, in which order, and how.

Three bands of FLOPs (at 224x224, 3 % either way): those of ShuffleNet v2 0.5x and 1x and their
geometric mean; in each, networks drawn uniformly from the space. With them the paper's networks,
and ShuffleNet v2 0.5x changed in one thing at a time at equal FLOPs: split, depths, growth of the
widths. Rounds take one of each, so a part of the benchmark is balanced too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from evaluator.training.recipes.recipe import RANGES, SHORT, Recipe
from space.architectures.shufflenet_v2 import SPLITS, WIDTHS, ShuffleNetV2Space
from space.common.cli import check_range
from space.cost.lookup import CostModel
from space.network.network import Network
from space.zoo.catalog import published_network
from space.zoo.families import shufflenet_v2

TOLERANCE = 0.03
PER_BAND = 32
SECOND_SEED_EVERY = 3
LONGER = 4  # how many times the long recipe's epochs are the short one's
LONG = 8  # networks of band 1 with a long training within the rounds; the others follow them
DRAWN, SEED = 50_000, 2018

# Cheapest first: a benchmark that stops early has most of them.
PAPER = (
    "ShuffleNet v2 0.5x",
    "ShuffleNet v2 1.0x",
    "ShuffleNet v1 0.5x g=3",
    "ShuffleNet v1 1.0x g=3",
    "MobileNet v2 0.4 160x160",
    "MobileNet v2 0.6",
    "MobileNet v2 0.15",
    "MobileNet v2 0.75 192x192",
    "ShuffleNet v2 1.5x",
    "ShuffleNet v1 1.5x g=3",
    "MobileNet v2 1.0",
    "ShuffleNet v2 2.0x",
    "ShuffleNet v1 2.0x g=3",
    "MobileNet v2 1.4",
)
# Other depths of the three stages, and other factors between the widths of two stages.
DEPTHS = ((4, 4, 8), (8, 4, 4), (2, 4, 2), (6, 12, 6), (2, 12, 2), (5, 5, 5))
GROWTHS = (1.5, 2.5, 1.25)
USUAL_DEPTHS, USUAL_GROWTH, USUAL_SPLIT = (4, 8, 4), 2.0, Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class PlannedNetwork:
    """A network of the benchmark. `group`: "band 1" to "band 3", "paper" or "pattern";
    `architecture`: a line of the space, or a name of the zoo."""

    name: str
    group: str
    architecture: str

    def network(self) -> Network:
        """At 224x224 with 1000 classes, whatever the published input."""
        if self.group == "paper":
            return published_network(self.architecture).network(224, 224)
        space = ShuffleNetV2Space()
        return space.lower(space.parse(self.architecture))


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One training. `recipe`: "short" or "long"."""

    entry: PlannedNetwork
    seed: int
    recipe: str = "short"

    @property
    def key(self) -> tuple[str, str, int]:
        return self.entry.name, self.recipe, self.seed


def band_flops() -> tuple[int, int, int]:
    """The FLOPs of the three bands at 224x224."""
    small, large = shufflenet_v2("0.5").flops, shufflenet_v2("1.0").flops
    return small, round((small * large) ** 0.5), large


@cache
def random_candidates(per_band: int) -> tuple[tuple[PlannedNetwork, ...], ...]:
    """`per_band` different networks of each band, drawn uniformly from the space."""
    space = ShuffleNetV2Space()
    model, rng = CostModel(space), np.random.default_rng(SEED)
    found: list[dict[str, None]] = [{} for _ in band_flops()]
    while min(map(len, found)) < per_band:
        genes = space.sample(DRAWN, rng)
        flops = model.costs(genes).flops
        for texts, target in zip(found, band_flops(), strict=True):
            for row in np.flatnonzero(np.abs(flops / target - 1) <= TOLERANCE):
                texts.setdefault(space.text(space.architecture(genes[row])))
    return tuple(
        tuple(
            PlannedNetwork(f"band {band + 1} no. {index + 1}", f"band {band + 1}", text)
            for index, text in enumerate(list(texts)[:per_band])
        )
        for band, texts in enumerate(found)
    )


def pattern_networks() -> tuple[PlannedNetwork, ...]:
    """ShuffleNet v2 0.5x with another split, other depths or another growth, widths refitted so
    that FLOPs are the same."""
    splits = (split for split in SPLITS if split != USUAL_SPLIT)
    found = [(f"split {s}", _refitted(s, USUAL_DEPTHS, USUAL_GROWTH)) for s in splits]
    found += [
        (f"depths {'-'.join(map(str, d))}", _refitted(USUAL_SPLIT, d, USUAL_GROWTH))
        for d in DEPTHS
    ]
    found += [(f"growth {g}", _refitted(USUAL_SPLIT, USUAL_DEPTHS, g)) for g in GROWTHS]
    return tuple(PlannedNetwork(name, "pattern", text) for name, text in found)


def _refitted(split: Fraction, depths: tuple[int, ...], growth: float) -> str:
    """The architecture whose widths grow by `growth`, with FLOPs nearest to ShuffleNet v2 0.5x."""
    space, target = ShuffleNetV2Space(), band_flops()[0]

    def widths(first: int) -> list[int]:
        return [round(first * growth**stage / 4) * 4 for stage in range(3)]

    def text(first: int) -> str:
        return space.text(space.point(widths(first), depths, split))

    def flops(first: int) -> int:
        return space.lower(space.parse(text(first))).flops

    firsts = [
        first
        for first in range(24, 257)
        if all(w in WIDTHS[stage] for stage, w in enumerate(widths(first), start=2))
    ]
    above = bisect_left(firsts, target, key=flops)  # FLOPs grow with the widths
    return text(min(firsts[max(0, above - 1) : above + 1], key=lambda f: abs(flops(f) - target)))


def planned_runs(per_band: int = PER_BAND) -> Iterator[PlannedRun]:
    """Every training of the benchmark, in order.

    A round has a network of each band, with a second seed in every third round. The first rounds
    also have the long training of band 1's network, a network of the paper and a pattern. The
    long trainings of band 1's other networks follow the rounds.
    """
    randoms, varied = random_candidates(per_band), pattern_networks()
    papers = [PlannedNetwork(name, "paper", name) for name in PAPER]
    for index in range(per_band):
        trio = [band[index] for band in randoms]
        for seed in range(2 if index % SECOND_SEED_EVERY == 0 else 1):
            yield from (PlannedRun(entry, seed) for entry in trio)
        if index < len(papers):
            seeds = 2 if papers[index].architecture in PAPER[:4] else 1
            yield from (PlannedRun(papers[index], seed) for seed in range(seeds))
        if index < len(varied):
            yield from (PlannedRun(varied[index], seed) for seed in range(2))
        if index < LONG:
            yield PlannedRun(trio[0], 0, "long")
    yield from (PlannedRun(entry, 0, "long") for entry in randoms[0][LONG:])


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig:
    """What the measured benchmark trains, and how.

    Args:
        data: CIFAR-10, as for `open_data`.
        out: the .csv; its header is beside it.
        runs: stop after this many rows; None: all.
        per_band: random networks of each band of FLOPs.
        epochs: of the short recipe.
        images: train on this many; 0: all.
        jobs: trainings at a time; changes no row.

    Raises:
        ValueError: a value is out of its range.
    """

    data: str
    out: Path
    runs: int | None = None
    per_band: int = PER_BAND
    epochs: float = 1.0
    images: int = 0
    threads: int = 1
    jobs: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        own = {
            "runs": (1, 100_000),
            "per_band": (1, PER_BAND),
            "jobs": (1, 256),
            "epochs": RANGES["epochs"],
        }
        check_range(values, "threads", **own)
        if self.images:
            check_range(values, images=RANGES["images"])
        if self.out.suffix != ".csv":
            raise ValueError(f"--out must be a file that ends in .csv; got {self.out}")

    def planned(self) -> list[PlannedRun]:
        """The trainings, in their order."""
        return list(planned_runs(self.per_band))[: self.runs]

    def recipes(self) -> dict[str, Recipe]:
        """The short recipe and the long one. They skip one stride of two: in the same time a
        network trains on three times the images (docs/results/training.md)."""
        short = SHORT.changed(
            name="measured",
            skipped_strides=1,
            epochs=self.epochs,
            images=self.images,
            augment="flip",
        )
        return {"short": short, "long": short.changed(epochs=LONGER * short.epochs)}
