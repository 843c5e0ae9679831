"""An engine that computes its latencies: exact, deterministic and instant, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from space.block import Block
from space.op import Op

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


class _Chain:
    def __init__(self, engine: NullEngine, seconds: float) -> None:
        self.engine, self.seconds = engine, seconds

    def run(self) -> None:
        self.engine.now_s += self.seconds


class NullEngine:
    """Running a chain moves this engine's own clock and does nothing else."""

    name = "null"
    version = "1"

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.versions: dict[str, str] = {}
        self.now_s = 0.0

    def prepare(self, blocks: Sequence[Block], batch: int = 1) -> _Chain:
        seconds = RUN_S + batch * sum(block_s(block) for block in blocks) / self.threads
        return _Chain(self, seconds)

    def evict(self) -> None:
        """Nothing is cached."""

    def clock(self) -> float:
        return self.now_s


def open_engine(threads: int) -> NullEngine:
    return NullEngine(threads)
