"""An engine in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from latency.devices.health import GPU_STATE
from latency.devices.session import Session, Steady, Timed, steady_flags
from latency.engines.base import Engine
from latency.engines.memory import check_memory, engine_errors
from latency.ondevice import host
from latency.ondevice.timing import time_rounds
from space.network.block import Chain


class LocalSession(Session):
    """An engine on this machine.

    An engine on an accelerator has a method `accelerator_info`, whose result has its `name`, and
    `available_bytes`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.where = "this machine"
        self.engine, self.engine_version = engine.name, engine.version
        self.versions = dict(engine.versions)
        self.threads, self.dtype = engine.threads, engine.dtype
        self.chip = host.chip()
        self.host = host.host_id()
        self.host_info = host.host_info()
        if hasattr(engine, "accelerator_info"):
            self.host_info["accelerator"] = engine.accelerator_info()
            self.chip = self.host_info["accelerator"]["name"]
        self.emulation = host.emulation()

    def time(
        self, chains: Sequence[Chain], *, batch: int = 1, rounds: int = 5, steady: Steady = False
    ) -> Timed:
        check_memory(set(chains), batch, self.dtype, self._engine)
        started, processor = time.monotonic(), time.process_time()
        with engine_errors(self.engine):
            loaded = {chain: self._engine.prepare(chain, batch) for chain in dict.fromkeys(chains)}
            runs = [loaded[chain] for chain in chains]
            prepare_s = time.monotonic() - started
            flags = steady_flags(steady, chains)
            found = list(time_rounds(runs, self._engine, self._engine.clock, rounds, flags))
        wall_s, processor_s = time.monotonic() - started, time.process_time() - processor
        times = np.array(found, dtype=np.float64).T
        return Timed(times, wall_s, processor_s, prepare_s, self.state())

    def state(self) -> dict[str, Any]:
        """What may change between jobs, of this host or of the engine's accelerator."""
        if not hasattr(self._engine, "accelerator_info"):
            return host.state()
        found = self._engine.accelerator_info()
        return {name: found[name] for name in GPU_STATE if name in found}

    def outputs(self, chain: Chain, *, batch: int = 1) -> list[Any]:
        check_memory([chain], batch, self.dtype, self._engine)
        with engine_errors(self.engine):
            run: Any = self._engine.prepare(chain, batch)
            run.run()
            return [np.asarray(value) for value in run.outputs()]

    def close(self) -> None:
        """Nothing to end."""
