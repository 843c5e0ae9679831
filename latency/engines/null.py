"""An engine for tests that computes latencies from the ops, exactly and deterministically."""

from __future__ import annotations

import json
from collections.abc import Sequence

from latency.engines.base import FileEngine
from latency.engines.weights import Weights
from space.graph.op import Op
from space.network.block import Block

STEP_S = 2e-6
RUN_S = 1e-5


def op_s(op: Op) -> float:
    """Seconds of one op: a start, its multiply-adds and its memory traffic.

    Channels of convolutions are padded to 8, so that widths have cliffs as on real chips.
    """
    if op.kind == "slice":
        return 0.0
    padded = -(-int(op.c_out) // 8) * 8 / int(op.c_out) if op.kind in ("conv", "dwconv") else 1.0
    return STEP_S + padded * int(op.flops) / 2e10 + int(op.mem_access) / 2e9


def block_s(block: Block) -> float:
    """Seconds of one block."""
    return sum(op_s(op) for op in block.ops)


class NullEngine(FileEngine):
    name = "null"

    def files(
        self, blocks: Sequence[Block], batch: int, weights: Weights | None
    ) -> dict[str, bytes]:
        model = {"start_s": RUN_S, "work_s": batch * sum(block_s(block) for block in blocks)}
        return {"model.json": json.dumps(model).encode()}


open_engine = NullEngine
