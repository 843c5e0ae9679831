"""What layers cost on a target, and how much of it a broken guideline costs.

The seconds that G1 costs are those of a 1x1 convolution less those of the one of equal FLOPs and
groups with equal widths; of G2, less those of the convolution of equal FLOPs and input in one
group; of G4, those of the element-wise ops, activations that are folded not counted. Nothing in
a cost model of single ops knows what G3 costs.
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
    """Seconds of some ops, and by guideline what it costs that they do not keep it; `unpriced`
    ops are in none of them."""

    total_s: float
    cost_s: dict[str, float]
    unpriced: int


class Pricer:
    """Prices ops with `op_s`; `label` says where its seconds come from."""

    def __init__(self, op_s: Callable[[Op], Any], label: str) -> None:
        self._op_s = op_s
        self.label = label

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
                cost["g1"] += seconds - self._other(equal_widths(op), op)
            if op.kind == "conv" and op.groups > 1:
                cost["g2"] += seconds - self._other(one_group(op), op)
            if op.kind in ELEMENTWISE:
                cost["g4"] += seconds
        return Seconds(total, cost, unpriced)

    def _seconds(self, op: Op) -> float | None:
        if isinstance(op, ForeignOp) and not op.square:
            return None
        try:
            return float(self._op_s(op))
        except MissingOpError:
            return None

    def _other(self, other: Op, op: Op) -> float:
        """Seconds of another convolution, for the FLOPs of `op`: widths are whole numbers."""
        return float(self._op_s(other)) * float(op.flops) / float(other.flops)


def equal_widths(op: Op) -> Op:
    """The 1x1 convolution of as many FLOPs whose input and output are equally large."""
    inside, outside = float(op.height * op.width), float(op.out_height * op.out_width)
    product = float(op.c_in * op.c_out)
    c_in = _multiple(sqrt(product * outside / inside), op.groups)
    return replace(op, c_in=c_in, c_out=_multiple(product / c_in, op.groups))


def one_group(op: Op) -> Op:
    """The convolution of equal FLOPs and input that has one group."""
    return replace(op, c_out=op.c_out // op.groups, groups=1)


def _multiple(value: float, of: Any) -> Any:
    return max(1, round(value / of)) * of


def pricer(target: str) -> Pricer:
    """The prices of a target: a shipped name or the path of a table.

    Raises:
        ValueError: no such target, or a table that cannot be trusted.
        AuditError: the target's table cannot price layers of other networks.
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
