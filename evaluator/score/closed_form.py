"""A score from the widths, depths, splits and kernels of n architectures.

    score = sum over stages s of  growth^level_s * (log(width_s) + mean over units of log(split)
                                  + passthrough * log(width_s)
                                  + depth * log(depth_s) - depth_cost * depth_s
                                  - kernel_cost / kernel_s^2)
            + passthrough * growth^-1 * log(stem) + passthrough * growth^level_last * log(head)

What each term is for, and where its constant comes from:

- `log(width) + log(split)`: the channels a unit transforms, on average over a stage's units.
  Logarithms, because on both public tables the gain from a width falls as 1 / width.
- `passthrough`: the weight of channels that a unit passes through untouched, and of the stem and
  the head. Later layers read them, but they are worth less than transformed ones. Chosen, because
  no public table varies the split. A quarter puts the best split inside {1/4 ... 3/4}.
- `depth * log(depth)`: each further unit of a stage adds less than the one before it.
- `depth_cost`: each unit also costs something (gradient fluctuations grow with the sum of 1 /
  fan-in over layers: Hanin, "Which neural net architectures give rise to exploding and vanishing
  gradients?", Theorem 1; a depthwise layer's fan-in does not grow with width). Set so that at
  equal FLOPs the best stage has 5 units where a unit costs depth * width^2: the 20 blocks in four
  stages that Radosavovic et al., "Designing Network Design Spaces", Section 5, find at all sizes.
- `kernel_cost`: a larger depthwise kernel helps a little, and from 5 to 7 far less than from 3
  to 5. The step from 3 to 5 is fitted; nothing public measures the step to 7.
- `growth`: a stage at half the resolution counts this much more.

`growth`, `depth` and `kernel_cost` are rounded fits to one half of Accel-NASBench (`calibration`).
Scores compare networks of one family of units and one number of stages, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
STUDY_IDENTITY = (
    "ClosedForm(growth=1.5, carried=0.25, depth=0.85, depth_cost=0.045, kernel_cost=2.2)"
)
"""The score with its default constants, as stored studies name it. The text stays as it is while
the constants do; `carried` is its name for `passthrough`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosedForm:
    """The score with its constants, which have no unit; the defaults are the project's.

    Example:
        >>> score = ClosedForm()
        >>> score([[116, 232, 464], [100, 200, 400]], [[4, 8, 4]], splits=0.5).round(2)
        array([34.33, 33.44])
    """

    growth: float = 1.5
    passthrough: float = 0.25
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
        """The score of n architectures, float64 [n].

        Args:
            widths: [n, stages], channels that leave each stage.
            depths: [n, stages], units; this and the next three may be any shape that broadcasts.
            splits: [n, stages], the branch's share of the width; above 1 for an expansion.
            first_splits: [n, stages], where the first unit of a stage has another share, as the
                stride-2 unit of ShuffleNet v2 has (1/2).
            kernels: [n, stages], the depthwise kernel.
            stem: [n] or a scalar, its width; None adds nothing.
            head: likewise.
            levels: [stages], how often the resolution has been halved since the first stage; by
                default once per stage.

        Raises:
            ValueError: an array has another shape, or holds a value that is not positive and
                finite.
            TypeError: an array holds no numbers.
        """
        width = _positive("widths", widths)
        if width.ndim != 2 or not width.shape[1]:
            raise ValueError(f"`widths` must be [n, stages]; got shape {width.shape}.")
        n, stages = width.shape
        depth = _broadcast("depths", depths, width.shape)
        kernel = _broadcast("kernels", kernels, width.shape)
        log_split = np.log(_broadcast("splits", splits, width.shape))
        if first_splits is not None:
            first = _broadcast("first_splits", first_splits, width.shape)
            log_split = mean_log_split(log_split, np.log(first), depth)
        scale = self.scale(stages, levels)
        # Each term has its own sum: rounding then separates no networks of equal score.
        total = np.asarray(self.width_term(width) @ scale)
        for term in (self.depth_term(depth), self.kernel_term(kernel), log_split):
            total += term @ scale
        if stem is not None:
            total += self.passthrough / self.growth * np.log(_broadcast("stem", stem, (n,)))
        if head is not None:
            total += self.passthrough * scale[-1] * np.log(_broadcast("head", head, (n,)))
        return total

    def scale(self, stages: int, levels: ArrayLike | None = None) -> Floats:
        """[stages]: the weight of each stage.

        Raises:
            ValueError: `levels` is not [stages].
        """
        level = np.arange(stages) if levels is None else np.asarray(levels, dtype=float)
        if level.shape != (stages,):
            raise ValueError(f"`levels` must be [stages] = [{stages}]; got shape {level.shape}.")
        return np.power(self.growth, level, dtype=float)

    def width_term(self, width: Floats) -> Floats:
        return (1 + self.passthrough) * np.log(width)

    def depth_term(self, depth: Floats) -> Floats:
        return self.depth * np.log(depth) - self.depth_cost * depth

    def kernel_term(self, kernel: Floats) -> Floats:
        return -self.kernel_cost / np.square(kernel)


def mean_log_split(log_split: Floats, log_first: Floats, depth: Floats) -> Floats:
    """The mean log split of a stage's units, of which the first has a split of its own."""
    return log_split + (log_first - log_split) / depth


def _positive(name: str, array: ArrayLike) -> Floats:
    """The array as floats, every value positive and finite."""
    values = np.asarray(array)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"`{name}` must hold numbers; got dtype {values.dtype}.")
    if values.size and not (values.min() > 0 and values.max() < np.inf):
        raise ValueError(
            f"`{name}` must be positive and finite; got {values.min()} to {values.max()}."
        )
    return values.astype(float)


def _broadcast(name: str, array: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """`array` in a shape, [n, stages] or [n], every value positive and finite."""
    values = _positive(name, array)
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        axes = "[n, stages]" if len(shape) == 2 else "[n]"
        raise ValueError(
            f"`{name}` must be {axes} = {list(shape)} or broadcast to it; "
            f"got shape {values.shape}."
        ) from None
