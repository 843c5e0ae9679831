"""A session whose calls cost wall seconds by a rule, on a clock of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latency.devices.session import Timed
from latency.ondevice.timing import WARM_UP
from space.network.block import Chain


@dataclass
class CostlySession:
    """Seconds for the first call, each call, each loaded chain, op and weight, each convolution
    shape that is met for the first time, and each run: of a chain, an op, a multiply-add. `noise`:
    standard deviation of the logarithm of a call's seconds."""

    first: float = 0.0
    call: float = 0.0
    chain: float = 0.0
    op: float = 0.0
    weight: float = 0.0
    dense: float = 0.0
    depthwise: float = 0.0
    run_chain: float = 0.0
    run_op: float = 0.0
    run_flop: float = 0.0
    noise: float = 0.0
    seed: int = 0
    now: float = 0.0
    met: set[Any] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._rng, self._calls = np.random.default_rng(self.seed), 0

    def clock(self) -> float:
        return self.now

    def time(
        self, chains: Sequence[Chain], *, batch: int, rounds: int, steady: bool = False
    ) -> Timed:
        loaded = [block for chain in dict.fromkeys(chains) for block in chain]
        prepare = self.chain * len(set(chains))
        for op in (op for block in loaded for op in block.ops):
            prepare += self.op
            if op.kind in ("conv", "dwconv") and op not in self.met:
                self.met.add(op)
                prepare += self.depthwise if op.kind == "dwconv" else self.dense
        prepare += self.weight * sum(block.params for block in loaded)
        runs = self.run_chain * len(chains)
        for block in (block for chain in chains for block in chain):
            runs += self.run_op * len(block.ops) + self.run_flop * block.flops
        runs *= 1 + 2 * (WARM_UP + rounds)
        prepare, runs = (
            each * float(np.exp(self.noise * self._rng.standard_normal()))
            for each in (prepare, runs)
        )
        prepare += self.first * (self._calls == 0)
        self._calls += 1
        self.now += self.call + prepare + runs
        return Timed(np.ones((len(chains), rounds)), prepare + runs, prepare + runs, prepare)
