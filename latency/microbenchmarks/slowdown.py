"""How much slower a row of a microbenchmark is than the row that keeps the guideline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from latency.measure.block import Floats
from latency.paper_model.cases import Case, row_names
from space.common.errors import NoAnswerError

# Two-sided 95 % quantiles of Student's t by degrees of freedom.
T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57}
BARELY = 1.02  # a guideline whose worst row costs less than this holds barely


@dataclass(frozen=True, slots=True)
class Slowdown:
    """Time per multiply-add of a row over that of the first row of its table, at equal widths.

    `value`: geometric mean over the widths, with its interval from `low` to `high`. `number`: the
    guideline's number of the row, mean over its widths.
    """

    table: int
    row: str
    number: float
    value: float
    low: float
    high: float


def _slowdowns(
    cases: Sequence[Case], ratio: Floats, half_width: Callable[[list[int]], float]
) -> tuple[Slowdown, ...]:
    """The slow-down of each row.

    Args:
        ratio: log slow-downs, [cases].
        half_width: of the interval of the mean over the cases with these indices.
    """
    found = []
    for table in sorted({case.table for case in cases}):
        for row in row_names(cases, table):
            at = [i for i, c in enumerate(cases) if (c.table, c.row) == (table, row)]
            number = float(np.mean([cases[i].number for i in at]))
            mean, half = ratio[at].mean(), half_width(at)
            value, low, high = (float(np.exp(mean + d)) for d in (0.0, -half, half))
            found.append(Slowdown(table, row, number, value, low, high))
    return tuple(found)


def _first(cases: Sequence[Case]) -> list[int]:
    """For each case, the index of the first row of its table at its width."""
    where: dict[tuple[int, int], int] = {}
    return [where.setdefault((case.table, case.scale), i) for i, case in enumerate(cases)]


def measured_slowdowns(cases: Sequence[Case], times: Floats) -> tuple[Slowdown, ...]:
    """From times [cases, passes, rounds] in seconds.

    Rows are compared round by round; a pass counts by its median. `low` and `high` are the 95 %
    confidence interval of the mean over passes.

    Raises:
        NoAnswerError: noise exceeds what ten blocks take.
    """
    per_flop = times / np.array([case.flops for case in cases])[:, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.median(per_flop / per_flop[_first(cases)], axis=2)
    good = (np.median(times, axis=2) > 0) & (ratio > 0) & np.isfinite(ratio)
    if not good.all():
        case = cases[int(np.nonzero(~good)[0][0])]
        raise NoAnswerError(
            f"noise exceeds what ten blocks take (Table {case.table}, {case.row}, {case.channels} "
            "channels): measure again while nothing else uses the device, or with more --rounds"
        )
    by_pass = np.log(ratio)
    passes = by_pass.shape[1]

    def half_width(at: list[int]) -> float:
        error = by_pass[at].mean(axis=0).std(ddof=1) / np.sqrt(passes)
        return float(T95.get(passes - 1, 2.57) * error)

    return _slowdowns(cases, by_pass.mean(axis=1), half_width)


def paper_slowdowns(cases: Sequence[Case]) -> tuple[Slowdown, ...]:
    """From the paper's columns; `low` and `high` bound the effect of rounding its speeds."""
    log = np.log([case.paper_s / case.paper_flops for case in cases])
    rounding = np.array([case.rounding for case in cases])
    first = _first(cases)
    own = np.where(np.array(first) == np.arange(len(cases)), 0.0, rounding + rounding[first])
    return _slowdowns(cases, log - log[first], lambda at: float(own[at].mean()))


def of_table(found: Iterable[Slowdown], table: int) -> list[Slowdown]:
    """The rows of one table, in their order."""
    return [slowdown for slowdown in found if slowdown.table == table]


def _against(slowdown: Slowdown) -> str:
    """A row and its value in words: `1:12 is 1.41x slower`, `2 groups are 1.05x faster`."""
    row, value = slowdown.row, slowdown.value
    verb = "are" if (row[0].isdigit() and ":" not in row) or " and " in row else "is"
    return f"{row} {verb} {max(value, 1 / value):.2f}x {'faster' if value < 1 else 'slower'}"


def guideline_verdict(
    found: Sequence[Slowdown], paper: Sequence[Slowdown] = (), column: str = "", where: str = ""
) -> str:
    """One sentence: whether a guideline holds, from the rows of its table. It holds if the row
    that breaks it most is significantly slower.

    Args:
        paper: the same rows in the paper's `column`, for comparison.
        where: a few words on which rows these are.
    """
    first, *others, worst = found
    interval = f"{worst.low:.2f} to {worst.high:.2f}"
    if paper:
        interval += f"; paper {column} {paper[-1].value:.2f}x"
    if worst.low > 1:
        outcome = "holds" if worst.value >= BARELY else "holds, barely"
    else:
        outcome = "does not hold" if worst.high < 1 else "within noise"
    contrary = [s for s in others if (s.high < 1 <= worst.value) or (s.low > 1 > worst.value)]
    but = "".join(f", yet {_against(s)}" for s in contrary)
    return f"G{worst.table}{where} {outcome}: {_against(worst)} than {first.row} ({interval}){but}"
