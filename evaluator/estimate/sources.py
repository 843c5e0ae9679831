"""The public sources that the estimate is pooled over, in one shape.

A source has groups of equal units, as its authors vary them. Widths are natural logarithms: of the
output channels where these vary, else of the expansion, which sets a unit's inner width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks.packed import Ranges, read_packed
from evaluator.benchmarks.public_tables import BenchmarkTable, packed_path, read_table

Floats = NDArray[np.float64]
OFA = "dynas-ofa"
OFA_SOURCE = (
    "It does not ship: docs/guide/accuracy.md says how to make it of notebooks/data of "
    "github.com/IntelLabs/DyNAS-T"
)
OFA_LEVELS = (1.0, 2.0, 3.0, 3.0, 4.0)
OFA_UNITS = 4
_STAGES, _UNITS = range(1, 6), range(1, OFA_UNITS + 1)
OFA_RANGES: Ranges = {
    **{f"d{s}": (1, OFA_UNITS) for s in _STAGES},
    **{f"k{s}_{u}": (0, 31) for s in _STAGES for u in _UNITS},
    **{f"e{s}_{u}": (0, 100) for s in _STAGES for u in _UNITS},
    "macs": (1.0, 1e12),
    "top1": (0.0, 100.0),
}
LICENCES = {"nats-sss": "MIT", "accel-nasbench": "Apache-2.0", OFA: "Apache-2.0"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AxisSource:
    """n trained networks of one source and data set.

    Attributes:
        name: of the source and its data set; `group` is the same for all data sets of a source.
        levels: [groups], halvings of the resolution before each group, less those before the last.
        axes: "width", "depth" and "kernel", as far as they vary, [n, groups]: log width, units,
            and the kernel's gain 1 - 9 / kernel^2, a mean over units.
        nuisance: [n, k], what varies and is outside the family, as squeeze-and-excite.
        flops, accuracy: [n]; accuracy in %.
    """

    name: str
    group: str
    levels: Floats
    axes: dict[str, Floats]
    nuisance: Floats
    flops: Floats
    accuracy: Floats


def kernel_gain(kernel: Floats) -> Floats:
    """What a depthwise kernel is counted for: 0 for 3, 0.64 for 5, 0.82 for 7."""
    return 1 - 9 / np.square(kernel)


def read_sources(data: str | Path | None = None) -> list[AxisSource]:
    """All sources: NATS-Bench's size space with its three data sets, Accel-NASBench, and
    sub-networks of once-for-all.

    Args:
        data: the folder of tables; None: $G4NAS_DATA.

    Raises:
        ValueError: a file lacks a column or has an impossible value; one line that names it.
        MissingDataError: the folder or a table is missing.
        OSError: a file cannot be read.
    """
    found = []
    for name in ("nats-sss", "accel-nasbench"):
        table = read_table(name, data)
        found += [_of_table(table, key) for key in table.accuracy]
    return [*found, read_once_for_all(data)]


def _of_table(table: BenchmarkTable, data_set: str) -> AxisSource:
    axes = {
        "width": np.log(table.splits if table.name == "accel-nasbench" else table.widths),
        "depth": table.depths.astype(float),
        "kernel": kernel_gain(table.kernels.astype(float)),
    }
    return AxisSource(
        name=table.name if len(table.accuracy) == 1 else f"{table.name} {data_set}",
        group=table.name,
        levels=table.levels - table.levels.max(),
        axes=_varied(axes),
        nuisance=table.se[:, np.ptp(table.se, axis=0) > 0].astype(float),
        flops=table.flops,
        accuracy=table.accuracy[data_set],
    )


def _varied(axes: dict[str, Floats]) -> dict[str, Floats]:
    return {name: values for name, values in axes.items() if np.ptp(values, axis=0).any()}


def read_once_for_all(data: str | Path | None = None) -> AxisSource:
    """Sub-networks of the once-for-all MobileNetV3 supernet, with shared weights.

    Raises:
        ValueError: the file lacks a column, has an impossible value, or units that its depths do
            not count.
        MissingDataError: the folder or the table is missing.
    """
    path = packed_path(OFA, data, OFA_SOURCE)
    columns, _ = read_packed(path, OFA_RANGES)

    def of(letter: str) -> Floats:
        return np.stack([[columns[f"{letter}{s}_{u}"] for u in _UNITS] for s in _STAGES]).T

    depth = np.column_stack([columns[f"d{s}"] for s in _STAGES])
    kernel, expansion = of("k"), of("e")  # [n, units, stages]
    there = np.arange(OFA_UNITS)[:, None] < depth[:, None]
    other = ((kernel > 0) != there) | ((expansion > 0) != there)
    wrong = np.flatnonzero(other.any((1, 2)))
    if len(wrong):
        raise ValueError(
            f"{path}: `k` and `e` must be 0 for the units beyond `d`, and for no other; "
            f"network {wrong[0] + 1} has others"
        )

    def mean(values: Floats) -> Floats:
        return np.where(there, values, 0).sum(1) / depth

    axes = {
        "width": mean(np.log(np.where(there, expansion, 1))),
        "depth": depth,
        "kernel": mean(kernel_gain(np.where(there, kernel, 3))),
    }
    return AxisSource(
        name=OFA,
        group=OFA,
        levels=np.array(OFA_LEVELS) - OFA_LEVELS[-1],
        axes=_varied(axes),
        nuisance=np.zeros((len(depth), 0)),
        flops=columns["macs"],
        accuracy=columns["top1"],
    )
