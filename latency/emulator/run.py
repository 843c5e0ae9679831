"""Estimate a core's latency table, or compare the estimate with a published benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency.emulator.check import (
    benchmark_request,
    chosen_networks,
    compare_with_published,
    format_check,
    published_path,
)
from latency.emulator.cores import get_core
from latency.emulator.counter import CountRequest
from latency.emulator.estimator import Estimator, Work
from latency.emulator.table import GRID, chain_request, make_table, plan_estimate
from latency.table.latency_table import LatencyTable
from space.common.cli import log
from space.common.files import check_regular, locked, writable_folder
from space.common.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateConfig:
    """The core whose latency is estimated, and the engine whose code runs.

    `published`: the table of ncnn's published benchmark; None: below $G4NAS_DATA. `networks`: its
    networks to compare with; none: all. `out`: the path of the table (.json), or a folder for it.
    `command`: the user's command, for the table's header.
    """

    core: str
    engine: str = "ncnn"
    published: Path | None = None
    networks: tuple[str, ...] = ()
    out: Path = Path()
    command: str = ""


@contextmanager
def _comparison(config: EstimateConfig) -> Iterator[tuple[Estimator, dict[str, Any]]]:
    core, path = get_core(config.core), published_path(config.published)
    published = chosen_networks(core, config.networks, path)
    with Estimator(core, config.engine) as estimator:
        works = _count(estimator, [benchmark_request(name) for name in published])
        yield estimator, compare_with_published(estimator, published, works)


def _count(estimator: Estimator, requests: Sequence[CountRequest]) -> list[Work]:
    """Count networks, with the expected time and a progress bar."""
    if missing := estimator.missing(requests):
        minutes = max(1, round(estimator.expected_s(requests) / 60))
        log(
            f"{len(missing)} of {len(requests)} networks to run under the emulator, "
            f"about {minutes} min of one processor"
        )
    with Progress("counting", counted=False, lines="networks") as bar:
        return estimator.work(requests, bar.update)


def compare_core(config: EstimateConfig) -> dict[str, Any]:
    """Compare the estimate with the published networks: a document for JSON.

    Raises:
        ValueError: unknown core, engine or network.
        MissingDataError: the published benchmark is missing.
        OSError: a tool, a package or the internet is missing.
    """
    with _comparison(config) as (_, found):
        return found


def estimate_table(config: EstimateConfig) -> LatencyTable:
    """Estimate the latency table of a core, scaled to the published networks, and save it.

    Raises:
        ValueError, MissingDataError, OSError: as `compare_core`.
    """
    out = config.out
    path = out if out.suffix == ".json" else out / f"{get_core(config.core).device}.json"
    # Now, not after minutes of counting.
    writable_folder(path.parent)
    with suppress(FileNotFoundError):
        check_regular(path)
    with locked(path, "estimate"), _comparison(config) as (estimator, found):
        log(format_check(found))
        plan = plan_estimate(GRID)
        blocks, networks = len(plan.targets), len(plan.networks)
        log(f"{blocks} blocks, {networks} networks on {estimator.core.name}")
        works = _count(estimator, [chain_request(chain) for chain in plan.chains])
        by_chain = dict(zip(plan.chains, works, strict=True))
        table = make_table(estimator, found, plan, by_chain, config.command)
        saved = table.save(path)
    log(f"written: {saved}, {saved.with_suffix('.csv').name}")
    return table
