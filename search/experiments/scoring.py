"""How many architectures are scored per second."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.problem.problem import target_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.lookup import CostModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringConfig:
    """`repeats` timings of the costs of `architectures` random ones, drawn with `seed`."""

    target: str = "arm"
    architectures: int = 2_000_000
    repeats: int = 5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ScoringSpeed:
    """`rates`: architectures per second of each repeat, slowest first; `tables_built_s`: seconds
    that building the tables took before."""

    config: ScoringConfig
    rates: tuple[float, ...]
    tables_built_s: float

    @property
    def median(self) -> float:
        """Architectures per second."""
        return self.rates[len(self.rates) // 2]

    def record(self) -> dict[str, Any]:
        """The speed for JSON."""
        return {
            "architectures_per_s": self.median,
            "slowest": self.rates[0],
            "fastest": self.rates[-1],
            "architectures": self.config.architectures,
            "repeats": self.config.repeats,
            "threads": 1,
            "tables_built_s": self.tables_built_s,
            "target": self.config.target,
        }


def measure_scoring(config: ScoringConfig) -> ScoringSpeed:
    """Time FLOPs, parameters, latency and G1-G4 together, on one thread.

    Raises:
        ValueError: an unknown target.
    """
    space, n = ShuffleNetV2Space(), config.architectures
    model = CostModel(space, target_table(config.target).predict)
    genes = space.sample(n, np.random.default_rng(config.seed))

    def timed(rows: int) -> float:
        start = time.perf_counter()
        model.costs(genes[:rows])
        return time.perf_counter() - start

    tables_s = timed(1)
    rates = sorted(n / timed(n) for _ in range(config.repeats))
    return ScoringSpeed(config, tuple(rates), tables_s)


def format_scoring(speed: ScoringSpeed) -> str:
    """One line for people."""
    rates, config = speed.rates, speed.config
    return (
        f"{speed.median / 1e6:.1f} million architectures/s, one thread "
        f"({rates[0] / 1e6:.1f} to {rates[-1] / 1e6:.1f} in {config.repeats} repeats of "
        f"{config.architectures:,}); tables built in {speed.tables_built_s:.2f} s"
    )
