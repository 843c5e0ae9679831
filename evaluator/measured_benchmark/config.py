"""What the measured benchmark trains, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluator.measured_benchmark.plan import PER_BAND, PlannedRun, planned_runs
from evaluator.training.recipe import SHORT, Recipe

LONGER = 4  # how many times the long recipe's epochs are the short one's


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
        for name in ("threads", "jobs"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1; got {getattr(self, name)}")
        if not 1 <= self.per_band <= PER_BAND:
            raise ValueError(f"--per-band must be in 1..{PER_BAND}; got {self.per_band}")

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
