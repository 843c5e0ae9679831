"""Latency of blocks between measured ones, cliffs included.

Blocks are grouped in families: same kind, resolution and every field but the widths. Within one, a
block's seconds are a non-negative sum of what its ops must do (starts, multiply-adds, traffic;
channels also rounded up to 8, 16, 32 as vector units do; traffic once more where 8 or 16 does not
divide the channels), times a correction smoothed from the nearest measured blocks of the same
alignment. Measured blocks come back as measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from space.block import Block, BlockBatch
from space.errors import MissingOpError
from space.op import Op

SIZES = ("c_in", "c_out", "branch", "mid")
ALIGNMENTS = ("8", "4", "2 or 1")  # of the branch: what `alignment` numbers
UNALIGNED = 2
VECTORS = (8, 16)  # channels that engines pack together: 8 with AVX2 and NEON, 16 with AVX-512
MIN_POINTS = 8  # blocks of a family that others are told from
MIN_ON_A_LINE = 5  # where all its widths go together
NEIGHBOURS = 16
SMOOTHING = 0.8  # width of the correction's kernel, in octaves of width
SHRINK = 0.2  # weight of "no correction": far from every measured block it wins
# Kinds with other steps (a projected shortcut, a concatenation) where their channels change.
WIDENING = frozenset(("bottleneck", "repvgg", "shufflenet_v1_wide"))
# What tells families apart beside their fields: steps that depend on widths.
FLAGS = ("widens", "uneven")
BITS = 15  # a width is below 2**15: four of them make one int64

Family: TypeAlias = tuple[str, int, int, tuple[tuple[str, int], ...]]
Floats: TypeAlias = NDArray[np.float64]


def family_of(block: Block) -> Family:
    """What all blocks that one can be interpolated from have in common."""
    rest = tuple((name, value) for name, value in block.fields if name not in SIZES)
    flags = _flags(BlockBatch.of(block))[0]
    rest += tuple((name, 1) for name, flag in zip(FLAGS, flags, strict=True) if flag)
    return block.kind, block.height, block.width, rest


def _flags(batch: BlockBatch) -> NDArray[np.int64]:
    """Which of `FLAGS` hold, 0 or 1, int [n, 2]: the unit widens; its groups do not divide its
    widths, so that fewer are taken."""
    flags = np.zeros((len(batch), 2), dtype=np.int64)
    if batch.kind in WIDENING:
        flags[:, 0] = batch.column("c_in") != batch.column("c_out")
    if batch.kind == "shufflenet_v1":
        flags[:, 1] = batch.column("c_out") % (4 * batch.column("groups")) != 0
    return flags


def family_title(family: Family) -> str:
    """A family as one line: `shufflenet_v2@28x28 kernel=5`."""
    kind, height, width, rest = family
    return " ".join([f"{kind}@{height}x{width}", *(f"{name}={value}" for name, value in rest)])


class Interpolator:
    """Seconds of any block in the range of the measured ones.

    Args:
        seconds: the measured blocks.
    """

    def __init__(self, seconds: Mapping[Block, float]) -> None:
        groups: dict[Family, list[Block]] = {}
        for block in seconds:
            groups.setdefault(family_of(block), []).append(block)
        self._seconds = seconds
        self._groups = groups
        self._fitted: dict[Family, _Family] = {}

    def _family(self, key: Family) -> _Family | None:
        if key not in self._fitted and key in self._groups:
            blocks = self._groups[key]
            values = np.array([self._seconds[block] for block in blocks])
            self._fitted[key] = _Family(key, blocks, values)
        return self._fitted.get(key)

    def predict(self, batch: BlockBatch) -> Floats:
        """Seconds of each block, float64 [n].

        Raises:
            MissingOpError: a block is neither measured nor between measured ones; the message
                names it and its nearest measured neighbours.
        """
        rest = [batch.column(name) for name in batch.fields if name not in SIZES]
        sizes = widths_of(batch)
        flags = _flags(batch)
        if flags.any():
            rest += [*flags.T]
        if not rest:
            return self._predict(batch, sizes, np.arange(len(batch)))
        choices, index = np.unique(np.stack(rest), axis=1, return_inverse=True)
        seconds = np.empty(len(batch))
        for i in range(choices.shape[1]):
            rows = np.flatnonzero(index.ravel() == i)
            seconds[rows] = self._predict(batch, sizes[rows], rows)
        return seconds

    def _predict(self, batch: BlockBatch, sizes: NDArray[np.int64], rows: NDArray) -> Floats:
        key = family_of(batch.block(int(rows[0])))
        family = self._family(key)
        known = np.zeros(len(rows), dtype=bool) if family is None else family.covers(sizes)
        if family is None or not known.all():
            raise MissingOpError(self._missing(batch.block(int(rows[np.argmin(known)]))))
        return family.predict(sizes)

    def _missing(self, block: Block) -> str:
        def distance(other: Block) -> float:
            mine, theirs = dict(block.fields), dict(other.fields)
            names = mine.keys() | theirs.keys()
            gap = sum(abs(np.log2((1 + mine.get(n, 0)) / (1 + theirs.get(n, 0)))) for n in names)
            return float(
                gap + 4 * (block.height != other.height) + 4 * (block.width != other.width)
            )

        same = [other for other in self._seconds if other.kind == block.kind]
        nearest = sorted(same, key=distance)[:3]
        if not nearest:
            kinds = sorted({other.kind for other in self._seconds})
            return f"the table has no {block}; it knows blocks of kind {', '.join(kinds)}"
        return f"the table has no {block}; nearest known: {'; '.join(map(str, nearest))}"


def widths_of(batch: BlockBatch) -> NDArray[np.int64]:
    """Widths int64 [n, 4]; 0 for one this kind has not."""
    columns = []
    for name in SIZES:
        try:
            columns.append(batch.column(name))
        except KeyError:
            columns.append(np.zeros(len(batch), dtype=np.int64))
    sizes = np.stack(columns, axis=1)
    if batch.kind == "shufflenet_v1":  # a quarter is inside (v1 paper, section 3.2)
        sizes[:, 3] = sizes[:, 1] // 4
    if batch.kind == "shufflenet_v2":  # there 0 means: as wide as the branch
        sizes[:, 3] = np.where(sizes[:, 3] > 0, sizes[:, 3], sizes[:, 2])
    return sizes


def _code(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number per row of widths."""
    first, *others = sizes.T
    for width in others:
        first = (first << BITS) + width
    return first


class _Family:
    def __init__(self, key: Family, blocks: Sequence[Block], seconds: Floats) -> None:
        self.kind, self.height, self.width, self.rest = key
        sizes = np.array([_sizes_of(block) for block in blocks], dtype=np.int64)
        order = np.argsort(_code(sizes))
        self.sizes, self.seconds = sizes[order], seconds[order]
        self.codes = _code(self.sizes)
        self.names = [name for name in SIZES if _has(blocks[0], name)]
        self.low, self.high = self.sizes.min(axis=0), self.sizes.max(axis=0)
        self.ratio = self._ratio_range()
        logs = np.log(np.maximum(self.sizes, 1))
        line = np.linalg.matrix_rank(logs - logs[0], tol=1e-6) <= 1
        self.interpolates = len(blocks) >= (MIN_ON_A_LINE if line else MIN_POINTS)
        if self.interpolates:
            self._fit()

    def _ratio_range(self) -> tuple[float, float]:
        """Least and greatest share of the branch; anything where there is no branch."""
        share = self.sizes[:, 2] / np.maximum(self.sizes[:, 1], 1)
        return float(share.min()), float(share.max())

    def covers(self, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of widths are measured or lie between measured ones, bool [n]."""
        found = np.isin(_code(sizes), self.codes)
        if not self.interpolates:
            return found
        inside = ((sizes >= self.low) & (sizes <= self.high)).all(axis=1)
        inside &= np.isin(alignment(sizes), list(self.trees))
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
        apart = alignment(self.sizes)[:, None] == UNALIGNED  # a different kernel: own prices
        features = np.concatenate([columns * ~apart, columns * apart], axis=1)
        scales = np.maximum(features.max(axis=0), 1e-300)
        features = features / scales / self.seconds[:, None]  # relative errors count
        prices, _ = nnls(features, np.ones(len(features)), maxiter=100 * features.shape[1])
        self.prices = (prices / scales).reshape(2, -1)
        self.correction = np.log(self.seconds / self._base(self.sizes))
        self.trees = {}
        classes = alignment(self.sizes)
        for name in np.unique(classes):
            rows = np.flatnonzero(classes == name)
            self.trees[int(name)] = (cKDTree(_position(self.sizes[rows])), self.correction[rows])

    def _base(self, sizes: NDArray[np.int64]) -> Floats:
        apart = alignment(sizes) == UNALIGNED
        seconds = np.zeros(len(sizes))
        for column, (price, price_apart) in zip(self._columns(sizes), self.prices.T, strict=True):
            if price or price_apart:
                seconds += column * np.where(apart, price_apart, price)
        return seconds

    def _columns(self, sizes: NDArray[np.int64]) -> list[NDArray[Any]]:
        """What each block's ops must do: columns [n]."""
        fields: dict[str, Any] = {name: v for name, v in self.rest if name not in FLAGS}
        fields |= {name: sizes[:, SIZES.index(name)] for name in self.names}
        batch = BlockBatch(self.kind, self.height, self.width, fields)
        columns: list[Any] = [1]
        for step in batch.steps:
            columns.extend(_op_columns(step.op))
        return [np.broadcast_to(column, (len(sizes),)) for column in columns]

    def predict(self, sizes: NDArray[np.int64]) -> Floats:
        at = np.minimum(np.searchsorted(self.codes, _code(sizes)), len(self.codes) - 1)
        exact = self.codes[at] == _code(sizes)
        seconds = self.seconds[at].copy()
        between = np.flatnonzero(~exact)
        if len(between):
            rows = sizes[between]
            seconds[between] = self._base(rows) * np.exp(self._smoothed(rows))
        return seconds

    def _smoothed(self, sizes: NDArray[np.int64]) -> Floats:
        """Correction (log) of each row, from measured blocks of the same alignment."""
        result = np.zeros(len(sizes))
        classes = alignment(sizes)
        for name, (tree, correction) in self.trees.items():
            rows = np.flatnonzero(classes == name)
            if not len(rows):
                continue
            count = min(NEIGHBOURS, len(correction))
            distance, index = tree.query(_position(sizes[rows]), k=[*range(1, count + 1)])
            weight = np.exp(-((distance / SMOOTHING) ** 2))
            total = weight.sum(axis=1) + SHRINK
            result[rows] = (weight * correction[index]).sum(axis=1) / total
        return result


def _has(block: Block, name: str) -> bool:
    try:
        return block[name] >= 0
    except KeyError:
        return False


def _sizes_of(block: Block) -> list[int]:
    return [int(column[0]) for column in widths_of(BlockBatch.of(block)).T]


def alignment(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """0: the branch (else the inside, else the output) is a multiple of 8 channels; 1: of 4; 2: of
    neither. int [n]."""
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
    """What an op must do, in its natural units: arrays [n] or numbers."""
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
