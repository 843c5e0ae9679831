"""The rows of a result: winners, baseline and other networks, each with all its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from latency.builder.validation import version_warning
from latency.measure.network import is_of_this_machine, table_session, time_networks
from latency.table.header import TableHeader, mean_error
from search.problem.baseline import Baseline
from search.problem.problem import Evaluation, Problem, Table
from search.problem.shape import IMAGENET, NetworkShape, error_applies, shape_of
from search.result.estimates import RowEstimate, row_estimates
from search.result.winners import Winner
from space.common.cli import log
from space.common.errors import MissingOpError
from space.common.stats import deviation
from space.cost.guidelines import NAMES, Guidelines
from space.network.network import Network
from space.zoo.catalog import PAPER_NETWORKS


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One network of a result. Latencies are in seconds.

    Args:
        latency_s: None where the table lacks a block.
        score: None for a network that is not in the searched space.
        speed_up: the baseline's latency / this latency; None without either.
        measured_s: end-to-end latency measured on this machine, if the table is of this machine;
            `pace` is then the drift factor against the time of the table's build, if the table
            has a reference time (`latency.measure.drift`).
        accuracy: measured: (seed, percent) of each training.
        estimate: of its top-1; None where the estimate is not the score.
        held: bytes that a budget limits, by the name of their cost.
    """

    name: str
    role: str
    flops: float
    params: float
    latency_s: float | None
    guidelines: Guidelines
    network: Network
    score: float | None = None
    speed_up: float | None = None
    architecture: str = ""
    genes: tuple[int, ...] = ()
    measured_s: float | None = None
    pace: float | None = None
    accuracy: tuple[tuple[int, float], ...] = ()
    estimate: RowEstimate | None = None
    held: Mapping[str, float] = field(default_factory=dict)

    def record(self, header: TableHeader, shape: NetworkShape = IMAGENET) -> dict[str, Any]:
        """The row for JSON, every latency with its source and the table's own error, if that is
        of networks of this shape."""
        error = mean_error(header) if error_applies(header, shape) else None
        record: dict[str, Any] = {"name": self.name, "role": self.role}
        if self.architecture:
            record |= {"architecture": self.architecture, "genes": list(self.genes)}
        if self.accuracy:
            values = [value for _, value in self.accuracy]
            record["measured_accuracy"] = {
                "mean": float(np.mean(values)),
                "deviation": deviation(values),
                "by_seed": {str(seed): value for seed, value in self.accuracy},
            }
        if self.estimate is not None:
            record["estimate"] = self.estimate.record()
        return {
            **record,
            "flops": int(self.flops),
            "params": int(self.params),
            **{name: int(value) for name, value in self.held.items()},
            "latency_s": self.latency_s,
            "latency_source": header.source,
            "latency_mean_abs_error": (error or (None,))[0],
            "speed_up": self.speed_up,
            "measured_whole_s": self.measured_s,
            "measured_whole_pace": self.pace,
            "score": self.score,
            **{name: getattr(self.guidelines, name) for name in NAMES},
        }


def result_rows(
    problem: Problem, found: Evaluation, chosen: Sequence[Winner], base: Baseline | None
) -> list[ResultRow]:
    """Winners, the baseline, and the other families, in this order."""
    rows = [row_of(problem, found, w.row, w.name, w.role) for w in chosen]
    if base is not None:
        rows.append(row_of(problem, base.found, 0, base.name, "baseline"))
    reference = rows[-1].flops if base is not None else max(row.flops for row in rows)
    estimates = row_estimates(problem, [row.genes for row in rows])
    rows = [replace(row, estimate=each) for row, each in zip(rows, estimates, strict=True)]
    rows += other_rows(problem.table, reference, shape_of(problem.space))
    rows = [replace(row, held=_held(problem, row.network)) for row in rows]
    if base is None:
        return rows
    return [replace(r, speed_up=r.latency_s and base.latency_s / r.latency_s) for r in rows]


def _held(problem: Problem, network: Network) -> dict[str, float]:
    """The bytes of a network that budgets limit."""
    limited = {budget.cost for budget in problem.budgets}
    return {name: value for name, value in problem.bytes_of(network).items() if name in limited}


def estimates_of(rows: Sequence[ResultRow]) -> dict[str, tuple[float, float, float]]:
    """By the name of a row: its estimated top-1 in %, and the ends of its interval."""
    return {
        row.name: (row.estimate.top1, row.estimate.low, row.estimate.high)
        for row in rows
        if row.estimate is not None
    }


def row_of(problem: Problem, found: Evaluation, index: int, name: str, role: str) -> ResultRow:
    """The row of an evaluated architecture, without speed-up."""
    costs = found.costs.row(index)
    architecture = problem.space.architecture(found.genes[index])
    return ResultRow(
        name=name,
        role=role,
        flops=costs["flops"],
        params=costs["params"],
        latency_s=costs["latency_s"],
        guidelines=Guidelines(*(costs[n] for n in NAMES)),
        score=float(found.score[index]),
        architecture=problem.space.text(architecture),
        genes=architecture.genes,
        network=problem.space.lower(architecture),
    )


def other_rows(table: Table, flops: float, shape: NetworkShape = IMAGENET) -> list[ResultRow]:
    """The ShuffleNet v1 and the MobileNet v2 of the paper's Table 8 nearest to `flops`, without
    speed-up: as published, or for other images and classes than ImageNet's, on these."""
    rows = []
    for family in ("ShuffleNet v1", "MobileNet v2"):
        networks = [make() for name, make in PAPER_NETWORKS.items() if name.startswith(family)]
        if shape != IMAGENET:
            networks = [shape.adapted(network) for network in networks]
        network = min(networks, key=lambda n: abs(n.flops - flops))
        _, height, width = network.input_shape
        plain = shape != IMAGENET or height == 224
        rows.append(
            ResultRow(
                name=network.name + ("" if plain else f" at {height}x{width}"),
                role="for comparison",
                flops=network.flops,
                params=network.params,
                latency_s=network_latency(table, network),
                guidelines=Guidelines.of(network.blocks),
                network=network,
            )
        )
    return rows


def network_latency(table: Table, network: Network) -> float | None:
    """Seconds of a network; None if the table lacks one of its blocks."""
    try:
        return float(table.network_s(network.blocks))
    except MissingOpError:
        return None


def with_measurements(rows: Sequence[ResultRow], header: TableHeader) -> list[ResultRow]:
    """The rows with end-to-end latencies measured now, if the table is of this machine; else the
    same rows.

    Raises:
        ImportError: the engine of the table is not installed.
    """
    if not is_of_this_machine(header):
        return list(rows)
    with table_session(header) as session:
        if line := version_warning(header, session):
            log(line)
        timings = time_networks(session, [row.network for row in rows], batch=header.batch)
    then_s = header.noise.get("reference_s")
    pace = None if then_s is None else timings.reference_s / then_s
    return [
        replace(row, measured_s=float(value), pace=pace)
        for row, value in zip(rows, timings.seconds(), strict=True)
    ]
