"""Whether a table can price the networks of a search."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from latency.table.header import TableHeader
from search.problem.problem import Problem
from search.problem.shape import build_command, shape_of
from space.common.errors import MissingOpError
from space.common.text import shorten

PLAUSIBLE_S = (1e-9, 1e6)  # of a whole network


def check_latencies(problem: Problem) -> None:
    """Tabulate the latencies of the space, and refuse a table that does not have them.

    Raises:
        ValueError: the table lacks blocks of the space, or no latency of a device is like its
            latencies.
    """
    header, shape = problem.table.header, shape_of(problem.space)
    try:
        with np.errstate(all="ignore"):  # what overflows is refused below
            lookups, _ = problem.model.tables(problem.space.variants()[0])
            columns = [each.table[:, -1] for each in lookups]
            bounds = [float(sum(column.min() for column in columns)),
                      float(sum(column.max() for column in columns))]  # fmt: skip
    except MissingOpError as error:
        raise ValueError(
            f"the table {shorten(header.target)} must have the blocks of networks of {shape}: "
            f"{error}. Another table: {build_command(shape)}"
        ) from None
    check_seconds(bounds, header)


def check_seconds(seconds: Iterable[float], header: TableHeader) -> None:
    """ValueError if these latencies of networks are not those of any device."""
    for value in seconds:
        if not PLAUSIBLE_S[0] <= value <= PLAUSIBLE_S[1]:
            raise ValueError(
                f"latencies of networks must be from {PLAUSIBLE_S[0]:g} to {PLAUSIBLE_S[1]:g} "
                f"seconds; the table {shorten(header.target)} has {value:.3g}: build it again"
            )
