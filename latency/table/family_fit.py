"""The latency model of one family of blocks, as a function of their widths.

A block's seconds are a non-negative sum of its ops' work (starts, multiply-adds, traffic; channels
also rounded up to 8, 16, 32 as vector units do; traffic twice where 8 or 16 does not divide the
channels), times a correction smoothed from the nearest measured blocks of the same alignment.
Noisy blocks have less weight in both, and are shrunk towards the prediction from the others: else
a search for the fastest network would find the luckiest measurements. On a GPU another model takes
the place of both (`latency.table.op_times`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from space.graph.builder import unit_defaults
from space.graph.op import Op
from space.network.block import Block, BlockBatch

SIZES = ("c_in", "c_out", "branch", "mid")
ALIGNMENTS = ("8", "4", "2 or 1")  # of the branch; `alignment` returns the index
UNALIGNED = 2
VECTORS = (8, 16)  # channels that engines pack together: 8 with AVX2 and NEON, 16 with AVX-512
MIN_POINTS = 8  # blocks of a family that can be interpolated
MIN_ON_A_LINE = 5  # if all its widths are proportional
NEIGHBOURS = 16
SMOOTHING = 0.8  # width of the correction's kernel, in octaves of width
SHRINK = 0.2  # weight of "no correction", which dominates far from every measured block
FLAGS = ("widens", "uneven")  # other steps at these widths: they distinguish families
BITS = 15  # a width is below 2**15: four of them make one int64
# Relative standard error at which a block's own time and the others' prediction weigh alike: about
# the error of that prediction (`left_out_error` of shipped tables: 2 to 3 % in the median).
TRUST = 0.03

Family: TypeAlias = tuple[str, int, int, tuple[tuple[str, int], ...]]
Floats: TypeAlias = NDArray[np.float64]


class BlockModel(Protocol):
    """Seconds of blocks of any family."""

    def predict(self, batch: BlockBatch) -> Floats:
        """Seconds of each block, float64 [n]."""


class FamilyFit:
    """Predicts a family's blocks of any widths in the range of its measured ones.

    Args:
        key: the family.
        blocks: its measured blocks.
        seconds: of each block [n].
        errors: their relative standard errors [n].
        noisy: further timed blocks, too noisy for more than the measured range.
        model: predicts blocks instead of the family's own work and correction.
    """

    def __init__(
        self,
        key: Family,
        blocks: Sequence[Block],
        seconds: Floats,
        errors: Floats,
        noisy: Sequence[Block] = (),
        model: BlockModel | None = None,
    ) -> None:
        self.kind, self.height, self.width, self.rest = key
        sizes = _sizes_of(blocks)
        order = np.argsort(_code(sizes))
        self.sizes, self.seconds = sizes[order], seconds[order]
        self.weights = 1 / (1 + (errors[order] / TRUST) ** 2)
        self.codes = _code(self.sizes)
        self.names = [name for name in SIZES if name in unit_defaults(self.kind)]
        timed = np.concatenate([self.sizes, _sizes_of(noisy)])
        self.low, self.high = timed.min(axis=0), timed.max(axis=0)
        share = timed[:, 2] / np.maximum(timed[:, 1], 1)  # of the branch; 0 where there is none
        self.ratio = float(share.min()), float(share.max())
        logs = np.log(np.maximum(self.sizes, 1))
        line = np.linalg.matrix_rank(logs - logs[0], tol=1e-6) <= 1
        self.interpolates = len(blocks) >= (MIN_ON_A_LINE if line else MIN_POINTS)
        self.alignments = np.unique(alignment(self.sizes))
        self.model = model
        if self.interpolates and model is None:
            self._fit()

    def covers(self, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each row of widths [n, 4] is measured or between measured ones, bool [n]."""
        found = np.isin(_code(sizes), self.codes)
        if not self.interpolates:
            return found
        inside = ((sizes >= self.low) & (sizes <= self.high)).all(axis=1)
        inside &= np.isin(alignment(sizes), self.alignments)
        least, most = self.ratio
        inside &= sizes[:, 2] >= least * sizes[:, 1] - 2
        inside &= sizes[:, 2] <= most * sizes[:, 1] + 2
        if (self.sizes[:, 0] == self.sizes[:, 1]).all():
            inside &= sizes[:, 0] == sizes[:, 1]
        return found | inside

    def _fit(self) -> None:
        from scipy.optimize import nnls
        from scipy.spatial import cKDTree

        columns = np.stack(self._columns(self.sizes), axis=1)
        classes = alignment(self.sizes)
        apart = classes[:, None] == UNALIGNED  # another kernel: own prices
        features = np.concatenate([columns * ~apart, columns * apart], axis=1)
        scales = np.maximum(features.max(axis=0), 1e-300)
        features = features / scales / self.seconds[:, None]  # relative errors count
        weights = np.sqrt(self.weights)
        features, most = features * weights[:, None], 100 * features.shape[1]
        prices, _ = nnls(features, weights, maxiter=most)
        self.prices = (prices / scales).reshape(2, -1)
        self.correction = np.log(self.seconds / self._base(self.sizes))
        self.trees = {}
        for name in self.alignments:
            rows = np.flatnonzero(classes == name)
            tree = cKDTree(_position(self.sizes[rows]))
            self.trees[int(name)] = (tree, self.correction[rows], self.weights[rows])

    def _base(self, sizes: NDArray[np.int64]) -> Floats:
        """Seconds of each row by the ops' work alone [n]."""
        apart = alignment(sizes) == UNALIGNED
        seconds = np.zeros(len(sizes))
        for column, (price, price_apart) in zip(self._columns(sizes), self.prices.T, strict=True):
            if price or price_apart:
                seconds += column * np.where(apart, price_apart, price)
        return seconds

    def _batch(self, sizes: NDArray[np.int64]) -> BlockBatch:
        """The blocks of these widths."""
        fields: dict[str, Any] = {name: v for name, v in self.rest if name not in FLAGS}
        fields |= {name: sizes[:, SIZES.index(name)] for name in self.names}
        return BlockBatch(self.kind, self.height, self.width, fields)

    def _columns(self, sizes: NDArray[np.int64]) -> list[NDArray[Any]]:
        """The work of each block's ops: columns [n]."""
        columns: list[Any] = [1]
        for step in self._batch(sizes).steps:
            columns.extend(_op_columns(step.op))
        return [np.broadcast_to(column, (len(sizes),)) for column in columns]

    def predict(self, sizes: NDArray[np.int64]) -> Floats:
        """Seconds of rows of widths [n, 4] that `covers` accepts, float64 [n]."""
        at = np.minimum(np.searchsorted(self.codes, _code(sizes)), len(self.codes) - 1)
        exact = self.codes[at] == _code(sizes)
        if not self.interpolates:
            return self.seconds[at]
        weight = np.where(exact, self.weights[at], 0.0)
        seconds = self.seconds[at].copy()
        shrunk = np.flatnonzero(weight < 1)
        if len(shrunk):
            rows, weight = sizes[shrunk], weight[shrunk]
            others = np.log(self._estimate(rows))
            seconds[shrunk] = np.exp(weight * np.log(seconds[shrunk]) + (1 - weight) * others)
        return seconds

    def _estimate(self, sizes: NDArray[np.int64]) -> Floats:
        """Seconds of each row by the model, whether it is measured or not [n]."""
        if self.model is not None:
            return self.model.predict(self._batch(sizes))
        return self._base(sizes) * np.exp(self._smoothed(sizes))

    def _smoothed(self, sizes: NDArray[np.int64]) -> Floats:
        """Correction (log) of each row, from measured blocks of the same alignment."""
        result = np.zeros(len(sizes))
        classes = alignment(sizes)
        for name, (tree, correction, trusted) in self.trees.items():
            rows = np.flatnonzero(classes == name)
            if not len(rows):
                continue
            count = min(NEIGHBOURS, len(correction))
            distance, index = tree.query(_position(sizes[rows]), k=[*range(1, count + 1)])
            weight = np.exp(-((distance / SMOOTHING) ** 2)) * trusted[index]
            total = weight.sum(axis=1) + SHRINK
            result[rows] = (weight * correction[index]).sum(axis=1) / total
        return result


def widths_of(batch: BlockBatch) -> NDArray[np.int64]:
    """Widths int64 [n, 4] in the order of `SIZES`; 0 for one that this kind lacks."""
    sizes = np.zeros((len(batch), len(SIZES)), dtype=np.int64)
    for index, name in enumerate(SIZES):
        if name in unit_defaults(batch.kind):
            sizes[:, index] = batch.column(name)
    if batch.kind == "shufflenet_v1":  # a quarter is inside (v1 paper, section 3.2)
        sizes[:, 3] = sizes[:, 1] // 4
    if batch.kind == "shufflenet_v2":  # 0: as wide as the branch
        sizes[:, 3] = np.where(sizes[:, 3] > 0, sizes[:, 3], sizes[:, 2])
    return sizes


def _code(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number per row of widths."""
    first, *others = sizes.T
    for width in others:
        first = (first << BITS) + width
    return first


def _sizes_of(blocks: Sequence[Block]) -> NDArray[np.int64]:
    """`widths_of` blocks one by one, int64 [n, 4]."""
    widths = [widths_of(BlockBatch.of(block)) for block in blocks]
    return np.concatenate([np.zeros((0, len(SIZES)), dtype=np.int64), *widths])


def alignment(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index into `ALIGNMENTS`, int [n]: 0 if the branch (else the inside, else the output) is a
    multiple of 8 channels, 1 of 4, 2 of neither."""
    width = np.where(sizes[:, 2] > 0, sizes[:, 2], sizes[:, 1])
    width = np.where((sizes[:, 2] == 0) & (sizes[:, 3] > 0), sizes[:, 3], width)
    width = np.where(width > 0, width, sizes[:, 0])
    return np.where(width % 8 == 0, 0, np.where(width % 4 == 0, 1, 2))


def _position(sizes: NDArray[np.int64]) -> Floats:
    return np.log2(np.maximum(sizes, 1))


def _up(channels: Any, step: int) -> Any:
    """Channels rounded up to a multiple of `step`."""
    return -(-channels // step) * step


def _op_columns(op: Op) -> list[Any]:
    """The work of an op in elements and multiply-adds: arrays [n] or numbers."""
    if op.kind == "slice":
        return [op.c_out * op.height * op.width]
    if op.kind not in ("conv", "dwconv", "linear"):
        return [op.in_elements + op.out_elements]
    area = op.out_height * op.out_width
    columns = [op.in_elements, op.out_elements]
    columns += [op.in_elements * (op.c_in % pack != 0) for pack in VECTORS]
    if op.kind == "dwconv":
        return columns + [_up(op.c_out, step) * op.kernel**2 * area for step in (1, 8, 16)]
    work = op.c_in // op.groups * op.kernel**2 * area
    columns += [op.weights]
    columns += [op.out_elements * (op.c_out % pack != 0) for pack in VECTORS]
    columns += [work * _up(op.c_out, step) for step in (1, 8, 16, 32)]
    packed = [_up(op.c_in, pack) * _up(op.c_out, pack) for pack in VECTORS]
    return [*columns, *(op.kernel**2 * area * channels for channels in packed)]
