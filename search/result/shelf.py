"""The best networks off the shelf beside a search's winners: released, with a published top-1.

A winner has no top-1 until somebody trains it, so a user must see what can be had without training
in the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from latency.table.header import TableHeader
from search.problem.problem import Problem, Table
from search.problem.shape import IMAGENET, NetworkShape, shape_of
from search.result.rows import ResultRow
from search.result.shelf_times import (
    PricedNetwork,
    lacking,
    price_networks,
    with_whole_times,
)
from space.cost.guidelines import Guidelines
from space.zoo.catalog import shelf_networks
from space.zoo.released import ReleasedWeights

ROLE, BASELINE = "off the shelf", "baseline"


@dataclass(frozen=True, slots=True)
class ShelfPrices:
    """Networks off the shelf on a target.

    Args:
        networks: all of them, those without a latency too.
        why: why some have none; "" if all have one.
        note: why none is compared; "" if they are.
    """

    networks: tuple[PricedNetwork, ...] = ()
    why: str = ""
    note: str = ""


def shelf_prices(table: Table, shape: NetworkShape) -> ShelfPrices:
    """The latency of every network off the shelf: by the table, else timed whole if the table is
    of this machine. None of them on other images or classes than ImageNet's, of which their top-1
    is.

    Raises:
        ValueError: the table's latencies are those of no device.
        ImportError: the engine of this machine's table is not installed.
    """
    if shape != IMAGENET:
        note = f"published top-1 is of {IMAGENET}, the networks here are of {shape}"
        return ShelfPrices(note=note)
    priced = price_networks(shelf_networks().values(), table)
    lacks = lacking(priced, table)
    priced, problem = with_whole_times(priced, table.header)
    without = [p for p in priced if p.latency_s is None]
    if not without:
        return ShelfPrices(tuple(priced))
    if not problem and any(p.whole for p in priced):
        problem = "too heavy to be run whole"
    return ShelfPrices(tuple(priced), problem or lacks)


@dataclass(frozen=True, slots=True)
class ShelfRow:
    """A network off the shelf in a result.

    Args:
        row: its numbers; the score is None.
        weights: the released weights that stand for it.
        whole: its latency was timed whole on this machine, else it is the table's.
        over: the budgets that it exceeds, as typed.
    """

    row: ResultRow
    weights: ReleasedWeights
    whole: bool = False
    over: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def top1(self) -> float:
        return self.weights.top1

    @property
    def latency_s(self) -> float:
        assert self.row.latency_s is not None, "a network without latency is never chosen"
        return self.row.latency_s

    def record(self, header: TableHeader) -> dict[str, Any]:
        """The row for JSON."""
        row = self.row
        return {
            "name": row.name,
            "flops": int(row.flops),
            "params": int(row.params),
            "latency_s": row.latency_s,
            "latency_source": header.source,
            "latency_whole": self.whole,
            "speed_up": row.speed_up,
            "measured_whole_s": row.measured_s,
            "measured_whole_pace": row.pace,
            "top1": self.top1,
            "weights": self.weights.weights,
            "recipe": self.weights.recipe,
            "over_budget": list(self.over),
        }


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a result shows of the shelf, fastest first.

    Args:
        rows: of the networks with a latency, the highest top-1 at the latency of the baseline and
            of each winner, and the fastest with the baseline's top-1 or more.
        best: the highest top-1 at the baseline's latency, or without a baseline at the slowest
            winner's; None: none is as fast.
        level: the fastest with the baseline's published top-1 or more; None without either.
        base: the baseline with its released weights; None if it has none.
        prices: all networks off the shelf.
    """

    rows: tuple[ShelfRow, ...]
    best: ShelfRow | None
    level: ShelfRow | None
    base: ShelfRow | None
    prices: ShelfPrices

    @property
    def networks(self) -> list[ResultRow]:
        """The networks that are shown, to be run whole."""
        return [each.row for each in self.rows]

    def with_rows(self, rows: Sequence[ResultRow], others: Sequence[ResultRow]) -> Shelf:
        """The shelf with `rows` in place of its `networks`, and its baseline as in `others`."""
        found = {each.name: replace(each, row=r) for each, r in zip(self.rows, rows, strict=True)}
        best, level = (each and found[each.name] for each in (self.best, self.level))
        base = next((row for row in others if row.role == BASELINE), None)
        itself = replace(self.base, row=base) if self.base and base else self.base
        return replace(self, rows=tuple(found.values()), best=best, level=level, base=itself)

    def at(self, latency_s: float) -> ShelfRow | None:
        """The highest top-1 of the rows within a latency; None: none is as fast."""
        within = [each for each in self.rows if each.latency_s <= latency_s]
        return max(within, key=_quality) if within else None

    def record(self, header: TableHeader, verdict: str) -> dict[str, Any]:
        """The shelf for JSON; `verdict`: what follows, for people."""
        without = [p.entry.name for p in self.prices.networks if p.latency_s is None]
        return {
            "rows": [each.record(header) for each in self.rows],
            "baseline": None if self.base is None else self.base.record(header),
            "verdict": verdict,
            "networks": len(self.prices.networks),
            "without_latency": without,
            "without_latency_why": self.prices.why,
            "left_out_why": self.prices.note,
        }


def _quality(each: ShelfRow) -> tuple[float, float]:
    return each.top1, -each.latency_s


def choose_shelf(prices: ShelfPrices, rows: Sequence[ResultRow], problem: Problem) -> Shelf:
    """What of the shelf stands beside the winners and the baseline in `rows`.

    The baseline itself is no network of the shelf, nor is its authors' variant of equal widths.
    """
    own = [row for row in rows if row.genes and row.latency_s is not None]
    base = next((row for row in own if row.role == BASELINE), None)
    known = None
    if base is not None and shape_of(problem.space) == IMAGENET:
        blocks = base.network.blocks
        known = next((p.entry for p in prices.networks if p.network.blocks == blocks), None)
    names = () if known is None else (known.name, f"{known.name} released")
    found = [
        _row(p, base, problem)
        for p in prices.networks
        if p.latency_s is not None and p.entry.weights and p.entry.name not in names
    ]
    everything = Shelf(tuple(found), None, None, None, prices)
    limits = [row.latency_s for row in own if row.latency_s is not None]
    best = None
    if limits:
        at = base.latency_s if base is not None and base.latency_s is not None else max(limits)
        best = everything.at(at)
    itself = level = None
    if base is not None and known is not None:
        itself = ShelfRow(base, known.weights[0])
        as_good = [each for each in found if each.top1 >= itself.top1]
        level = min(as_good, key=lambda each: each.latency_s, default=None)
    shown = {each.name: each for each in (best, level, *map(everything.at, limits)) if each}
    ordered = tuple(sorted(shown.values(), key=lambda each: each.latency_s))
    return Shelf(ordered, best, level, itself, prices)


def _row(priced: PricedNetwork, base: ResultRow | None, problem: Problem) -> ShelfRow:
    network, entry = priced.network, priced.entry
    costs = {"flops": network.flops, "params": network.params, "latency_s": priced.latency_s or 0}
    speed_up = None
    if base is not None and base.latency_s is not None and priced.latency_s:
        speed_up = base.latency_s / priced.latency_s
    row = ResultRow(
        name=entry.name,
        role=ROLE,
        flops=network.flops,
        params=network.params,
        latency_s=priced.latency_s,
        guidelines=Guidelines.of(network.blocks),
        network=network,
        speed_up=speed_up,
    )
    over = tuple(str(each) for each in problem.budgets if costs[each.cost] > each.limit)
    return ShelfRow(row, entry.weights[0], priced.whole, over)
