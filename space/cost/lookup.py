"""Costs of millions of architectures: one table for each segment, then look-ups.

Every cost is a sum over blocks, so the cost of an architecture is the sum of one row of the table
of each segment. Tables are built from the lowering of the space, once for each combination of
guideline-breaking genes, when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import Segment, ShuffleNetV2Space
from space.cost import guidelines
from space.cost.memory import peak_elements
from space.network.block import BlockBatch

CHUNK = 16384  # rows whose sums (64 B each) fit a second-level cache of 1 MiB

COLUMNS = ("flops", "params", *guidelines.PARTS, "latency_s")

BlockCost = Callable[[BlockBatch], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of n architectures, float64 [n] each: multiply-adds, parameters, seconds (0 without a
    latency table), and the guidelines."""

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
    """A table float64 [rows, columns] in C order over the choices of some parameters."""

    columns: tuple[int, ...]
    sizes: tuple[int, ...]
    table: NDArray[np.float64]

    def index(self, genes: Genes) -> NDArray[np.intp]:
        flat = genes[:, self.columns[0]].astype(np.intp)
        for column, size in zip(self.columns[1:], self.sizes[1:], strict=True):
            flat *= size
            flat += genes[:, column]
        return flat


class CostModel:
    """Costs of architectures of one space.

    Args:
        latency: the seconds of a batch of n blocks, float64 [n]; None: latencies are 0.

    Example:
        >>> import numpy as np
        >>> from space import CostModel, ShuffleNetV2Space
        >>> space = ShuffleNetV2Space()
        >>> genes = np.array([space.point(widths=(116, 232, 464)).genes], dtype=np.int16)
        >>> CostModel(space).costs(genes).flops
        array([1.44907992e+08])
    """

    def __init__(self, space: ShuffleNetV2Space, latency: BlockCost | None = None) -> None:
        self.space = space
        self._latency = latency
        self._lookups: dict[tuple[int, ...], tuple[list[Lookup], int]] = {}
        self._peaks: dict[tuple[int, ...], list[Lookup]] = {}

    def _columns(self, batch: BlockBatch) -> NDArray[np.float64]:
        """flops, params, the parts of G1-G4 and seconds, float64 [n, 8]: a row is a cache line."""
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
        parameters = self.space.parameters
        table = self._columns(segment.batch)
        columns = segment.columns
        if segment.depth is not None:
            repeats = np.array(parameters[segment.depth].choices, dtype=float) - 1
            table = (table[:, None, :] * repeats[:, None]).reshape(-1, 8)
            columns = (*columns, segment.depth)
        return Lookup(columns, tuple(len(parameters[c].choices) for c in columns), table)

    def tables(self, variant: tuple[int, ...]) -> tuple[list[Lookup], int]:
        """The tables of all segments with these guideline-breaking genes, and the largest number
        of fragments of a unit. Table columns: see `COLUMNS`."""
        if variant not in self._lookups:
            segments = self.space.segments(variant)
            stem, *lookups = [self._lookup(segment) for segment in segments]
            first = lookups[0]  # add the stem, which depends on one parameter of this table
            folded = first.table.reshape(len(stem.table), -1, 8) + stem.table[:, None]
            lookups[0] = Lookup(first.columns, first.sizes, folded.reshape(-1, 8))
            most = max(guidelines.fragments(segment.batch.steps) for segment in segments)
            self._lookups[variant] = lookups, most
        return self._lookups[variant]

    def costs(self, genes: Genes) -> Costs:
        """The costs of architectures. `genes`: int16 [n, parameters], valid for the space.

        It uses one thread: threads that share the interpreter lock made it 20 times slower.
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

    def peaks(self, genes: Genes) -> NDArray[np.float64]:
        """The most elements that are alive at once in a run of one image (`space.cost.memory`) of
        architectures, [n]. `genes`: as in `costs`."""
        variants = genes[:, self.space.variant_columns]
        if not variants.any():
            return self._peaks_of((0,) * variants.shape[1], genes)
        found = np.empty(len(genes))
        kinds, which = np.unique(variants, axis=0, return_inverse=True)
        for number, kind in enumerate(kinds):
            rows = np.flatnonzero(which == number)
            found[rows] = self._peaks_of(tuple(int(gene) for gene in kind), genes[rows])
        return found

    def _peaks_of(self, variant: tuple[int, ...], genes: Genes) -> NDArray[np.float64]:
        most = np.zeros(len(genes))
        for lookup in self._peak_lookups(variant):
            np.maximum(most, lookup.table[lookup.index(genes), 0], out=most)
        return most

    def _peak_lookups(self, variant: tuple[int, ...]) -> list[Lookup]:
        """A table [rows, 1] of each segment; 0 where its block does not occur."""
        if variant not in self._peaks:
            found, parameters = [], self.space.parameters
            for segment in self.space.segments(variant):
                peaks = np.broadcast_to(peak_elements(segment.batch.steps), len(segment.batch))
                columns = segment.columns
                if segment.depth is not None:
                    occurs = np.array(parameters[segment.depth].choices) > 1
                    peaks = (peaks[:, None] * occurs).reshape(-1)
                    columns = (*columns, segment.depth)
                sizes = tuple(len(parameters[c].choices) for c in columns)
                found.append(Lookup(columns, sizes, peaks.astype(float)[:, None]))
            self._peaks[variant] = found
        return self._peaks[variant]

    def _sum(self, genes: Genes, out: NDArray[np.float64]) -> NDArray[np.float64] | int:
        """Write the sums of all columns to `out` [n, 8]; return the most fragments of a unit."""
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
    """out[i] = the sum over lookups of the row of genes[i]."""
    first, *others = lookups
    np.take(first.table, first.index(genes), axis=0, out=out, mode="clip")
    rows = np.empty_like(out)
    for lookup in others:
        np.take(lookup.table, lookup.index(genes), axis=0, out=rows, mode="clip")
        out += rows
