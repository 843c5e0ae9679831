"""The answer: a table for people and a record for programs, from the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latency.header import Header
from search.baseline import Baseline
from search.budget import scaled
from search.problem import CLOSED_FORM, Evaluation, Problem, Table
from search.winners import Winner
from space.errors import MissingOpError
from space.guidelines import NAMES, Guidelines
from space.network import TABLE_8, Network

OTHERS = ("ShuffleNet v1", "MobileNet v2")


@dataclass(frozen=True, slots=True)
class Row:
    """One network of the answer. `score` is None outside the space it compares in, `latency_s`
    None where the table cannot tell; `measured_s` is the whole network run on this machine, if the
    table is of it, and `pace` what the machine then took over what it took when the table was
    built (latency/pace.py), if the table knows. `accuracy` is measured: seed and percent of each
    training (`search.labels`)."""

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

    def record(self, header: Header) -> dict[str, Any]:
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


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def row_of(
    problem: Problem, found: Evaluation, index: int, name: str, role: str, base: Baseline | None
) -> Row:
    """The row of an evaluated architecture."""
    costs = found.costs.row(index)
    architecture = problem.space.architecture(found.genes[index])
    latency = costs["latency_s"]
    return Row(
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


def other_rows(table: Table, flops: float, base: Baseline | None) -> list[Row]:
    """The ShuffleNet v1 and the MobileNet v2 of the paper's Table 8 nearest to `flops`."""
    rows = []
    for family in OTHERS:
        networks = [make() for name, make in TABLE_8.items() if name.startswith(family)]
        network = min(networks, key=lambda n: abs(n.flops - flops))
        latency = network_latency(table, network)
        known = base is not None and latency is not None
        rows.append(
            Row(
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


def answer(
    problem: Problem, found: Evaluation, chosen: Sequence[Winner], base: Baseline | None
) -> list[Row]:
    """Winners, the baseline, and the other families, in this order."""
    rows = [row_of(problem, found, w.row, w.name, w.role, base) for w in chosen]
    reference = max(row.flops for row in rows)
    if base is not None:
        rows.append(row_of(problem, base.found, 0, base.name, "baseline", base))
        reference = rows[-1].flops
    return rows + other_rows(problem.table, reference, base)


@dataclass(frozen=True, slots=True)
class Limit:
    """What no network of the space within the budgets can beat (`search.bound`), beside the best
    found: the latency at the baseline's score, and the score at the baseline's latency."""

    latency_s: float
    found_latency_s: float
    score: float
    found_score: float

    def lines(self, base: str) -> list[str]:
        """For people."""
        gap = self.found_latency_s / self.latency_s - 1
        return [
            f"at {base}'s score no network of the space is faster than "
            f"{scaled(self.latency_s, 'latency_s')}; found "
            f"{scaled(self.found_latency_s, 'latency_s')}, at most {gap:.1%} from the best",
            f"at {base}'s latency none scores above {self.score:.2f}; found "
            f"{self.found_score:.2f}",
        ]


def limit_of(problem: Problem, found: Evaluation, base: Baseline | None) -> Limit | None:
    """The bound beside the best found; None without a baseline, with axes open that break a
    guideline, with another score than the closed form, or if nothing found reaches the baseline in
    one of the two."""
    from search.bound import Bounds

    if base is None or problem.relax or problem.score != CLOSED_FORM:
        return None
    score, latency = float(base.found.score[0]), float(base.found.costs.latency_s[0])
    as_good = found.feasible & (found.score >= score)
    as_fast = found.feasible & (found.costs.latency_s <= latency)
    if not (as_good.any() and as_fast.any()):
        return None
    bounds = Bounds(problem)
    return Limit(
        latency_s=bounds.latency_at(score),
        found_latency_s=float(np.min(found.costs.latency_s[as_good])),
        score=bounds.score_at(latency),
        found_score=float(np.max(found.score[as_fast])),
    )


def with_measurements(rows: Sequence[Row], header: Header) -> list[Row]:
    """The rows, each run whole here where the table is of this machine; else as they are."""
    from latency.devices import open_session
    from latency.whole import is_of_this_machine, time_networks

    if not is_of_this_machine(header):
        return list(rows)
    with open_session("cpu", header.engine, threads=header.threads, dtype=header.dtype) as session:
        timings = time_networks(session, [row.network for row in rows], batch=header.batch)
    then_s = header.noise.get("reference_s")
    pace = None if then_s is None else timings.usual_s / then_s
    return [
        replace(row, measured_s=float(value), pace=pace)
        for row, value in zip(rows, timings.seconds(), strict=True)
    ]


def mean_error(header: Header) -> tuple[float, str] | None:
    """The table's mean absolute relative error on whole networks it was not made from, and on
    which; None if it was never judged."""
    error = header.network_error
    held_out = error.get("held_out") if isinstance(error, dict) else None
    if isinstance(held_out, dict) and isinstance(held_out.get("scaled"), dict):
        judged = held_out["scaled"]  # predictions carry the scale factor
        what = f"{judged.get('networks', '?')} random networks it was not built from"
    elif isinstance(held_out, str):
        judged, what = error, f"{error.get('networks', '?')} whole networks ({held_out}, held out)"
    else:
        return None
    value = judged.get("mean_abs_error")
    return (float(value), what) if isinstance(value, int | float) else None


def latency_line(header: Header) -> str:
    """What every latency printed above it is, and how far off on whole networks."""
    error = mean_error(header)
    if error is None:
        return f"latency: {header.label}; its error on whole networks is not known"
    return f"latency: {header.label}; mean error {error[0]:.1%} on {error[1]}"
