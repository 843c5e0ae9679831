"""The work of networks on a core: counted under the emulator once, and remembered."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

from latency.devices.sysroot import Sysroot, arm64_sysroot
from latency.emulator.cores import Core
from latency.emulator.counter import Job, count_networks
from latency.emulator.cycles import CycleTable
from latency.emulator.tools import llvm_tool, plugin_qemu
from space.common.files import cache_dir

ENGINES = {"ncnn": ("ncnn", "numpy")}  # engine -> wheels of its sysroot
COUNTER_VERSION = 1  # of what is counted, and how a run is prepared
BATCH_FLOPS = 150e6  # multiply-adds of the networks that one emulator process runs
BATCH_NETWORKS = 48
START_S, SECONDS_PER_FLOP = 1.0, 3e-8  # of a run of the space's blocks on an AMD EPYC core

Report = Callable[[int, int], None]  # (networks done, of)


@dataclass(frozen=True, slots=True)
class Work:
    """What a run of a network takes: instructions, their cycles if no access waited, and misses
    of each level of the simulated data caches (`sequential`: the last one's, line after line)."""

    instructions: float
    cycles: float
    accesses: float = 0.0
    l1_misses: float = 0.0
    l2_misses: float = 0.0
    l3_misses: float = 0.0
    sequential: float = 0.0

    def __sub__(self, other: Work) -> Work:
        return Work(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __truediv__(self, number: float) -> Work:
        return Work(*(a / number for a in astuple(self)))


@dataclass(frozen=True, slots=True)
class Request:
    """A network to estimate, with its multiply-adds, which say how long that takes."""

    job: Job
    flops: int
    runs: int = 1


@dataclass
class Estimator:
    """Counts what an engine executes on a core. Answers are kept on disk, by everything that
    they depend on, so that a killed run goes on where it was.

    Raises:
        OSError: a tool, a package or the network is missing; one line says what to do.
    """

    core: Core
    engine: str = "ncnn"
    say: Callable[[str], None] = lambda line: None
    path: Path | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {self.engine!r}")
        self._sysroot: Sysroot = arm64_sysroot(ENGINES[self.engine], say=self.say)
        qemu, llvm = plugin_qemu(self.say), llvm_tool("llvm-mca", self.say)
        self.versions = {
            **self._sysroot.versions, "qemu": qemu.version, "llvm": llvm.version,
        }  # fmt: skip
        self._cycles = CycleTable(self.core)
        path = self.path or cache_dir() / "estimates.sqlite"
        self._known = sqlite3.connect(path, timeout=60)
        with self._known:
            self._known.execute(
                "CREATE TABLE IF NOT EXISTS work (key TEXT PRIMARY KEY, value TEXT)"
            )

    @property
    def engine_version(self) -> str:
        return self.versions[self.engine]

    def close(self) -> None:
        self._known.close()
        self._cycles.close()

    def __enter__(self) -> Estimator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def missing(self, requests: Sequence[Request]) -> list[Request]:
        """Those that were not counted yet, each once."""
        wanted = {self._key(request): request for request in requests}
        return [request for key, request in wanted.items() if self._find(key) is None]

    def expected_s(self, requests: Sequence[Request]) -> float:
        """Processor seconds, roughly, that counting them will take."""
        missing = self.missing(requests)
        runs = sum(r.flops * (r.runs + (not r.job.evict)) for r in missing)
        return runs * SECONDS_PER_FLOP + START_S * len(list(_batches(missing)))

    def work(self, requests: Sequence[Request], report: Report = lambda a, b: None) -> list[Work]:
        """The work of each network; `report` follows every process of the emulator."""
        missing = self.missing(requests)
        done = 0
        report(done, len(missing))
        for batch in _batches(missing):
            runs = batch[0].runs
            counts = count_networks(
                [request.job for request in batch], self.core, self._sysroot, runs=runs
            )
            rows = []
            for request, found in zip(batch, counts, strict=True):
                work = Work(
                    found.instructions, self._cycles.total(found.blocks), found.accesses,
                    found.l1_misses, found.l2_misses, found.l3_misses, found.sequential,
                )  # fmt: skip
                rows.append((self._key(request), json.dumps(astuple(work))))
            with self._known:
                self._known.executemany("INSERT OR REPLACE INTO work VALUES (?, ?)", rows)
            done += len(batch)
            report(done, len(missing))
        found_all = [self._find(self._key(request)) for request in requests]
        return [work for work in found_all if work is not None]

    def _find(self, key: str) -> Work | None:
        row = self._known.execute("SELECT value FROM work WHERE key = ?", (key,)).fetchone()
        return Work(*json.loads(row[0])) if row else None

    def _key(self, request: Request) -> str:
        facts: Mapping[str, object] = {
            "core": self.core.seen_by_emulator,
            "versions": self.versions,
            "param": request.job.param,
            "shape": request.job.shape,
            "counter": COUNTER_VERSION,
            "options": dict(request.job.options),
            "evict": request.job.evict,
            "runs": request.runs,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _batches(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """Networks of one process of the emulator, all with as many runs."""
    batch: list[Request] = []
    flops = 0
    for request in requests:
        full = flops + request.flops > BATCH_FLOPS or len(batch) >= BATCH_NETWORKS
        if batch and (full or request.runs != batch[0].runs):
            yield batch
            batch, flops = [], 0
        batch.append(request)
        flops += request.flops
    if batch:
        yield batch
