"""The paper's four guidelines as numbers (Ma et al., ECCV 2018, section 2).

Each of G1, G2 and G4 is a ratio of two memory accesses, each a sum over ops. Blocks and networks
have the same formula: an op has the weight of the memory that it moves.

    G1  access of the 1x1 convolutions / its lower bound at equal FLOPs        1 = equal widths
    G2  access of the 1x1 convolutions / the access without groups, at equal FLOPs and input
    G3  convolutions and poolings in the most fragmented unit
    G4  access of element-wise operators / access of all operators
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.graph.builder import Step
from space.graph.op import Op
from space.network.block import Block

NAMES = ("g1", "g2", "g3", "g4")

ELEMENTWISE = ("dwconv", "relu", "add", "mul", "batchnorm")

# The additive parts, in the order in which cost tables hold them.
PARTS = ("pointwise", "pointwise_bound", "pointwise_ungrouped", "elementwise", "traffic")


def pointwise_bound(op: Op) -> Any:
    """Least memory access of a 1x1 convolution of equal FLOPs and groups, in elements.

    Paper, section 2, G1: MAC >= 2 sqrt(hw B) + B / hw with B = hw c1 c2, reached at c1 = c2.
    With g groups B = hw c1 c2 / g and the same steps give 2 sqrt(hw g B) + B / hw. With a stride,
    input and output have each their own h w.
    """
    sides = np.sqrt(np.asarray(op.in_elements, float) * np.asarray(op.out_elements, float))
    return 2 * sides + op.weights


def pointwise_ungrouped(op: Op) -> Any:
    """Memory access of the 1x1 convolution of equal FLOPs and input, but one group, in elements.

    Paper, section 2, G2: MAC = hw c1 + B g / c1 + B / hw; here the same B and c1 with g = 1.
    """
    return op.in_elements + op.out_elements / op.groups + op.weights


def elementwise(op: Op) -> Any:
    """Element-wise memory access: ReLU, add, scaling, and depthwise convolution, in elements.

    Paper, section 2, G4: a ReLU counts, fused or not, and so does the depthwise convolution, for
    its memory access per FLOP. The scaling of a squeeze-and-excitation and a separate batch norm
    are passes over a map too. Shuffles and concatenations move data; the paper's Figure 2 lists
    them separately.
    """
    activation = 2 * op.out_elements if op.act else 0
    own = op.mem_access if op.kind in ELEMENTWISE else 0
    return own + activation


def fragments(steps: Iterable[Step]) -> int:
    """Convolutions and poolings of a unit (paper, section 2, G3: 2 or 3 in ResNet's units, 13 in
    NASNet-A's)."""
    return sum(step.op.kind in ("conv", "dwconv", "maxpool", "avgpool") for step in steps)


def parts(steps: Iterable[Step]) -> tuple[Any, ...]:
    """The sums over ops named in `PARTS`, in elements; arrays [n] for a batch of n blocks."""
    totals: list[Any] = [0.0] * len(PARTS)
    for step in steps:
        op = step.op
        traffic = op.mem_access + (2 * op.out_elements if op.act else 0)
        pointwise: tuple[Any, ...] = (0, 0, 0)
        if op.is_pointwise:
            pointwise = op.mem_access, pointwise_bound(op), pointwise_ungrouped(op)
        values = (*pointwise, elementwise(op), traffic)
        totals = [total + value for total, value in zip(totals, values, strict=True)]
    return tuple(totals)


def ratios(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """G1, G2, G4 float64 [...] from the sums of `PARTS`, [..., 5]. Without 1x1 convolutions G1
    and G2 are 1."""
    pointwise, bound, ungrouped, own, traffic = np.moveaxis(sums, -1, 0)
    none = pointwise == 0
    return (
        np.where(none, 1.0, pointwise / np.where(none, 1.0, bound)),
        np.where(none, 1.0, pointwise / np.where(none, 1.0, ungrouped)),
        own / traffic,
    )


@dataclass(frozen=True, slots=True)
class Guidelines:
    """G1-G4 of a block or network, or the largest allowed value of each.

    `g1`, `g2` and `g4` are ratios of memory access, `g3` is a number of operators.

    Example:
        >>> from space import PAPER_LIMITS, Guidelines, published_network
        >>> network = published_network("ShuffleNet v1 1.0x g=3").network()
        >>> numbers = Guidelines.of(network.blocks)
        >>> [name for name, over in numbers.violations(PAPER_LIMITS).items() if over > 0]
        ['g1', 'g2', 'g4']
    """

    g1: float
    g2: float
    g3: float
    g4: float

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> Guidelines:
        """The guidelines of a chain of blocks."""
        sums = np.array([parts(block.steps) for block in blocks], dtype=float).sum(axis=0)
        g1, g2, g4 = (float(value) for value in ratios(sums))
        return cls(g1, g2, max(fragments(block.steps) for block in blocks), g4)

    def violations(self, limits: Guidelines) -> dict[str, float]:
        """value - limit by name; feasible when <= 0."""
        return {name: getattr(self, name) - getattr(limits, name) for name in NAMES}


PAPER_LIMITS = Guidelines(g1=1.05, g2=1.05, g3=5, g4=0.48)
"""The default limits of a network, not of each unit: a stride-2 unit has to widen.

They separate the networks as section 2 of the paper does. All four ShuffleNet v2 of Table 5 are
within them (at most 1.016, 1, 5 and 0.383; without stem and head 1.020 and 0.471). Every
ShuffleNet v1 of Table 8 breaks G1, G2 and G4 (at least 1.145, 1.293 and 0.504), and every
MobileNet v2 breaks G1 and G4 (1.229 and 0.572).
"""
