"""What layers cost on a target, and how much of that a broken guideline costs.

The cost of G1 is the time of a 1x1 convolution minus that of the one with equal FLOPs, equal
groups and equal widths. The cost of G2 is the time of a convolution in groups minus that of the
one with equal FLOPs and input in one group. The cost of G4 is the time of element-wise ops,
without folded activations. G3 has no cost in a model of single ops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

from latency.audit.foreign_op import ForeignOp
from latency.table.load import load_table, shipped_tables
from space.common.errors import AuditError, MissingOpError
from space.cost.guidelines import ELEMENTWISE
from space.graph.op import Op


@dataclass(frozen=True, slots=True)
class Seconds:
    """Seconds of some ops, and the seconds that each broken guideline costs. Neither includes
    the `unpriced` ops."""

    total_s: float
    cost_s: dict[str, float]
    unpriced: int


@dataclass(frozen=True, slots=True)
class Pricer:
    """Prices ops with `op_s`; `label`: the source of its seconds."""

    op_s: Callable[[Op], Any]
    label: str

    def price(self, ops: Sequence[Op]) -> Seconds:
        """Seconds of some ops run one after the other."""
        total, unpriced = 0.0, 0
        cost = {"g1": 0.0, "g2": 0.0, "g4": 0.0}
        for op in ops:
            seconds = self._seconds(op)
            if seconds is None:
                unpriced += 1
                continue
            total += seconds
            if op.is_pointwise:
                cost["g1"] += seconds - self._scaled(equal_widths(op), op)
            if op.kind == "conv" and op.groups > 1:
                cost["g2"] += seconds - self._scaled(one_group(op), op)
            if op.kind in ELEMENTWISE:
                cost["g4"] += seconds
        return Seconds(total, cost, unpriced)

    def _seconds(self, op: Op) -> float | None:
        if isinstance(op, ForeignOp) and op.kernel != op.kernel_width:
            return None  # a table has one kernel size
        try:
            return float(self.op_s(op))
        except MissingOpError:
            return None

    def _scaled(self, other: Op, op: Op) -> float:
        """Seconds of another convolution, scaled to the FLOPs of `op`, as widths are integers."""
        return float(self.op_s(other)) * float(op.flops) / float(other.flops)


def equal_widths(op: Op) -> Op:
    """The 1x1 convolution of equal FLOPs with an input and an output of equal size."""
    inside, outside = float(op.height * op.width), float(op.out_height * op.out_width)
    product = float(op.c_in * op.c_out)
    c_in = _multiple(sqrt(product * outside / inside), op.groups)
    return replace(op, c_in=c_in, c_out=_multiple(product / c_in, op.groups))


def one_group(op: Op) -> Op:
    """The convolution of equal FLOPs and input with one group."""
    return replace(op, c_out=op.c_out // op.groups, groups=1)


def _multiple(value: float, of: Any) -> Any:
    return max(1, round(value / of)) * of


def load_prices(target: str) -> Pricer:
    """The prices of a target, a shipped table or the path of one.

    Raises:
        ValueError: no such target, or a table that cannot be trusted.
        AuditError: the table has no costs of single ops.
    """
    try:
        found = load_table(target)
    except FileNotFoundError as error:
        raise AuditError(str(error)) from None
    if not hasattr(found, "op_s"):
        names = ", ".join(name for name in shipped_tables() if hasattr(load_table(name), "op_s"))
        raise AuditError(
            f"target {target} is a table of blocks, which cannot price layers of other networks: "
            f"give one of single ops ({names})"
        )
    return Pricer(found.op_s, found.header.label)
