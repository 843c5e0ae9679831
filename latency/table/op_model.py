"""A latency table whose rows are coefficients of an op cost model instead of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latency.table.header import TableHeader, save_table
from latency.table.op_terms import KNOWN, TERMS, Amount, amounts
from space.common.text import shorten
from space.graph.op import Op
from space.network.block import Block, BlockBatch
from space.zoo.families import shufflenet_v2

COLUMNS = ("term", "coefficient_s", "unit")
MOST_S = 1000.0  # of a unit of work
PLAUSIBLE_S = 1e-6, 1e4  # of the smallest ShuffleNet v2: a free one makes no table


@dataclass(frozen=True)
class OpCostModel:
    """The seconds of an op as a sum of amounts of work times coefficients.

    `coefficients`: seconds per unit of every term of the formula that the header names ("model":
    {"formula": "arm"}). Latencies are of a run on `header.batch` images, times the scale factor.

    Raises:
        ValueError: unknown formula; unknown, missing, negative or infinite coefficients, or such
            that a network takes no time or forever.

    Example:
        >>> from latency.table.load import load_table
        >>> from space.graph.op import Op
        >>> arm = load_table("arm")
        >>> relu = Op(kind="relu", c_in=58, c_out=58, height=28, width=28)
        >>> f"{arm.op_s(relu) * 1e6:.0f} us"
        '12 us'
    """

    header: TableHeader
    coefficients: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.header.layout != "ops":
            raise ValueError(f"an OpCostModel has layout 'ops'; got {self.header.layout!r}")
        if self.formula not in TERMS:
            raise ValueError(
                f"`model.formula` must be one of {', '.join(TERMS)}; got {shorten(self.formula)}"
            )
        known = TERMS[self.formula]
        unknown = [name for name in self.coefficients if name not in known]
        missing = [name for name in known if name not in self.coefficients]
        if unknown or missing:
            raise ValueError(
                f"the {self.formula} model has terms {', '.join(known)}; "
                f"unknown: {shorten(unknown) if unknown else '-'}, missing: {missing or '-'}"
            )
        for name, value in self.coefficients.items():
            if not 0 <= value <= MOST_S:
                raise ValueError(
                    f"`{name}` must be a finite number of seconds, 0 to {MOST_S:g}; got {value!r}"
                )
        least, most = PLAUSIBLE_S
        if not least <= (seconds := self.network_s(shufflenet_v2("0.5").blocks)) <= most:
            raise ValueError(
                f"the coefficients must give ShuffleNet v2 0.5x from {least:g} to {most:g} "
                f"seconds; got {seconds:g}"
            )

    @property
    def formula(self) -> str:
        """The name of the terms' formula in `latency.table.op_terms`."""
        model = self.header.extra.get("model")
        return str(model.get("formula", "")) if isinstance(model, Mapping) else ""

    def op_s(self, op: Op) -> Amount:
        """Seconds of an op, or float64 [n] for an op of arrays [n]; 0.0 for a slice.

        Raises:
            MissingOpError: the model knows no ops of this kind.
        """
        found = amounts(self.formula, op, self.header.batch).items()
        total: Amount = sum((self.coefficients[name] * amount for name, amount in found), 0.0)
        return total * float(self.header.scale["factor"])

    def predict(self, batch: BlockBatch) -> NDArray[np.float64]:
        """Seconds of each block, float64 [n]."""
        total = np.zeros(len(batch))
        for step in batch.steps:
            total += self.op_s(step.op)
        return total

    def covers(self, batch: BlockBatch) -> NDArray[np.bool_]:
        """Whether `predict` has an answer for each block, bool [n]."""
        return np.full(len(batch), all(step.op.kind in KNOWN for step in batch.steps))

    def block_s(self, block: Block) -> float:
        """Seconds of one block."""
        return float(sum(self.op_s(op) for op in block.ops))

    def network_s(self, blocks: Iterable[Block]) -> float:
        """Seconds of a network."""
        return sum(self.block_s(block) for block in blocks)

    def to_rows(self) -> list[dict[str, str]]:
        """One row per term, as `latency.table.rows.coefficients` reads it."""
        return [
            {"term": name, "coefficient_s": repr(value), "unit": TERMS[self.formula][name].unit}
            for name, value in self.coefficients.items()
        ]

    def save(self, path: Path) -> None:
        """Write `path` (.json) and its .csv, each complete or not at all.

        Raises:
            OSError: a file cannot be written.
        """
        save_table(path, self.header, COLUMNS, (row.values() for row in self.to_rows()))
