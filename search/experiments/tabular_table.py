"""A table of trained networks as a discrete space with a value and a known cost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from search.sampling.costs import Floats
from search.sampling.grid import CandidateGrid, Rows, key
from space.common.cli import log
from space.common.errors import InfeasibleError
from space.common.files import check_regular
from space.common.text import shorten

if TYPE_CHECKING:
    import pandas as pd

MEDIAN = "median"
LEAST_ROWS = 10
LARGEST = 1e100  # of a number, so that squares are finite


@dataclass(frozen=True, slots=True, eq=False)
class TrainedTable:
    """n trained networks.

    Attributes:
        genes: the columns that a sampler sets.
        space: their distributions. Whole numbers in even steps are themselves; other numbers are
            the place in their order, and all else is a category.
        rows: of the networks on the grid of `space`, [n, genes].
        value: [n], larger being better: the negative of the column if that is minimised.
        cost: [n]; None: none is known.
        limit: of the cost; None: none.
        digest: SHA-256 of the file.
        places: a row as bytes -> its place in `rows`.
    """

    genes: tuple[str, ...]
    space: dict[str, BaseDistribution]
    grid: CandidateGrid
    rows: Rows
    value: Floats
    cost: Floats | None
    limit: float | None
    digest: str
    places: dict[bytes, int]

    @property
    def complete(self) -> bool:
        return len(self.rows) == self.grid.count

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """[n]: which networks are within the limit."""
        if self.cost is None or self.limit is None:
            return np.ones(len(self.rows), dtype=bool)
        return self.cost <= self.limit

    def nearest(self, params: Mapping[str, Any]) -> int:
        """The network of some parameters, or the one that differs least: the sum over genes of the
        steps between two choices as a share of all steps, 1 for two categories."""
        row = np.array(self.grid.row(params), dtype=np.int64)
        if (found := self.places.get(key(row))) is not None:
            return found
        apart = np.abs(self.rows - row)
        sizes = np.maximum(self.grid.sizes - 1, 1)
        categories = [isinstance(d, CategoricalDistribution) for d in self.space.values()]
        steps = np.where(categories, apart > 0, apart / sizes).sum(axis=1)
        return int(np.argmin(steps))


def read_trained_table(
    path: Path,
    genes: Sequence[str],
    value: str,
    cost: str | None,
    limit: str | None,
    minimise: bool,
) -> TrainedTable:
    """Read a CSV file, compressed or not, a network each line; lines of the same genes are repeats
    of one network, whose means count.

    Args:
        limit: a number, or "median" of the cost; None: none.

    Raises:
        ValueError: the file is no table, a column is missing or has something else than a number,
            or there are fewer than 10 networks.
        InfeasibleError: no network is within the limit.
        OSError: the file cannot be read.
    """
    if limit is not None and cost is None:
        raise ValueError("--limit is of a cost; give its column by --cost")
    data = _read(path)
    for column in (*genes, value, *([cost] if cost else [])):
        if column not in data:
            known = ", ".join(map(str, data.columns[:20]))
            raise ValueError(f"{path}: no column {shorten(column)}; it has {shorten(known, 200)}")
    if not genes or len(set(genes)) < len(genes):
        raise ValueError(f"--genes must be different columns; got {shorten(','.join(genes))}")
    if len(data) < LEAST_ROWS:
        raise ValueError(f"{path}: at least {LEAST_ROWS} networks are needed; got {len(data)}")
    space, columns = {}, []
    for gene in genes:
        space[gene], index = _gene(path, gene, data[gene])
        columns.append(index)
    grid, lines = CandidateGrid.of(space), np.column_stack(columns).astype(np.int64)
    rows, group = np.unique(lines, axis=0, return_inverse=True)
    values = _means(_numbers(path, value, data[value]), group)
    costs = None if cost is None else _means(_numbers(path, cost, data[cost]), group)
    if len(rows) < len(lines):
        log(f"{path}: {len(lines) - len(rows)} lines repeat the genes of another; means are taken")
    most = None if costs is None else _limit(limit, costs)
    table = TrainedTable(
        tuple(genes),
        space,
        grid,
        rows,
        -values if minimise else values,
        costs,
        most,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        {key(row): place for place, row in enumerate(rows)},
    )
    if costs is not None and not table.feasible.any():
        raise InfeasibleError(
            f"no network of {path} has `{cost}` within {most:g}; the least is {costs.min():g}"
        )
    return table


def _read(path: Path) -> pd.DataFrame:
    """The table, with empty fields as NaN.

    Raises:
        ValueError: it is no CSV file.
        OSError: it cannot be read.
    """
    import lzma
    import tarfile
    import zipfile
    import zlib

    import pandas as pd

    check_regular(path)
    damaged = (lzma.LZMAError, zlib.error, zipfile.BadZipFile, tarfile.TarError)
    try:
        return pd.read_csv(path, encoding="utf-8-sig")
    except (ValueError, EOFError, OverflowError, *damaged) as error:
        raise ValueError(f"{path}: must be a CSV file; {error}") from None


def _gene(path: Path, name: str, column: pd.Series) -> tuple[BaseDistribution, NDArray[np.intp]]:
    """The distribution of a gene, and the index of each network's choice."""
    if column.isna().any():
        line = int(np.flatnonzero(column.isna())[0]) + 2
        raise ValueError(f"{path}, line {line}: `{name}` is empty; a gene has a value everywhere")
    number = column.dtype.kind in "iuf"
    choices, index = np.unique(
        column.to_numpy() if number else column.astype(str), return_inverse=True
    )
    if not number:
        return CategoricalDistribution([str(choice) for choice in choices]), index
    if not np.isfinite(choices).all():
        raise ValueError(f"{path}: `{name}` must have finite numbers")
    steps = np.diff(choices)
    even = len(steps) and (steps == steps[0]).all() and (choices == choices.round()).all()
    if even and abs(choices).max() < 2**53:
        low, step = int(choices[0]), int(steps[0])
        return IntDistribution(low, low + step * len(steps), step=step), index
    return IntDistribution(0, len(steps)), index


def _numbers(path: Path, name: str, column: pd.Series) -> Floats:
    """A column of numbers, none larger than LARGEST."""
    import pandas as pd

    if column.dtype == object:  # integers beyond all floats
        column = column.astype(str)
    found = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    wrong = np.flatnonzero(~(np.abs(found) <= LARGEST))
    if len(wrong):
        raise ValueError(
            f"{path}, line {wrong[0] + 2}: `{name}` must be a number; "
            f"got {shorten(str(column.iloc[wrong[0]]))}; leave out networks that have none"
        )
    return found


def _means(values: Floats, group: NDArray[np.intp]) -> Floats:
    """The mean of the values [lines] of each group."""
    return np.bincount(group, values) / np.bincount(group)


def _limit(text: str | None, costs: Floats) -> float | None:
    if text is None:
        return None
    if text == MEDIAN:
        return float(np.median(costs))
    try:
        found = float(text)
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        raise ValueError(f"--limit must be a number or {MEDIAN}; got {shorten(text)}")
    return found
