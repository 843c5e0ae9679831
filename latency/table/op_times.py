"""The latency model of a table measured on a GPU: a block's seconds are the sum of its ops'.

On a GPU the time of an op is launches, elements that move, and waves of thread blocks; its
multiply-adds hardly matter. Each of these amounts has one price, the same in all families. The
real time of an op is that price times 1 + smooth + own:

- smooth: how well the library's kernels fit the op's sizes, alike for ops of similar sizes;
- own: which kernel the library chose for exactly these sizes. Most choices are alike; a few cost
  several times more, and nothing but a measurement of an op of these sizes tells which.

Both are Gaussian processes over the ops, fitted to the blocks together. Heavy tails of `own`, and
of the blocks' noise, keep the few from distorting the many (iterated weights of Student's t).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency.table.family_fit import Floats
from space.graph.op import Op
from space.network.block import Block, BlockBatch

# Chosen on the blocks of one GPU (docs/results/gpu-tables.md); a factor of 1.7 in any of them
# changes the error of left-out units by about a tenth at most.
SMOOTH = 0.3  # deviation of an op's time, relative to its price
LEVEL = 0.3  # the same, in common for all ops of a kind
OWN = 0.05
NOISE = 0.008  # deviation of a block's time beyond its measured error
MOST_NOISE = 100.0  # times a block's seconds: more says no more
TAILS = 2.0  # degrees of freedom
ROUNDS = 5  # of the weights
# How far ops differ before their times no longer tell of each other: octaves of output pixels,
# input channels of a group and output channels; halves of kernels; strides; whether 8 and 4 divide
# the input channels, then the output channels (tensor cores read 8 float16 at once); octaves of
# groups.
REACH = np.array([2.0, 3.0, 4.0, 3.0, 2.0, 5.0, 8.0, 5.0, 8.0, 2.0])
LAUNCHES = {"conv": 3.0, "dwconv": 2.0, "concat": 2.0, "slice": 0.5}  # others: 1
TILE = 128, 64  # output pixels and channels of a thread block of a matrix product
DEPTH = 32  # input channels of one step of it
MULTIPROCESSORS = 132  # where the table does not say
ROUNDING = 1e-12  # of the largest variance: what keeps a sum of variances positive
LEAST = 0.003  # of the median block's time: the least price of a launch
MOST_BLOCKS = 2000  # that are fitted together: the time to fit grows with their third power
ROWS = 1024  # ops that are predicted at once
TRUSTED = 3.0  # a block's time is within this factor of its price


@dataclass(frozen=True, slots=True)
class GpuRun:
    """What of a table's GPU its ops' times depend on: images of a run, multiprocessors."""

    batch: int
    multiprocessors: int = MULTIPROCESSORS

    @classmethod
    def of(cls, batch: int, host: Mapping[str, Any]) -> GpuRun | None:
        """That of a table with these facts about its machine; None if it ran on no GPU."""
        facts = host.get("accelerator")
        if facts is None:
            return None
        found: Any = facts.get("multiprocessors") if isinstance(facts, Mapping) else None
        usable = isinstance(found, int) and 0 < found < 100_000
        return cls(batch, int(found) if usable else MULTIPROCESSORS)


class OpTimes:
    """Predicts blocks of a GPU's table by their ops.

    Args:
        families: the measured blocks, those of a family together.
        seconds, errors: of each block, and their relative standard errors.
        gpu: what ran them.
    """

    def __init__(
        self,
        families: Sequence[Sequence[Block]],
        seconds: Mapping[Block, float],
        errors: Mapping[Block, float],
        gpu: GpuRun,
    ) -> None:
        self.gpu = gpu
        blocks = _chosen(families)
        times = np.array([seconds[block] for block in blocks])
        own = np.minimum([errors.get(block, 0.0) for block in blocks], MOST_NOISE)
        noise = NOISE**2 + own**2
        self._index_ops(blocks)
        self._fit_prices(times)
        self._fit_deviations(times, noise)

    def _index_ops(self, blocks: Sequence[Block]) -> None:
        """Of each kind of op: its different sizes [ops, 7], and how often blocks have them, sparse
        [blocks, ops]."""
        from scipy.sparse import csr_array

        found: dict[str, list[tuple[int, NDArray[np.int64]]]] = {}
        for number, block in enumerate(blocks):
            for kind, sizes in self._sizes(BlockBatch.of(block)):
                found.setdefault(kind, []).append((number, sizes[0]))
        self.sizes: dict[str, NDArray[np.int64]] = {}
        self.counts: dict[str, Any] = {}
        for kind, ops in found.items():
            rows = [number for number, _ in ops]
            self.sizes[kind], which = np.unique(
                np.stack([sizes for _, sizes in ops]), axis=0, return_inverse=True
            )
            shape = len(blocks), len(self.sizes[kind])
            self.counts[kind] = csr_array((np.ones(len(ops)), (rows, which.ravel())), shape=shape)

    def _sizes(self, batch: BlockBatch) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Of each op of n blocks: its kind, and its sizes [n, 7]: pixels read, pixels written, of
        all images; input channels of a group, output channels, kernel, stride, groups."""
        count = len(batch)
        for step in batch.steps:
            op: Op = step.op
            pixels = self.gpu.batch * op.height * op.width
            out = self.gpu.batch * op.out_height * op.out_width
            groups = op.groups if op.kind in ("conv", "linear") else 1
            row = pixels, out, op.c_in // groups, op.c_out, op.kernel, op.stride, groups
            sizes = np.empty((count, len(row)), dtype=np.int64)
            for index, size in enumerate(row):
                sizes[:, index] = size
            yield op.kind, sizes

    def _amounts(self, kind: str, sizes: NDArray[np.int64]) -> Floats:
        """Launches, elements read and written, and steps of waves, of ops: float64 [n, 3]."""
        read, written, c_in, c_out, kernel, _, groups = sizes.T.astype(np.float64)
        launches = np.full(len(sizes), LAUNCHES.get(kind, 1.0))
        traffic = read * c_in * groups + written * c_out
        tiles = np.ceil(written / TILE[0]) * np.ceil(c_out / groups / TILE[1]) * groups
        steps = np.ceil(c_in / DEPTH) * kernel**2
        waves = np.ceil(tiles / self.gpu.multiprocessors) * steps * (kind == "conv")
        return np.stack([launches, traffic, waves], axis=1)

    def _fit_prices(self, seconds: Floats) -> None:
        """Prices of a launch, of a step of a wave, and of the traffic of each kind of op: relative
        errors count, those of the few that are far off less."""
        from scipy.optimize import nnls

        kinds = list(self.sizes)
        columns = np.zeros((len(seconds), 2 + len(kinds)))
        for index, kind in enumerate(kinds):
            amounts = self.counts[kind] @ self._amounts(kind, self.sizes[kind])
            columns[:, :2] += amounts[:, [0, 2]]
            columns[:, 2 + index] = amounts[:, 1]
        scales = np.maximum(columns.max(axis=0), 1e-300)
        columns = columns / scales / seconds[:, None]
        weights = np.ones(len(seconds))
        for _ in range(2 * ROUNDS):
            found, _ = nnls(columns * weights[:, None], weights, maxiter=100 * len(scales))
            off = np.abs(columns @ found - 1)
            weights = 1 / np.sqrt(1 + (off / (4 * np.median(off) + 1e-9)) ** 2)
        launch, wave, *traffic = found / scales
        launch = max(launch, LEAST * float(np.median(seconds)))
        self.prices = {k: np.array([launch, t, wave]) for k, t in zip(kinds, traffic, strict=True)}

    def _price(self, kind: str, sizes: NDArray[np.int64]) -> Floats:
        """Seconds of ops by their amounts of work alone [n]."""
        return np.asarray(self._amounts(kind, sizes) @ self.prices[kind])

    def _fit_deviations(self, seconds: Floats, noise: Floats) -> None:
        """What to add to the prices: `smooth` and `own` of each size of op. Everything is relative
        to the blocks' seconds, `noise` is their variance."""
        from scipy.linalg import cho_factor, cho_solve

        share = {
            k: counts.multiply(1 / seconds[:, None]).tocsr() for k, counts in self.counts.items()
        }
        self.places = {kind: _places(kind, sizes) for kind, sizes in self.sizes.items()}
        prices = {kind: self._price(kind, sizes) for kind, sizes in self.sizes.items()}
        rest = 1 - sum(share[kind] @ price for kind, price in prices.items())
        own = {kind: (OWN * price) ** 2 for kind, price in prices.items()}
        weight = {kind: np.ones(len(price)) for kind, price in prices.items()}
        smooth: Floats = np.zeros((len(seconds), len(seconds)))
        for kind, price in prices.items():
            priced = share[kind] * price
            smooth += priced @ (priced @ _likeness(self.places[kind], self.places[kind])).T
        noises = np.ones(len(seconds))
        for turn in range(ROUNDS + 1):
            total = smooth + np.diag(noise * noises)
            for kind, part in share.items():
                total += ((part * (own[kind] * weight[kind])) @ part.T).toarray()
            total += np.diag(np.full(len(total), ROUNDING * total.diagonal().max()))
            pull = cho_solve(cho_factor(total, lower=True), rest)
            if turn == ROUNDS:
                break
            for kind, part in share.items():
                off = own[kind] * weight[kind] ** 2 * (part.T @ pull) ** 2
                weight[kind] = (TAILS + off) / (TAILS + 1)
            noises = (TAILS + noise * noises**2 * pull**2) / (TAILS + 1)
        self.smooth, self.own = {}, {}
        for kind, part in share.items():
            pulls = part.T @ pull
            self.smooth[kind] = prices[kind] * pulls
            deviation = own[kind] * weight[kind] * pulls
            self.own[kind] = dict(zip(map(bytes, self.sizes[kind]), deviation, strict=True))

    def predict(self, batch: BlockBatch) -> Floats:
        """Seconds of blocks whose kinds of ops were all measured, float64 [n]."""
        seconds, prices = np.zeros(len(batch)), np.zeros(len(batch))
        for kind, sizes in self._sizes(batch):
            different, which = np.unique(sizes, axis=0, return_inverse=True)
            price = self._price(kind, different)
            prices += price[which.ravel()]
            seconds += self._op_seconds(kind, different, price)[which.ravel()]
        return np.clip(seconds, prices / TRUSTED, prices * TRUSTED)

    def _op_seconds(self, kind: str, sizes: NDArray[np.int64], price: Floats) -> Floats:
        """Seconds of ops of different sizes [n, 7], of their prices [n]."""
        known = self.own[kind]
        seconds = price + [known.get(bytes(row), 0.0) for row in sizes]
        for start in range(0, len(sizes), ROWS):
            some = slice(start, start + ROWS)
            alike = _likeness(_places(kind, sizes[some]), self.places[kind])
            seconds[some] += price[some] * (alike @ self.smooth[kind])
        return np.asarray(seconds)


def _places(kind: str, sizes: NDArray[np.int64]) -> Floats:
    """Where ops of a kind are among all sizes, in units of `REACH`, float64 [n, 10]."""
    _, pixels, c_in, c_out, kernel, stride, groups = sizes.T
    dense = kind == "conv"
    columns = [np.log2(pixels), np.log2(c_in), np.log2(c_out), (kernel - 1) / 2, stride - 1]
    columns += [(c_in % 8 != 0) * dense, (c_in % 4 != 0) * dense]
    columns += [c_out % 8 != 0, c_out % 4 != 0, np.log2(groups)]
    return np.stack([column.astype(np.float64) for column in columns], axis=1) / REACH


def _likeness(places: Floats, others: Floats) -> Floats:
    """Covariance of `smooth` between ops [n] and others [m] of a kind, float64 [n, m]: Matern's of
    order 3/2."""
    from scipy.spatial.distance import cdist

    distance = np.sqrt(3) * cdist(places, others)
    return np.asarray(SMOOTH**2 * (1 + distance) * np.exp(-distance) + LEVEL**2)


def _chosen(families: Sequence[Sequence[Block]]) -> list[Block]:
    """At most about `MOST_BLOCKS` blocks, of every family some, evenly."""
    share = min(1.0, MOST_BLOCKS / sum(map(len, families)))
    counts = [int(np.ceil(share * len(family))) for family in families]
    return [
        family[at]
        for family, count in zip(families, counts, strict=True)
        for at in np.linspace(0, len(family) - 1, count).round().astype(int)
    ]
