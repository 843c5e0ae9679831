"""Latency of blocks between measured ones of their family: same kind, resolution and fields except
widths. `latency.table.family_fit` models one family; `latency.table.op_times` all, on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency.table.family_fit import FLAGS, SIZES, Family, FamilyFit, Floats, widths_of
from latency.table.op_times import GpuRun, OpTimes
from space.common.errors import MissingOpError
from space.network.block import Block, BlockBatch

# Kinds with other steps (a projected shortcut, a concatenation) where their channels change.
WIDENING = frozenset((
    "bottleneck", "repvgg", "shufflenet_v1_wide", "ghost", "repghost", "resnet_basic", "regnet",
))  # fmt: skip


def family_of(block: Block) -> Family:
    """The key that a block shares with all blocks it can be interpolated from."""
    rest = tuple((name, value) for name, value in block.fields if name not in SIZES)
    flags = _flags(BlockBatch.of(block))[0]
    rest += tuple((name, 1) for name, flag in zip(FLAGS, flags, strict=True) if flag)
    return block.kind, block.height, block.width, rest


def _flags(batch: BlockBatch) -> NDArray[np.int64]:
    """Which of `FLAGS` hold, int [n, 2]: the unit widens; groups do not divide its widths."""
    flags = np.zeros((len(batch), 2), dtype=np.int64)
    if batch.kind in WIDENING:
        flags[:, 0] = batch.column("c_in") != batch.column("c_out")
    if batch.kind == "shufflenet_v1":
        flags[:, 1] = batch.column("c_out") % (4 * batch.column("groups")) != 0
    return flags


def by_family(blocks: Iterable[Block]) -> dict[Family, list[Block]]:
    """Blocks grouped by `family_of`."""
    families: dict[Family, list[Block]] = {}
    for block in blocks:
        families.setdefault(family_of(block), []).append(block)
    return families


def family_rows(batch: BlockBatch) -> list[NDArray[np.intp]]:
    """The rows of each family in a batch."""
    keys = [batch.column(n) for n, v in batch.fields.items() if n not in SIZES and np.ndim(v)]
    if (flags := _flags(batch)).any():
        keys += [*flags.T]
    if not keys:
        return [np.arange(len(batch))]
    index = np.unique(np.stack(keys), axis=1, return_inverse=True)[1].ravel()
    return [np.flatnonzero(index == i) for i in range(index.max() + 1)]


def family_title(family: Family) -> str:
    """A family as one line: `shufflenet_v2@28x28 kernel=5`."""
    kind, height, width, rest = family
    return " ".join([f"{kind}@{height}x{width}", *(f"{name}={value}" for name, value in rest)])


class Interpolator:
    """Seconds of any block in the range of the measured ones.

    Args:
        seconds: of the measured blocks.
        errors: their relative standard errors; 0 for blocks without one.
        noisy: further timed blocks, too noisy for more than the measured range.
        gpu: what ran the blocks, if that was a GPU: one model of ops then serves all families.
    """

    def __init__(
        self,
        seconds: Mapping[Block, float],
        errors: Mapping[Block, float] | None = None,
        noisy: Iterable[Block] = (),
        gpu: GpuRun | None = None,
    ) -> None:
        self._seconds, self._errors = seconds, errors or {}
        self._families, self._noisy = by_family(seconds), by_family(noisy)
        self._fitted: dict[Family, FamilyFit] = {}
        self._gpu = gpu

    @cached_property
    def _model(self) -> OpTimes | None:
        if self._gpu is None or not self._seconds:
            return None
        return OpTimes(list(self._families.values()), self._seconds, self._errors, self._gpu)

    def _family(self, key: Family) -> FamilyFit | None:
        if key not in self._fitted and key in self._families:
            blocks = self._families[key]
            values = np.array([self._seconds[block] for block in blocks])
            errors = np.array([self._errors.get(block, 0.0) for block in blocks])
            noisy = self._noisy.get(key, ())
            self._fitted[key] = FamilyFit(key, blocks, values, errors, noisy, self._model)
        return self._fitted.get(key)

    def predict(self, batch: BlockBatch) -> Floats:
        """Seconds of each block, float64 [n].

        Raises:
            MissingOpError: a block is neither measured nor between measured ones; the message
                names it and its nearest measured neighbours.
        """
        seconds = np.empty(len(batch))
        for rows, sizes, family, known in self._parts(batch):
            if family is None or not known.all():
                raise MissingOpError(self._missing(batch.block(int(rows[np.argmin(known)]))))
            seconds[rows] = family.predict(sizes)
        return seconds

    def covers(self, batch: BlockBatch) -> NDArray[np.bool_]:
        """Whether each block is measured or between measured ones, bool [n]."""
        found = np.zeros(len(batch), bool)
        for rows, _, _, known in self._parts(batch):
            found[rows] = known
        return found

    def _parts(self, batch: BlockBatch) -> Iterator[tuple[Any, Any, FamilyFit | None, Any]]:
        """Of each family in a batch: its rows, their widths, its fit, and which it covers."""
        sizes = widths_of(batch)
        for rows in family_rows(batch):
            family = self._family(family_of(batch.block(int(rows[0]))))
            known = np.zeros(len(rows), bool) if family is None else family.covers(sizes[rows])
            yield rows, sizes[rows], family, known

    def _missing(self, block: Block) -> str:
        def distance(other: Block) -> float:
            a, b = dict(block.fields), dict(other.fields)
            names = a.keys() | b.keys()
            gap = sum(abs(np.log2((1 + a.get(n, 0)) / (1 + b.get(n, 0)))) for n in names)
            sides = (block.height != other.height) + (block.width != other.width)
            return float(gap + 4 * sides)

        same = [other for other in self._seconds if other.kind == block.kind]
        nearest = sorted(same, key=distance)[:3]
        if not nearest:
            kinds = sorted({other.kind for other in self._seconds})
            return f"the table has no {block}; it knows blocks of kind {', '.join(kinds)}"
        return f"the table has no {block}; nearest known: {'; '.join(map(str, nearest))}"
