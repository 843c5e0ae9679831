"""ShuffleNet v2 at the same budget: what a search result is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.problem.problem import Axes, Axis, Evaluation, Problem
from space.architectures.shufflenet_v2 import STAGES, WIDTHS, ShuffleNetV2Space
from space.zoo.families import SHUFFLENET_V2, STAGE_DEPTHS

# The paper doubles the last layer between 1.5x and 2x (Table 5: 1024, 1024, 1024, 2048). Between
# their widths of stage 2, 176 and 244, we change it half-way.
WIDE_HEAD_FROM = 212


def head_of(width: int) -> int:
    """Channels of the last 1x1 convolution of a ShuffleNet v2 of this stage-2 width."""
    return 2048 if width >= WIDE_HEAD_FROM else 1024


def paper_axes(space: ShuffleNetV2Space, head: int | None = None) -> Axes:
    """The paper's own axis: the width of stage 2, doubled per stage; depths 4, 8, 4, split 1/2,
    kernel 3, stem 24, and the head of Table 5 (`head`, or by width)."""
    widths = WIDTHS[STAGES[0]]
    rows = [
        space.point((w, 2 * w, 4 * w), STAGE_DEPTHS, head=head or head_of(w)).genes for w in widths
    ]
    table = np.array(rows, dtype=np.int16)
    return Axes((Axis("width2", len(widths)),), lambda choices: table[choices[:, 0]])


@dataclass(frozen=True, slots=True)
class Baseline:
    """The widest ShuffleNet v2 that meets the budgets; `name` as the paper has it, `found` its
    evaluation, one row."""

    name: str
    found: Evaluation

    @property
    def score(self) -> float:
        return float(self.found.score[0])

    @property
    def latency_s(self) -> float:
        return float(self.found.costs.latency_s[0])


def baseline(problem: Problem) -> Baseline | None:
    """The widest ShuffleNet v2 (paper, Table 5) within the budgets; None if even the narrowest is
    over them. The limits of G1-G4 do not bind it.

    Example:
        >>> from latency import load_table
        >>> from search import Problem, baseline, parse_budgets
        >>> from space import ShuffleNetV2Space
        >>> problem = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["146M"]))
        >>> baseline(problem).name
        'ShuffleNet v2 1x'
    """
    widths = WIDTHS[STAGES[0]]
    found = problem.evaluate(paper_axes(problem.space).genes(np.arange(len(widths))[:, None]))
    over = found.violations[:, : len(problem.budgets)] > 0  # the budgets are the first constraints
    fitting = np.flatnonzero(~over.any(axis=1))
    if not len(fitting):
        return None
    width = widths[fitting[-1]]
    sizes = {first: size for size, ((first, *_), _) in SHUFFLENET_V2.items()}
    name = f"{sizes[width].removesuffix('.0')}x" if width in sizes else f"width {width}"
    return Baseline(f"ShuffleNet v2 {name}", problem.evaluate(found.genes[fitting[-1:]]))
