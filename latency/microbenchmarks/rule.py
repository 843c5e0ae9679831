"""Derive a search's limits of G1-G4 on a device from its slow-downs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from latency.microbenchmarks.slowdown import Slowdown, of_table
from latency.paper_model.cases import ALIGNED
from space.cost.guidelines import NAMES, PAPER_LIMITS, Guidelines
from space.zoo.families import SHUFFLENET_V2, shufflenet_v2

RULE = (
    "A limit is the guideline's number at which this device slows down as much as the paper's "
    "column does at the paper's limit. For G1-G3 the device is measured at widths that are "
    "multiples of {aligned}: what other widths cost here is no matter of the guidelines, and "
    "latency tables know it. Slow-downs are times per multiply-add against the row that "
    "keeps the guideline, geometric means over the widths, linear between the rows; of rows "
    "with one number the slower counts. Where no row exceeds the allowed slow-down with all of "
    "its 95 % interval, the limit is infinite (null). G3: f "
    "fragments count 2 + 3 f, as in a ShuffleNet v2 unit, rounded down. No limit is below what "
    "the four ShuffleNet v2 of Table 5 need, with stem and head or without."
)
TIE = 0.01  # numbers nearer than this are one
UNIT, FRAGMENT = 2, 3  # convolutions of a ShuffleNet v2 unit: of its projection, of each fragment


def rule_text(columns: str) -> str:
    """`RULE` for a device that is measured at the widths of the paper's `columns`."""
    return RULE.format(aligned=ALIGNED[columns])


def curve(found: Sequence[Slowdown], table: int) -> list[Slowdown]:
    """The rows of one table by rising number; the slower of those that share one. G3 counts the
    convolutions of a unit."""
    points: list[Slowdown] = []
    for point in sorted(of_table(found, table), key=lambda s: (s.number, s.value)):
        if table == 3:
            point = replace(point, number=UNIT + FRAGMENT * point.number)
        if points and point.number - points[-1].number < TIE:
            points.pop()  # the slower one comes after it
        points.append(point)
    return points


def slowdown_at(points: Sequence[Slowdown], number: float) -> float:
    """The slow-down at `number`, linear between points, constant outside."""
    return float(np.interp(number, [p.number for p in points], [p.value for p in points]))


def number_at(points: Sequence[Slowdown], allowed: float) -> float:
    """The number at which the curve rises above `allowed`, on its way to the first point that is
    significantly above it; inf without such a point."""
    sure = next((i for i, point in enumerate(points) if point.low > allowed), 0)
    while sure > 1 and points[sure - 1].value > allowed:
        sure -= 1
    if sure == 0:
        return math.inf
    before, after = points[sure - 1], points[sure]
    share = max(0.0, (allowed - before.value) / (after.value - before.value))
    return before.number + share * (after.number - before.number)


def shufflenet_numbers() -> Guidelines:
    """The largest numbers of the four ShuffleNet v2, with stem and head and without."""
    found = []
    for size in SHUFFLENET_V2:
        blocks = shufflenet_v2(size).blocks
        found += [Guidelines.of(blocks), Guidelines.of(blocks[1:-1])]
    return Guidelines(*(max(getattr(g, name) for g in found) for name in NAMES))


def suggest_limits(
    device: Sequence[Slowdown], paper: Sequence[Slowdown], aligned: Sequence[Slowdown] = ()
) -> tuple[Guidelines, dict[str, str]]:
    """The limits of G1-G4 by `RULE`, from `aligned` for the tables it has, else `device`.

    Returns:
        The limits, and a sentence on the origin of each.
    """
    needed = shufflenet_numbers()
    values, reasons = [], {}
    for table, name in enumerate(NAMES, 1):
        paper_limit = float(getattr(PAPER_LIMITS, name))
        allowed = slowdown_at(curve(paper, table), paper_limit)
        value = number_at(curve(aligned, table) or curve(device, table), allowed)
        label, read = name.upper(), f"the paper's {allowed:.2f}x at {paper_limit:g}"
        if math.isinf(value):
            why = f"{label} has no limit: nothing measured here exceeds {read}"
        else:
            rounded = math.floor(value * 1000 + 0.5) / 1000
            value = math.floor(value + 1e-9) if table == 3 else rounded
            least = math.ceil(float(getattr(needed, name)) * 1000) / 1000
            why = f"{label} limit {max(value, least):g}: {read} is here at {value:g}"
            if value < least:
                why, value = f"{why}, below what ShuffleNet v2 needs", least
        values.append(float(value))
        reasons[name] = why
    return Guidelines(*values), reasons
