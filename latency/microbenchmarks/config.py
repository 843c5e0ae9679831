"""The configuration of a measurement of the microbenchmarks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from space.common.files import cache_dir


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrobenchmarkConfig:
    """Where and how the microbenchmarks are measured.

    `device` and `engine`: as `latency.devices.open.open_session` takes them. `batch`: images of
    a run. `rounds`: times each chain is timed. `columns`: "arm" or "gpu", the paper's device with
    the same widths. `out`: folder of the files; None: in the cache. `command`: the user's command,
    for the record.
    """

    device: str = "cpu"
    engine: str = "onnxruntime"
    threads: int = 1
    batch: int = 1
    rounds: int = 30
    columns: str = "arm"
    out: Path | None = None
    command: str = ""

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.device.lower()).strip("-")
        name = "guidelines" if self.device == "cpu" else f"guidelines-{slug}"
        return self.out or cache_dir() / name
