"""How many architectures are scored per second."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from search.problem.target import target_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.lookup import CostModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringConfig:
    """`repeats` timings of the costs of `architectures` random ones, drawn with `seed`."""

    target: str = "arm"
    architectures: int = 2_000_000
    repeats: int = 5
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringSpeed:
    """Architectures per second, as the median, `slowest` and `fastest` of the repeats, and the
    seconds that building the tables took before."""

    architectures_per_s: float
    slowest: float
    fastest: float
    architectures: int
    repeats: int
    threads: int
    tables_built_s: float
    target: str


def measure_scoring(config: ScoringConfig) -> ScoringSpeed:
    """Time FLOPs, parameters, latency and G1-G4 together, on one thread.

    Raises:
        ValueError: an unknown target.
    """
    space = ShuffleNetV2Space()
    model = CostModel(space, target_table(config.target).predict)
    genes = space.sample(config.architectures, np.random.default_rng(config.seed))

    def timed(rows: int) -> float:
        start = time.perf_counter()
        model.costs(genes[:rows])
        return time.perf_counter() - start

    tables_s = timed(1)
    rates = sorted(
        config.architectures / timed(config.architectures) for _ in range(config.repeats)
    )
    return ScoringSpeed(
        architectures_per_s=rates[len(rates) // 2],
        slowest=rates[0],
        fastest=rates[-1],
        architectures=config.architectures,
        repeats=config.repeats,
        threads=1,
        tables_built_s=tables_s,
        target=config.target,
    )


def format_scoring(speed: ScoringSpeed) -> str:
    """One line for people."""
    return (
        f"{speed.architectures_per_s / 1e6:.1f} million architectures/s, one thread "
        f"({speed.slowest / 1e6:.1f} to {speed.fastest / 1e6:.1f} in {speed.repeats} repeats of "
        f"{speed.architectures:,}); tables built in {speed.tables_built_s:.2f} s"
    )
