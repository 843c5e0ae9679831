"""A runner that computes its latencies: exact, deterministic and instant, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping


class NullModel:
    """Moves its runner's clock."""

    def __init__(self, runner: NullRunner, seconds: float) -> None:
        self.runner, self.seconds = runner, seconds

    def run(self) -> None:
        self.runner.now_s += self.seconds


class NullRunner:
    """Has a clock that only runs move."""

    version = "1"

    def __init__(self, threads: int, dtype: str) -> None:
        self.threads, self.dtype = threads, dtype
        self.versions: dict[str, str] = {}
        self.now_s = 0.0

    def load(self, files: Mapping[str, bytes], shape: tuple[int, ...]) -> NullModel:
        """`files`: {"model.json": {"start_s": ..., "work_s": ...}}, work of one thread."""
        model = json.loads(files["model.json"])
        return NullModel(self, model["start_s"] + model["work_s"] / self.threads)

    def evict(self) -> None:
        """Nothing is cached."""

    def clock(self) -> float:
        return self.now_s


open_runner = NullRunner
