"""The rows of a result: winners, baseline and other networks, each with all its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latency.table.header import TableHeader, mean_error
from search.problem.baseline import Baseline
from search.problem.problem import Evaluation, Problem, Table
from search.result.winners import Winner
from space.common.errors import MissingOpError
from space.common.stats import deviation
from space.cost.guidelines import NAMES, Guidelines
from space.network.network import Network
from space.zoo.families import PAPER_NETWORKS

OTHERS = ("ShuffleNet v1", "MobileNet v2")


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One network of a result.

    `score` is None for a network that is not in the searched space, `latency_s` None where the
    table lacks a block of it. `measured_s` is the end-to-end latency measured on this machine, if
    the table is of this machine; `pace` is then the drift factor against the time of the table's
    build, if the table has a reference time (`latency.measure.drift`). `accuracy` is measured:
    (seed, percent) of each training. Latencies are in seconds."""

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

    def record(self, header: TableHeader) -> dict[str, Any]:
        """The row for JSON, every latency with its source and the table's own error."""
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
        return {
            **record,
            "flops": int(self.flops),
            "params": int(self.params),
            "latency_s": self.latency_s,
            "latency_source": header.source,
            "latency_mean_abs_error": (mean_error(header) or (None,))[0],
            "speed_up": self.speed_up,
            "measured_whole_s": self.measured_s,
            "measured_whole_pace": self.pace,
            "score": self.score,
            **{name: getattr(self.guidelines, name) for name in NAMES},
        }


def row_of(
    problem: Problem, found: Evaluation, index: int, name: str, role: str, base: Baseline | None
) -> ResultRow:
    """The row of an evaluated architecture."""
    costs = found.costs.row(index)
    architecture = problem.space.architecture(found.genes[index])
    latency = costs["latency_s"]
    return ResultRow(
        name=name,
        role=role,
        flops=costs["flops"],
        params=costs["params"],
        latency_s=latency,
        guidelines=Guidelines(*(costs[n] for n in NAMES)),
        score=float(found.score[index]),
        speed_up=None if base is None else float(base.found.costs.latency_s[0]) / latency,
        architecture=problem.space.text(architecture),
        genes=architecture.genes,
        network=problem.space.lower(architecture),
    )


def other_rows(table: Table, flops: float, base: Baseline | None) -> list[ResultRow]:
    """The ShuffleNet v1 and the MobileNet v2 of the paper's Table 8 nearest to `flops`."""
    rows = []
    for family in OTHERS:
        networks = [make() for name, make in PAPER_NETWORKS.items() if name.startswith(family)]
        network = min(networks, key=lambda n: abs(n.flops - flops))
        latency = network_latency(table, network)
        known = base is not None and latency is not None
        rows.append(
            ResultRow(
                name=network.name + _size(network),
                role="for comparison",
                flops=network.flops,
                params=network.params,
                latency_s=latency,
                guidelines=Guidelines.of(network.blocks),
                network=network,
                speed_up=float(base.found.costs.latency_s[0]) / latency if known else None,  # type: ignore[union-attr,operator]
            )
        )
    return rows


def _size(network: Network) -> str:
    _, height, width = network.input_shape
    return "" if height == 224 else f" at {height}x{width}"


def network_latency(table: Table, network: Network) -> float | None:
    """Seconds of a network; None if the table lacks one of its blocks."""
    try:
        return float(table.network_s(network.blocks))
    except MissingOpError:
        return None


def result_rows(
    problem: Problem, found: Evaluation, chosen: Sequence[Winner], base: Baseline | None
) -> list[ResultRow]:
    """Winners, the baseline, and the other families, in this order."""
    rows = [row_of(problem, found, w.row, w.name, w.role, base) for w in chosen]
    reference = max(row.flops for row in rows)
    if base is not None:
        rows.append(row_of(problem, base.found, 0, base.name, "baseline", base))
        reference = rows[-1].flops
    return rows + other_rows(problem.table, reference, base)
