"""The best networks off the shelf beside a search's winners: released, with a published top-1.

A winner has no top-1 until somebody trains it, so a user must see what can be had without training
in the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from latency.table.header import TableHeader
from search.problem.problem import Problem, Table
from search.problem.shape import IMAGENET, NetworkShape
from search.result.rows import ResultRow
from search.result.shelf_times import PricedNetwork, latencies_of
from space.cost.guidelines import Guidelines
from space.zoo.catalog import shelf_networks
from space.zoo.released import ReleasedWeights

NEAR = 0.05  # of the time: latencies in a table are no more certain
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
    priced, why = latencies_of(shelf_networks().values(), table)
    return ShelfPrices(tuple(priced), why)


@dataclass(frozen=True, slots=True)
class ShelfRow:
    """A network off the shelf in a result.

    Args:
        row: its numbers; the score is None.
        weights: the released weights that stand for it.
        timed: its latency was timed whole on this machine, else it is the table's.
        over: the budgets that it exceeds, as typed.
    """

    row: ResultRow
    weights: ReleasedWeights
    timed: bool = False
    over: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def top1(self) -> float:
        return self.weights.top1

    def record(self, header: TableHeader) -> dict[str, Any]:
        """The row for JSON."""
        row = self.row
        return {
            "name": row.name,
            "flops": int(row.flops),
            "params": int(row.params),
            "latency_s": row.latency_s,
            "latency_source": header.source,
            "latency_mean_abs_error": None,  # the table's is of other networks
            "latency_timed_whole": self.timed,
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
        rows: of the candidates, the highest top-1 at the latency of the baseline and of each
            winner, and the fastest with the baseline's top-1 or more.
        best: the highest top-1 at the baseline's latency, or without a baseline at the slowest
            winner's; None: none is as fast.
        level: the fastest with the baseline's published top-1 or more; None without either.
        base: the baseline with its released weights; None if it has none.
        candidates: the networks that may be in `rows`, by their latency.
        whole: latencies are compared as just run whole, else as they are in the table.
        prices: all networks off the shelf.
    """

    rows: tuple[ShelfRow, ...]
    best: ShelfRow | None
    level: ShelfRow | None
    base: ShelfRow | None
    candidates: tuple[ShelfRow, ...]
    whole: bool
    prices: ShelfPrices

    def seconds(self, row: ResultRow) -> float:
        """The latency by which a row is compared: of a candidate, a winner or the baseline."""
        seconds = row.measured_s if self.whole else row.latency_s
        assert seconds is not None, "only rows with a latency are compared"
        return seconds

    def at(self, seconds: float) -> ShelfRow | None:
        """The highest top-1 of the rows within a latency; None: none is as fast."""
        return best_within(self.rows, seconds, self.seconds)

    def record(self, header: TableHeader, verdict: str) -> dict[str, Any]:
        """The shelf for JSON; `verdict`: what follows, for people."""
        without = [p.entry.name for p in self.prices.networks if p.latency_s is None]
        return {
            "rows": [each.record(header) for each in self.rows],
            "baseline": None if self.base is None else self.base.record(header),
            "compared_whole": self.whole,
            "verdict": verdict,
            "networks": len(self.prices.networks),
            "without_latency": without,
            "without_latency_why": self.prices.why,
            "left_out_why": self.prices.note,
        }


def best_within(
    rows: Iterable[ShelfRow], seconds: float, seconds_of: Callable[[ResultRow], float]
) -> ShelfRow | None:
    """The highest top-1 within a latency, of equal ones the fastest; None: none is as fast."""
    within = [each for each in rows if seconds_of(each.row) <= seconds]
    return max(within, key=lambda each: (each.top1, -seconds_of(each.row)), default=None)


def choose_shelf(prices: ShelfPrices, rows: Sequence[ResultRow], problem: Problem) -> Shelf:
    """What of the shelf stands beside the winners and the baseline in `rows`.

    The baseline itself is no network of the shelf, nor is its authors' variant of equal widths.
    """
    base = next((row for row in rows if row.role == BASELINE), None)
    itself, names = None, []
    if base is not None:
        blocks = base.network.blocks
        for entry in (p.entry for p in prices.networks if p.network.blocks == blocks):
            itself, names = ShelfRow(base, entry.weights[0]), [entry.name]
            names.append(f"{entry.name} released")
    found = [
        _row(each, base, problem)
        for each in prices.networks
        if each.latency_s is not None and each.entry.name not in names
    ]
    shelf = Shelf((), None, None, itself, tuple(found), False, prices)
    shelf = selected(shelf, rows)
    return replace(shelf, candidates=_near(shelf))


def selected(shelf: Shelf, rows: Sequence[ResultRow]) -> Shelf:
    """The shelf with its rows chosen of the candidates, by their latencies and those of `rows`."""
    own = [row for row in rows if row.genes and row.latency_s is not None]
    base = next((row for row in own if row.role == BASELINE), None)
    limits = [shelf.seconds(row) for row in own]

    def best(seconds: float) -> ShelfRow | None:
        return best_within(shelf.candidates, seconds, shelf.seconds)

    at_base = level = None
    if limits:
        at_base = best(max(limits) if base is None else shelf.seconds(base))
    if (itself := shelf.base) is not None:
        as_good = [each for each in shelf.candidates if each.top1 >= itself.top1]
        level = min(as_good, key=lambda each: shelf.seconds(each.row), default=None)
    shown = {each.name: each for each in (at_base, level, *map(best, limits)) if each}
    ordered = tuple(sorted(shown.values(), key=lambda each: shelf.seconds(each.row)))
    return replace(shelf, rows=ordered, best=at_base, level=level)


def with_whole_runs(
    shelf: Shelf, candidates: Sequence[ResultRow], rows: Sequence[ResultRow]
) -> Shelf:
    """The shelf with what its candidates took when run whole beside `rows`; its rows are then
    chosen by that. The same shelf if they were not run."""
    every = [*candidates, *(row for row in rows if row.genes)]
    if not every or any(row.measured_s is None for row in every):
        return shelf
    base = next((row for row in rows if row.role == BASELINE), None)
    if base is not None and base.measured_s is not None:
        candidates = [
            replace(row, speed_up=row.measured_s and base.measured_s / row.measured_s)
            for row in candidates
        ]
    found = [replace(c, row=row) for c, row in zip(shelf.candidates, candidates, strict=True)]
    itself = replace(shelf.base, row=base) if shelf.base and base else shelf.base
    return selected(replace(shelf, candidates=tuple(found), base=itself, whole=True), rows)


def _near(shelf: Shelf) -> tuple[ShelfRow, ...]:
    """The networks that may be a row by what they take when run whole: on the front of top-1 and
    latency or less than `NEAR` behind it, from one before the first row to one after the last."""
    every = sorted(shelf.candidates, key=lambda each: shelf.seconds(each.row))
    near = []
    for each in every:
        ahead = best_within(every, (1 - NEAR) * shelf.seconds(each.row), shelf.seconds)
        if ahead is None or each.top1 > ahead.top1:
            near.append(each)
    at = [index for index, each in enumerate(near) if each in shelf.rows]
    return tuple(near[max(0, at[0] - 1) : at[-1] + 2]) if at else ()


def _row(priced: PricedNetwork, base: ResultRow | None, problem: Problem) -> ShelfRow:
    network, entry = priced.network, priced.entry
    costs = {"flops": network.flops, "params": network.params, "latency_s": priced.latency_s or 0}
    costs |= problem.bytes_of(network)
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
