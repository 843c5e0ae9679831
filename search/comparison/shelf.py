"""Every network off the shelf on a target: published top-1 against latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latency.engines.registry import get_engine
from latency.measure.network import measure_networks
from latency.ondevice.host import chip
from latency.table.header import latency_line
from latency.table.load import AnyTable, load_table
from latency.table.op_model import OpCostModel
from search.problem.budget import Budget
from search.problem.problem import nondominated
from search.result.shelf_times import ROUNDS, PricedNetwork, first_of, latencies_of
from search.result.write import provenance
from space.common.errors import NoAnswerError
from space.zoo.catalog import published_network, shelf_networks
from space.zoo.entry import PublishedNetwork


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A network with its published top-1 in percent, of which weights and recipe that is, and its
    seconds on the target; None: not known. `whole`: these were timed whole on this machine.
    `front`: no other network with a latency is as fast and as accurate."""

    name: str
    flops: int
    params: int
    top1: float
    weights: str
    recipe: str
    latency_s: float | None
    whole: bool = False
    front: bool = False


@dataclass(frozen=True, slots=True)
class ShelfComparison:
    """The rows, fastest first; those without a latency last.

    Args:
        kind: "measured", "published" or "estimated" latencies.
        line: their source, for people.
        batch: the images that they are of.
        why: why some have no latency; "" if all have one.
    """

    target: str
    kind: str
    line: str
    batch: int
    rows: list[PublishedRow]
    why: str

    @property
    def front(self) -> list[PublishedRow]:
        """The rows of the front, fastest first."""
        return [row for row in self.rows if row.front]

    def record(self) -> dict[str, Any]:
        """The comparison for JSON."""
        names = PublishedRow.__slots__
        return {
            "latency": self.line,
            "batch": self.batch,
            "without_latency_why": self.why,
            **provenance(),
            "rows": [
                {**{name: getattr(row, name) for name in names}, "latency_source": self.kind}
                for row in self.rows
            ],
        }


def compare_shelf(
    target: str,
    *,
    names: Sequence[str] = (),
    budget: str | None = None,
    batch: int | None = None,
) -> ShelfComparison:
    """The latency of each network off the shelf, at the input of its published top-1: by the
    target's table, else timed whole, if the table is of this machine or the target is "cpu".

    Args:
        names: only these.
        budget: FLOPs; only networks of at most so many.
        batch: None: the target's.

    Raises:
        ValueError: an unknown network or target, one without a top-1, a budget that is not FLOPs,
            no network is left, or another batch than that of a measured table.
        NoAnswerError: no network has a latency.
    """
    entries = select_shelf(names, budget)
    if target == "cpu":
        kind, why, batch = "measured", "", batch or 1
        engine = get_engine("onnxruntime")
        line = (
            f"latency: measured: {chip()}, {engine.name} {engine.version}, 1 thread, batch "
            f"{batch}; whole networks, median of {ROUNDS[1]}"
        )
        networks = [entry.network() for entry in entries]
        times = measure_networks(networks, engine=engine.name, batch=batch, rounds=ROUNDS[1])
        priced = [
            PricedNetwork(entry, network, value, whole=True)
            for entry, network, value in zip(entries, networks, times.tolist(), strict=True)
        ]
    else:
        table, note = at_batch(load_table(target), target, batch)
        kind, batch = table.header.source, table.header.batch
        line = latency_line(table.header) + note
        priced, why = latencies_of(entries, table)
        left = [p.entry.name for p in priced if p.latency_s is None]
        if len(left) == len(priced):
            raise NoAnswerError(
                f"{target} must have a latency of a network off the shelf; it has none of "
                f"{first_of(left)}: {why}"
            )
    return ShelfComparison(target, kind, line, batch, _rows(priced), why)


def select_shelf(names: Sequence[str], budget: str | None) -> list[PublishedNetwork]:
    """Those named, else all off the shelf; of these the ones within a budget of FLOPs.

    Raises:
        ValueError: an unknown name, no top-1 of it, a budget that is not FLOPs, or none is left.
    """
    found = [published_network(name) for name in names] or list(shelf_networks().values())
    without = [entry.name for entry in found if entry.top1 is None]
    if without:
        raise ValueError(f"--network must have a published top-1; {without[0]} has none")
    if budget is not None:
        limit = Budget.parse(budget)
        if limit.cost != "flops":
            raise ValueError(f"--budget of a comparison must be FLOPs such as 146M; got {limit}")
        found = [entry for entry in found if entry.network().flops <= limit.limit]
    if not found:
        raise ValueError(f"no network off the shelf has at most {budget}")
    return list({entry.name: entry for entry in found}.values())


def at_batch(table: AnyTable, target: str, batch: int | None) -> tuple[AnyTable, str]:
    """The table for runs on `batch` images, and what must be known of that, or "".

    Raises:
        ValueError: it was measured at another batch.
    """
    if batch is None or batch == table.header.batch:
        return table, ""
    if not isinstance(table, OpCostModel):
        raise ValueError(
            f"{target} was measured at batch {table.header.batch}; got --batch {batch}"
        )
    header = replace(table.header, batch=batch)
    return replace(table, header=header), f"; batch {batch} is an extrapolation"


def _rows(priced: Sequence[PricedNetwork]) -> list[PublishedRow]:
    rows = [_row(each) for each in priced]
    rows.sort(key=lambda row: (row.latency_s is None, row.latency_s or 0, -row.top1))
    known = [index for index, row in enumerate(rows) if row.latency_s is not None]
    top1 = np.array([rows[index].top1 for index in known])
    seconds = np.array([rows[index].latency_s or 0 for index in known])
    for index in nondominated(top1, seconds).tolist():
        rows[known[index]] = replace(rows[known[index]], front=True)
    return rows


def _row(priced: PricedNetwork) -> PublishedRow:
    entry, network = priced.entry, priced.network
    first = entry.weights[0] if entry.weights else None
    return PublishedRow(
        name=entry.name,
        flops=network.flops,
        params=network.params,
        top1=round(entry.top1 or 0, 3),
        weights=first.weights if first else "none released",
        recipe=first.recipe if first else entry.source,
        latency_s=priced.latency_s,
        whole=priced.whole,
    )
