"""What architectures cost, for millions at a time: one table per segment, then look-ups.

Every cost here is a sum over blocks, so the cost of an architecture is the sum of one row of each
segment's table. Tables are built from the space's own lowering, once per combination of
guideline-breaking genes, when it is first met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import Segment, ShuffleNetV2Space
from space.cost import guidelines
from space.network.block import BlockBatch

CHUNK = 16384  # rows whose intermediate sums (64 B each) stay in a 1 MiB second-level cache

COLUMNS = ("flops", "params", *guidelines.PARTS, "latency_s")

BlockCost = Callable[[BlockBatch], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of n architectures, float64 [n] each; latency is 0 without a latency table."""

    flops: NDArray[np.float64]
    params: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    g1: NDArray[np.float64]
    g2: NDArray[np.float64]
    g3: NDArray[np.float64]
    g4: NDArray[np.float64]

    def row(self, index: int) -> dict[str, float]:
        """The costs of one architecture by name."""
        return {name: float(getattr(self, name)[index]) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Lookup:
    """A table float64 [rows, columns] in C order over the choices of some slots."""

    slots: tuple[int, ...]
    sizes: tuple[int, ...]
    table: NDArray[np.float64]

    def index(self, genes: Genes) -> NDArray[np.intp]:
        flat = genes[:, self.slots[0]].astype(np.intp)
        for slot, size in zip(self.slots[1:], self.sizes[1:], strict=True):
            flat *= size
            flat += genes[:, slot]
        return flat


class CostModel:
    """Costs of architectures of one space; `latency` gives the seconds of a batch of blocks."""

    def __init__(self, space: ShuffleNetV2Space, latency: BlockCost | None = None) -> None:
        self.space = space
        self._latency = latency
        self._lookups: dict[tuple[int, ...], tuple[list[Lookup], int]] = {}

    def _columns(self, batch: BlockBatch) -> NDArray[np.float64]:
        """flops, params, the parts of G1-G4 and seconds, float64 [n, 8]: one cache line."""
        table = np.zeros((len(batch), 8))
        steps = batch.steps
        table[:, 0] = sum(step.op.flops for step in steps)
        table[:, 1] = sum(step.op.params for step in steps)
        for column, part in enumerate(guidelines.parts(steps), start=2):
            table[:, column] = part
        if self._latency is not None:
            table[:, 7] = self._latency(batch)
        return table

    def _lookup(self, segment: Segment) -> Lookup:
        slots = self.space.slots
        table = self._columns(segment.batch)
        columns = segment.slots
        if segment.depth is not None:
            repeats = np.array(slots[segment.depth].choices, dtype=float) - 1
            table = (table[:, None, :] * repeats[:, None]).reshape(-1, 8)
            columns = (*columns, segment.depth)
        return Lookup(columns, tuple(len(slots[c].choices) for c in columns), table)

    def tables(self, variant: tuple[int, ...]) -> tuple[list[Lookup], int]:
        """The tables whose rows add up to the costs, and the most fragments of a unit, with these
        guideline-breaking genes. Table columns: see `COLUMNS`."""
        if variant not in self._lookups:
            segments = self.space.segments(variant)
            stem, *lookups = [self._lookup(segment) for segment in segments]
            first = lookups[0]  # the stem depends on one slot of the first unit: fold it in
            folded = first.table.reshape(len(stem.table), -1, 8) + stem.table[:, None]
            lookups[0] = Lookup(first.slots, first.sizes, folded.reshape(-1, 8))
            most = max(guidelines.fragments(segment.batch.steps) for segment in segments)
            self._lookups[variant] = lookups, most
        return self._lookups[variant]

    def costs(self, genes: Genes) -> Costs:
        """The costs of architectures. `genes`: int16 [n, slots], checked by `Space.check` before.

        One thread: threads that share the interpreter lock made it 20 times slower.
        """
        result = np.empty((7, len(genes)))
        sums = np.empty((CHUNK, 8))
        for start in range(0, len(genes), CHUNK):
            chunk = genes[start : start + CHUNK]
            block, out = sums[: len(chunk)], result[:, start : start + CHUNK]
            out[5] = self._sum(chunk, block)
            out[0], out[1], out[2] = block[:, 0], block[:, 1], block[:, 7]
            out[3], out[4], out[6] = guidelines.ratios(block[:, 2:7])
        return Costs(*result)

    def _sum(self, genes: Genes, out: NDArray[np.float64]) -> NDArray[np.float64] | int:
        """Put the summed columns into `out` [n, 8]; return the most fragments of a unit."""
        variants = genes[:, self.space.variant_columns]
        if not variants.any():
            lookups, most = self.tables((0,) * variants.shape[1])
            _add_rows(lookups, genes, out)
            return most
        fragments = np.empty(len(genes))
        kinds, which = np.unique(variants, axis=0, return_inverse=True)
        for number, kind in enumerate(kinds):
            rows = np.flatnonzero(which == number)
            lookups, most = self.tables(tuple(int(gene) for gene in kind))
            part = np.empty((len(rows), 8))
            _add_rows(lookups, genes[rows], part)
            out[rows], fragments[rows] = part, most
        return fragments


def _add_rows(lookups: Sequence[Lookup], genes: Genes, out: NDArray[np.float64]) -> None:
    """out[i] = the sum over lookups of the row that genes[i] picks."""
    first, *others = lookups
    np.take(first.table, first.index(genes), axis=0, out=out, mode="clip")
    rows = np.empty_like(out)
    for lookup in others:
        np.take(lookup.table, lookup.index(genes), axis=0, out=rows, mode="clip")
        out += rows
