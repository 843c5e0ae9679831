"""Public tables of trained networks, read into one shape so that any score can be compared with
them. The files are not part of this project: the user names their folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks import DATASETS
from evaluator.benchmarks.packed import Floats, Ranges, read_packed
from space.common.errors import MissingDataError

Ints = NDArray[np.int64]
SOURCES = {
    "nats-sss": "NATS-Bench's size space (SearchSpaces/BenchNatsss of github.com/lightonai/"
    "contrastive-embeddings-for-neural-architectures)",
    "accel-nasbench": "anb_dataset/anb_dataset_jsons.tar.gz of github.com/afzalxo/Accel-NASBench",
}
PAGE = "docs/guide/predictor.md"
ACCEL_WIDTHS = (16, 24, 40, 80, 112, 192, 320)


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkTable:
    """n trained networks. `stages` here are groups of equal units, as the table varies them.

    Attributes:
        widths, depths, kernels: [n, stages], as `ClosedForm` takes them.
        splits: [n, stages], likewise; above 1 for an expansion.
        se: [n, stages], 1 where the units have squeeze-and-excite.
        levels: [stages], as `ClosedForm` takes them.
        flops, params: [n].
        accuracy: data set -> [n], in %.
        log_width_layers: [n], the sum of log output widths over all convolutions of the stages.
        fan_in_layers: [n, stages], the sum of log fan-in over them (MAE-DET, DeepMAD).
    """

    name: str
    widths: Ints
    depths: Ints
    splits: Ints
    kernels: Ints
    se: Ints
    levels: Floats
    flops: Floats
    params: Floats
    accuracy: dict[str, Floats]
    log_width_layers: Floats
    fan_in_layers: Floats


def read_table(name: str, data: str | Path | None = None) -> BenchmarkTable:
    """The public table of a name in DATASETS.

    Args:
        data: the folder of tables; None: $G4NAS_DATA.

    Raises:
        ValueError: no table has this name, or the file lacks a column or has an impossible value.
        MissingDataError: the folder or the table is missing; the message says where it comes from.
        OSError: the file cannot be read.
    """
    if name not in DATASETS:
        raise ValueError(f"the table must be one of {', '.join(DATASETS)}; got {name!r}")
    path = packed_path(
        name, data, f"It does not ship: {PAGE} says how to make it of {SOURCES[name]}"
    )
    make, ranges = READERS[name]
    return make(read_packed(path, ranges)[0])


def packed_path(name: str, data: str | Path | None, source: str) -> Path:
    """Where the table of a name lies below the folder of tables.

    Args:
        data: the folder; None: $G4NAS_DATA.
        source: where the table comes from, for the message.

    Raises:
        MissingDataError: the folder or the table is missing.
    """
    file = name.replace("-", "_")
    place = f"{file}/{file}.csv.xz"
    must = f"--data or $G4NAS_DATA must name the folder that has {place}"
    folder = data or os.environ.get("G4NAS_DATA")
    if not folder:
        raise MissingDataError(f"{must}; got none. {source}")
    path = Path(folder) / place
    if not path.exists():
        raise MissingDataError(f"{must}; there is no {path}. {source}")
    return path


def halves(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A fixed random half of n rows to fit constants on, and the other half to report on."""
    order = np.random.default_rng(0).permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def _nats_sss(table: dict[str, Floats]) -> BenchmarkTable:
    """NATS-Bench size space: 32,768 networks of five widths (Dong et al., "NATS-Bench:
    Benchmarking NAS Algorithms for Architecture Topology and Size", Section 3.2).

    Widths 1, 3 and 5 are cells of five 3x3 convolutions, 2 and 4 residual blocks of stride 2. The
    layer sums leave out the 1x1 convolutions of shortcuts.
    """
    widths = np.column_stack([table[f"width{i}"] for i in range(1, 6)]).astype(np.int64)
    ones = np.ones_like(widths)
    log = np.log(widths.astype(float))
    convolutions = np.array([5, 2, 5, 2, 5])
    from_input = np.array([2, 1, 2, 1, 2])
    fan_in = log[:, [0, 0, 1, 2, 3]] * from_input + log * (convolutions - from_input)
    fan_in += convolutions * np.log(9)
    return BenchmarkTable(
        name="nats-sss",
        widths=widths,
        depths=ones,
        splits=ones,
        kernels=3 * ones,
        se=0 * ones,
        levels=np.array([0.0, 1.0, 1.0, 2.0, 2.0]),
        flops=table["flops"],
        params=table["params"],
        accuracy={
            "CIFAR-10": table["cifar10_top1"],
            "CIFAR-100": table["cifar100_top1"],
            "ImageNet16-120": table["imagenet16_top1"],
        },
        log_width_layers=log @ convolutions,
        fan_in_layers=fan_in,
    )


def _accel_nasbench(table: dict[str, Floats]) -> BenchmarkTable:
    """Accel-NASBench: 5,138 inverted-residual networks trained on ImageNet by a short recipe.

    `flops` is the table's `macs`, which adds batch-norm and pooling to the convolutions. The layer
    sums leave out squeeze-and-excite.
    """

    def column(key: str) -> Ints:
        return np.column_stack([table[f"block{i}_{key}"] for i in range(7)]).astype(np.int64)

    expansion, depth, kernel = column("e"), column("l"), column("k")
    widths = np.broadcast_to(np.array(ACCEL_WIDTHS), expansion.shape)
    into = np.array((32, *ACCEL_WIDTHS[:-1]))
    expands = expansion > 1
    log_width = np.zeros(len(expansion))
    fan_in = np.zeros(expansion.shape)
    for index in range(int(depth.max())):
        exists = depth > index
        c_in = into if index == 0 else widths
        hidden = np.log(expansion * c_in)
        log_width += (exists * (hidden * (1 + expands) + np.log(widths))).sum(axis=1)
        fan_in += exists * (expands * np.log(c_in) + np.log(kernel**2) + hidden)
    return BenchmarkTable(
        name="accel-nasbench",
        widths=widths,
        depths=depth,
        splits=expansion,
        kernels=kernel,
        se=column("se"),
        levels=np.array([0.0, 1.0, 2.0, 3.0, 3.0, 4.0, 4.0]),
        flops=table["macs"] * 1e6,
        params=table["params"] * 1e6,
        accuracy={"ImageNet": table["val_top1"]},
        log_width_layers=log_width,
        fan_in_layers=fan_in,
    )


_PERCENT, _COUNT = (0.0, 100.0), (1.0, 1e12)
_NATS_SSS: Ranges = {
    **{f"width{i}": (1, 10_000) for i in range(1, 6)},
    **{f"{name}_top1": _PERCENT for name in ("cifar10", "cifar100", "imagenet16")},
    "params": _COUNT,
    "flops": _COUNT,
}
_BLOCK = {"e": (1, 100), "k": (1, 31), "l": (1, 100), "se": (0, 1)}
_ACCEL_NASBENCH: Ranges = {
    **{f"block{i}_{key}": limits for i in range(7) for key, limits in _BLOCK.items()},
    "val_top1": _PERCENT,
    "macs": (1e-3, 1e6),
    "params": (1e-3, 1e6),
}
READERS: dict[str, tuple[Callable[[dict[str, Floats]], BenchmarkTable], Ranges]] = {
    "nats-sss": (_nats_sss, _NATS_SSS),
    "accel-nasbench": (_accel_nasbench, _ACCEL_NASBENCH),
}
