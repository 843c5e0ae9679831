"""Estimate a table of a core, or compare the estimate with published measurements."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latency.emulator.estimator import Estimator, Request, Work
    from latency.table.latency_table import LatencyTable

CORES = ("cortex-a76", "cortex-a72")
Say = Callable[[str], None]


def estimate_table(estimator: Estimator, found: dict[str, Any], *, command: str) -> LatencyTable:
    """The table of the estimator's core, scaled by what the published networks say (`found`)."""
    from latency.emulator.model import CycleModel
    from latency.emulator.table import (  # fmt: skip
        GRID,
        chain_request,
        chains_of,
        make_table,
        targets_of,
        whole_networks,
    )
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space

    space = ShuffleNetV2Space()
    targets = targets_of(GRID, space)
    whole = whole_networks(space, seed=0)
    chains = chains_of(targets) + [network.blocks for network in whole]
    requests = [chain_request(chain) for chain in chains]
    _to_stderr(f"{len(targets)} blocks, {len(whole)} networks on {estimator.core.name}")
    works = _progress(estimator, requests)
    model = found["model"]
    return make_table(
        estimator,
        CycleModel(model["base"], model["factor"], tuple(model["waits"])),
        targets,
        dict(zip(chains, works, strict=True)),
        whole,
        target=estimator.core.device,
        grid=GRID,
        network_error=found["network_error"],
        how=model["how"],
        command=command,
        seed=0,
    )


def _progress(estimator: Estimator, requests: Sequence[Request]) -> list[Work]:
    """Count networks with a bar, or lines where there is no terminal."""
    missing = estimator.missing(requests)
    if missing:
        minutes = max(1, round(estimator.expected_s(requests) / 60))
        _to_stderr(
            f"{len(missing)} of {len(requests)} networks to run under the emulator, "
            f"about {minutes} min of one processor"
        )
    with _bar() as report:
        return estimator.work(requests, report)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("counting")
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = [-1]

    def line(done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if total and tenth > last[0]:
            last[0] = tenth
            _to_stderr(f"{done} of {total} networks")

    yield line


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
