"""A score from widths, depths, splits and kernels alone, for millions of architectures at once.

    score = sum over stages s of  growth^level_s * (log(width_s) + mean over units of log(split)
                                  + carried * log(width_s)
                                  + depth * log(depth_s) - depth_cost * depth_s
                                  - kernel_cost / kernel_s^2)
            + carried * growth^-1 * log(stem) + carried * growth^level_last * log(head)

What each term is for, and where its constant comes from (`docs/score.md` has the numbers):

- `log(width) + log(split)`: the channels a unit transforms, on average over a stage's units.
  Logarithms, because on both public tables the gain from a width falls as 1 / width. Its weight
  is 1: the unit of the score.
- `carried`: channels that a unit passes through untouched are still seen by later units and by
  the classifier, but are worth less than transformed ones. Chosen, not fitted: no public table
  varies the split. A quarter puts the best split inside {1/4 ... 3/4}; the stem and the head,
  which only carry, get the same weight.
- `depth * log(depth)`: each further unit of a stage adds less than the one before it.
- `depth_cost`: each unit also costs something (gradient fluctuations grow with the sum of 1 /
  fan-in over layers: Hanin, "Which neural net architectures give rise to exploding and vanishing
  gradients?", Theorem 1; a depthwise layer's fan-in does not grow with width). Set so that at
  equal FLOPs the best stage has 5 units where a unit costs depth * width^2: the 20 blocks in four
  stages that Radosavovic et al., "Designing Network Design Spaces", Section 5, find at all sizes.
- `kernel_cost`: a larger depthwise kernel helps a little, and from 5 to 7 far less than from 3
  to 5. The step from 3 to 5 is fitted; nothing public measures the step to 7.
- `growth`: a stage at half the resolution counts this much more.

`growth`, `depth` and `kernel_cost` were fitted to one half of Accel-NASBench
(`python -m evaluator.calibrate`) and rounded.

Scores compare networks of one family of units and one number of stages, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
STUDY_IDENTITY = (
    "ClosedForm(growth=1.5, carried=0.25, depth=0.85, depth_cost=0.045, kernel_cost=2.2)"
)
"""The score with its default constants, as stored studies name it: the text never changes while
the numbers do not (`carried` is `passthrough`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosedForm:
    """The score's constants; call it with arrays. The defaults are the project's score."""

    growth: float = 1.5
    carried: float = 0.25
    depth: float = 0.85
    depth_cost: float = 0.045
    kernel_cost: float = 2.2

    def __call__(
        self,
        widths: ArrayLike,
        depths: ArrayLike,
        *,
        splits: ArrayLike = 1.0,
        first_splits: ArrayLike | None = None,
        kernels: ArrayLike = 3,
        stem: ArrayLike | None = None,
        head: ArrayLike | None = None,
        levels: ArrayLike | None = None,
    ) -> Floats:
        """Score n architectures; returns float64 [n].

        `widths`: [n, stages], channels that leave each stage. `depths`: [n, stages], units.
        `splits`: [n, stages] (or anything that broadcasts to it), the branch's share of the
        width; above 1 for an expansion. `first_splits`: likewise, where the first unit of a stage
        has a share of its own, as the stride-2 unit of ShuffleNet v2 has (1/2). `kernels`:
        likewise, the depthwise kernel. `stem` and `head`: [n] or scalars, their widths; left out,
        they add nothing. `levels`: [stages], how often the resolution has been halved since the
        first stage; by default once per stage.

        Integer arrays are looked up in tables and cost least.
        """
        width = _checked("widths", widths)
        if width.ndim != 2 or not width.shape[1]:
            raise ValueError(f"`widths` must be [n, stages]; got shape {width.shape}.")
        n, stages = width.shape
        depth = _per_stage("depths", depths, n, stages)
        split = _per_stage("splits", splits, n, stages)
        kernel = _per_stage("kernels", kernels, n, stages)
        scale = self.scale(stages, levels)
        total = _looked_up(width, self.width_term) @ scale
        total += _weighed(_looked_up(depth, self.depth_term), scale)
        total += _weighed(_looked_up(kernel, self.kernel_term), scale)
        log_split = _looked_up(split, np.log)
        if first_splits is None:
            total += _weighed(log_split, scale)
        else:
            first = _looked_up(_per_stage("first_splits", first_splits, n, stages), np.log)
            total += _weighed(mean_log_split(log_split, first, depth), scale)
        if stem is not None:
            total += self.carried / self.growth * _one_each("stem", stem, n)
        if head is not None:
            total += self.carried * scale[-1] * _one_each("head", head, n)
        return total

    def scale(self, stages: int, levels: ArrayLike | None = None) -> Floats:
        """[stages]: what a stage counts."""
        level = np.arange(stages) if levels is None else np.asarray(levels, dtype=float)
        if level.shape != (stages,):
            raise ValueError(f"`levels` must be [stages] = [{stages}]; got shape {level.shape}.")
        return np.power(self.growth, level, dtype=float)

    def width_term(self, width: Floats) -> Floats:
        return (1 + self.carried) * np.log(width)

    def depth_term(self, depth: Floats) -> Floats:
        return self.depth * np.log(depth) - self.depth_cost * depth

    def kernel_term(self, kernel: Floats) -> Floats:
        return -self.kernel_cost / np.square(kernel)


def mean_log_split(log_split: Floats, log_first: Floats, depth: NDArray[np.generic]) -> Floats:
    """The log split of a stage's units on average, the first of them with its own."""
    return log_split + (log_first - log_split) / depth.astype(float)


def _weighed(terms: Floats, scale: Floats) -> Floats:
    """[n or 1]: the sum over stages of `terms`, [n or 1, stages or 1], times `scale`."""
    return terms @ scale if terms.shape[1] == len(scale) else terms[:, 0] * scale.sum()


def _per_stage(name: str, given: ArrayLike, n: int, stages: int) -> NDArray[np.generic]:
    """`given` as [n or 1, stages or 1], every value a positive number."""
    values = np.atleast_2d(_checked(name, given))
    if values.ndim != 2 or values.shape[0] not in (1, n) or values.shape[1] not in (1, stages):
        raise ValueError(
            f"`{name}` must be [n, stages] = [{n}, {stages}] or broadcast to it; "
            f"got shape {np.shape(given)}."
        )
    return values


def _one_each(name: str, given: ArrayLike, n: int) -> Floats:
    """Logarithms of one width per architecture, or of one for all."""
    values = _checked(name, given)
    if values.shape not in ((), (1,), (n,)):
        raise ValueError(f"`{name}` must be [n] = [{n}]; got shape {values.shape}.")
    return _looked_up(values, np.log)


def _checked(name: str, given: ArrayLike) -> NDArray[np.generic]:
    """The array, every value of it a positive number."""
    values = np.asarray(given)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"`{name}` must hold numbers; got dtype {values.dtype}.")
    if values.size and not (values.min() > 0 and values.max() < np.inf):
        raise ValueError(
            f"`{name}` must be positive and finite; got {values.min()} to {values.max()}."
        )
    return values


def _looked_up(values: NDArray[np.generic], term: Callable[[Floats], Floats]) -> Floats:
    """`term(values)`, computed once per distinct integer where that is cheaper."""
    if values.dtype.kind in "iu" and values.size and int(values.max()) < values.size:
        table = np.zeros(int(values.max()) + 1)
        table[1:] = term(np.arange(1, len(table), dtype=float))
        return table[values]
    return np.asarray(term(values.astype(float)))
