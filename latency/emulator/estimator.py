"""The work of networks on a core: counted under the emulator once, then read from a cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

from latency.devices.sysroot import arm64_sysroot
from latency.emulator.cores import Core
from latency.emulator.counter import CountRequest, count_networks
from latency.emulator.cycles import CycleTable
from latency.emulator.database import ResultStore
from latency.emulator.tools import llvm_tool, plugin_qemu
from space.common.cli import log
from space.common.progress import Report
from space.common.schema import Items, Number, check, parse_json

ENGINES = {"ncnn": ("ncnn", "numpy")}  # engine -> wheels of its sysroot
COUNTER_VERSION = 1  # of the counts, and of how a run is prepared
BATCH_FLOPS = 150e6  # multiply-adds of the networks that one emulator process runs
BATCH_NETWORKS = 48
WORK = Items(Number(0, 1e18), 2, 7)  # the fields of `Work`, as they are stored
START_S, SECONDS_PER_FLOP = 1.0, 3e-8  # of a run of the space's blocks on an AMD EPYC core


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a run of a network.

    `cycles`: of the instructions if no access waits. `accesses`: to memory, of at most 8 bytes
    each. Misses are of each level of the core's simulated data caches, 0 of a level it lacks;
    `sequential`: misses of the last level on the line after the one that missed before.
    """

    instructions: float
    cycles: float
    accesses: float = 0.0
    l1_misses: float = 0.0
    l2_misses: float = 0.0
    l3_misses: float = 0.0
    sequential: float = 0.0

    def __sub__(self, other: Work) -> Work:
        return Work(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


class Estimator:
    """Counts what an engine executes on a core. Results are stored in a database under everything
    they depend on, so that a killed run continues. Use as a context manager, or call `close`.

    Raises:
        ValueError: unknown engine.
        OSError: a tool, a package or the internet is missing; one line says what to do.
    """

    def __init__(self, core: Core, engine: str = "ncnn") -> None:
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")
        self.core, self.engine = core, engine
        self._sysroot = arm64_sysroot(ENGINES[engine], log=log)
        qemu, llvm = plugin_qemu().version, llvm_tool("llvm-mca").version
        self.versions = {**self._sysroot.versions, "qemu": qemu, "llvm": llvm}
        self.engine_version = self.versions[engine]
        self._cycles = CycleTable(core)
        try:
            self._known = ResultStore(
                "estimates", "work (key TEXT PRIMARY KEY, value TEXT)", ("key", "value")
            )
        except BaseException:
            self._cycles.close()
            raise

    def close(self) -> None:
        """Close the databases."""
        self._known.close()
        self._cycles.close()

    def __enter__(self) -> Estimator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def missing(self, requests: Sequence[CountRequest]) -> list[CountRequest]:
        """The requests that were not counted yet, each once."""
        by_key = {self._key(request): request for request in requests}
        return [request for key, request in by_key.items() if self._find(key) is None]

    def expected_s(self, requests: Sequence[CountRequest]) -> float:
        """Approximate processor seconds to count the missing ones."""
        missing = self.missing(requests)
        flops = sum(r.flops * (1 if r.evict else 2) for r in missing)
        return flops * SECONDS_PER_FLOP + START_S * len(list(_batches(missing)))

    def work(
        self, requests: Sequence[CountRequest], report: Report = lambda done, total: None
    ) -> list[Work]:
        """The work of each network; `report` is called after each process of the emulator."""
        missing, done = self.missing(requests), 0
        report(done, len(missing))
        for batch in _batches(missing):
            counts = count_networks(batch, self.core, self._sysroot)
            rows = []
            for request, found in zip(batch, counts, strict=True):
                work = [found.instructions, self._cycles.total(found.blocks), *found.memory]
                rows.append((self._key(request), json.dumps(work)))
            self._known.store(rows)
            done += len(batch)
            report(done, len(missing))
        found_all = [self._find(self._key(request)) for request in requests]
        works = [work for work in found_all if work is not None]
        if len(works) < len(requests):
            raise OSError(
                f"{self._known.path} must hold the work of {len(requests)} networks; it holds "
                f"{len(works)}: delete it, and repeat the command"
            )
        return works

    def _find(self, key: str) -> Work | None:
        """The work that is stored; None also where it is damaged, so that it is counted again."""
        text = self._known.find(key)
        if not isinstance(text, str):
            return None
        try:
            return Work(*check(parse_json(text), WORK))
        except ValueError:
            return None

    def _key(self, request: CountRequest) -> str:
        # "options" and "runs" are of older versions, whose stored results stay valid.
        identity = {
            "core": self.core.identity,
            "versions": self.versions,
            "param": request.param,
            "shape": request.shape,
            "counter": COUNTER_VERSION,
            "options": {},
            "evict": request.evict,
            "runs": 1,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _batches(requests: Sequence[CountRequest]) -> Iterator[list[CountRequest]]:
    """The networks of each process of the emulator."""
    batch: list[CountRequest] = []
    for request in requests:
        flops = sum(other.flops for other in batch) + request.flops
        if batch and (flops > BATCH_FLOPS or len(batch) >= BATCH_NETWORKS):
            yield batch
            batch = []
        batch.append(request)
    if batch:
        yield batch
