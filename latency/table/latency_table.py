"""The latency table: seconds of blocks measured on one device, with a header of their origin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latency.table.header import TableHeader, save_table
from latency.table.interpolate import Interpolator
from latency.table.op_times import GpuRun
from space.network.block import Block, BlockBatch

COLUMNS = ("block", "median_s", "q25_s", "q75_s", "n")
LEAST_S, MOST_S = 1e-9, 1e4  # of a block: less than a processor's cycles, more than any run


@dataclass(frozen=True, slots=True)
class Measurement:
    """Median and quartiles, in seconds, of the `n` samples of a block inside a network
    (latency/measure/block.py).

    Raises:
        ValueError: the median is below 1 ns or above 10,000 s, quartiles are out of order, or
            there is no sample.

    Example:
        >>> round(Measurement(1.0e-3, 0.9e-3, 1.1e-3, n=16).spread, 3)
        0.2
    """

    median_s: float
    q25_s: float
    q75_s: float
    n: int

    def __post_init__(self) -> None:
        if not LEAST_S <= self.median_s <= MOST_S:
            raise ValueError(
                f"`median_s` must be from {LEAST_S:g} to {MOST_S:g} seconds; got {self.median_s!r}"
            )
        if not -MOST_S <= self.q25_s <= self.median_s <= self.q75_s <= MOST_S:
            raise ValueError(f"quantiles must rise with their order; got {self}")
        if self.n < 1:
            raise ValueError(f"`n` must be at least 1; got {self.n}")

    @property
    def spread(self) -> float:
        """Interquartile range over median."""
        return (self.q75_s - self.q25_s) / self.median_s

    @property
    def error_s(self) -> float:
        """Standard error of the median in seconds, of normal samples: their deviation is
        IQR / 1.349, and the error sqrt(pi / 2) of it over sqrt(n)."""
        return 0.93 * (self.q75_s - self.q25_s) / math.sqrt(self.n)

    @property
    def error(self) -> float:
        """`error_s` relative to the median."""
        return self.error_s / self.median_s


class LatencyTable:
    """Blocks measured on one device by one engine.

    Other blocks are interpolated between blocks of their family (latency/table/interpolate.py).
    Noisy measurements are shrunk towards the family's prediction, in proportion to their variance.
    Latencies are multiplied by the header's scale factor.

    Raises:
        ValueError: the header is of another layout than "blocks", or names a block that is none.

    Example:
        >>> from latency.table.load import load_table
        >>> from space.zoo.families import shufflenet_v2
        >>> table = load_table("epyc-turin-ort")
        >>> small, large = shufflenet_v2("0.5"), shufflenet_v2("1.0")
        >>> table.network_s(small.blocks) < table.network_s(large.blocks)
        True
    """

    def __init__(self, header: TableHeader, entries: Mapping[Block, Measurement]) -> None:
        if header.layout != "blocks":
            raise ValueError(f"a LatencyTable has layout 'blocks'; got {header.layout!r}")
        self.header = header
        self.entries = dict(entries)
        try:
            self._noisy = [Block.parse(text) for text in header.noise.get("too_noisy", ())]
        except ValueError as error:
            raise ValueError(f"`noise.too_noisy`: {error}") from None

    @property
    def gpu(self) -> GpuRun | None:
        """What of the GPU that was measured its blocks' times depend on; None of other devices."""
        return GpuRun.of(self.header.batch, self.header.host)

    @cached_property
    def _interpolator(self) -> Interpolator:
        seconds = {block: m.median_s for block, m in self.entries.items()}
        errors = {block: m.error for block, m in self.entries.items()}
        return Interpolator(seconds, errors, self._noisy, self.gpu)

    def predict(self, batch: BlockBatch) -> NDArray[np.float64]:
        """Seconds of each block, float64 [n].

        Raises:
            MissingOpError: a block is neither measured nor between measured ones.
        """
        return self._interpolator.predict(batch) * self.header.scale["factor"]

    def covers(self, batch: BlockBatch) -> NDArray[np.bool_]:
        """Whether `predict` has an answer for each block, bool [n]."""
        return self._interpolator.covers(batch)

    def block_s(self, block: Block) -> float:
        """Seconds of one block; MissingOpError as for `predict`."""
        return float(self.predict(BlockBatch.of(block))[0])

    def network_s(self, blocks: Iterable[Block]) -> float:
        """Seconds of a network; MissingOpError if any block is missing, never a partial sum."""
        return sum(self.block_s(block) for block in blocks)

    def unscaled(self) -> LatencyTable:
        """This table without its scale factor."""
        scale = {"factor": 1.0, "how": "none"}
        return LatencyTable(replace(self.header, scale=scale), self.entries)

    def save(self, path: Path | str) -> Path:
        """Write `path` (.json), which is returned, and its .csv, each complete or not at all.

        Raises:
            OSError: a file cannot be written.
        """
        path = Path(path).with_suffix(".json")
        entries = sorted(self.entries.items(), key=lambda item: _order(item[0]))
        rows = ((block, m.median_s, m.q25_s, m.q75_s, m.n) for block, m in entries)
        save_table(path, self.header, COLUMNS, rows)
        return path


def _order(block: Block) -> tuple:
    return block.kind, -block.height, -block.width, block.fields
