"""ShuffleNet v2 at the same budget: what a search result is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.problem.axes import Axes, Axis
from search.problem.problem import Evaluation, Problem
from space.architectures.search_space import Genes
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

    def genes(choices: np.ndarray) -> Genes:
        return table[choices[:, 0]]

    return Axes((Axis("width2", len(widths)),), genes)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The widest ShuffleNet v2 that meets the budgets, evaluated; `name` as the paper has it."""

    name: str
    found: Evaluation


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
    axes = paper_axes(problem.space)
    found = problem.evaluate(axes.genes(np.arange(axes.sizes[0])[:, None]))
    budgets = [name for name, _ in problem.constraints]
    columns = [i for i, name in enumerate(budgets) if name in ("flops", "params", "latency_s")]
    fitting = np.flatnonzero((found.violations[:, columns] <= 0).all(axis=1))
    if not len(fitting):
        return None
    row = int(fitting[-1])
    width = WIDTHS[STAGES[0]][row]
    sizes = {widths[0]: size for size, (widths, _) in SHUFFLENET_V2.items()}
    name = f"{sizes[width].removesuffix('.0')}x" if width in sizes else f"width {width}"
    return Baseline(f"ShuffleNet v2 {name}", problem.evaluate(found.genes[row : row + 1]))
