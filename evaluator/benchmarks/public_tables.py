"""Public tables of trained networks, read into one shape so that any score can be judged on them.

The files are not part of this project: `G4NAS_DATA` names the folder that holds them, else
`../shared/data` beside the project.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from space.common.errors import MissingDataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
HALVES_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """n trained networks. `stages` here are groups of equal units, as the table varies them.

    `widths`, `depths`, `splits`, `kernels`: [n, stages], as `ClosedForm` takes them; a split above
    1 is an expansion. `levels`: [stages]. `accuracy`: name -> [n], in %. `se`: [n, stages].
    `log_width_layers`: [n], the sum of log output widths over all convolutions of the stages.
    `fan_in_layers`: [n, stages], the sum of log fan-in over them (MAE-DET, DeepMAD).
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

    def text(self, row: int) -> str:
        """Network `row` in one line: what the table varies, stage by stage."""
        varied = (("width", self.widths), ("depth", self.depths), ("expansion", self.splits))
        words = [
            f"{name}={','.join(map(str, values[row]))}"
            for name, values in (*varied, ("kernel", self.kernels), ("se", self.se))
            if np.ptp(values, axis=0).any()
        ]
        return " ".join(words)


def data_folder(given: str | Path | None = None) -> Path:
    """The folder of tables: as given, else G4NAS_DATA, else ../shared/data."""
    chosen = given or os.environ.get("G4NAS_DATA")
    return Path(chosen) if chosen else Path(__file__).parents[2] / "shared" / "data"


def nats_sss(folder: str | Path | None = None) -> Trained:
    """NATS-Bench size space: 32,768 networks of five widths (Dong et al., Section 3.2).

    Widths 1, 3 and 5 are cells of five 3x3 convolutions, 2 and 4 residual blocks of stride 2.
    """
    table = _read(folder, "nats_sss")
    widths = np.column_stack([table[f"width{i}"] for i in range(1, 6)]).astype(np.int64)
    ones = np.ones_like(widths)
    log = np.log(widths.astype(float))
    before = np.concatenate([log[:, :1], log[:, :-1]], axis=1)
    convolutions = np.array([5, 2, 5, 2, 5])
    from_input = np.array([2, 1, 2, 1, 2])
    fan_in = before * from_input + log * (convolutions - from_input) + convolutions * np.log(9)
    return Trained(
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
            name: table[column]
            for name, column in (
                ("CIFAR-10", "cifar10_top1"),
                ("CIFAR-100", "cifar100_top1"),
                ("ImageNet16-120", "imagenet16_top1"),
            )
        },
        log_width_layers=log @ convolutions,
        fan_in_layers=fan_in,
    )


ACCEL_WIDTHS = (16, 24, 40, 80, 112, 192, 320)
ACCEL_STRIDES = (1, 2, 2, 2, 1, 2, 1)


def accel_nasbench(folder: str | Path | None = None) -> Trained:
    """Accel-NASBench: 5,138 inverted-residual networks trained on ImageNet by a short recipe.

    `flops` is the table's `macs`, which adds batch-norm and pooling to the convolutions.
    """
    table = _read(folder, "accel_nasbench")

    def column(key: str) -> Ints:
        return np.column_stack([table[f"block{i}_{key}"] for i in range(7)]).astype(np.int64)

    expansion, depth, kernel = column("e"), column("l"), column("k")
    widths = np.broadcast_to(np.array(ACCEL_WIDTHS), expansion.shape)
    into = np.array((32, *ACCEL_WIDTHS[:-1]))
    expands = expansion > 1
    log_width = np.zeros(len(expansion))
    fan_in = np.zeros(expansion.shape)
    for index in range(int(depth.max())):
        there = depth > index
        c_in = into if index == 0 else widths
        hidden = np.log(expansion * c_in)
        log_width += (there * (hidden * (1 + expands) + np.log(widths))).sum(axis=1)
        fan_in += there * (expands * np.log(c_in) + np.log(kernel**2) + hidden)
    return Trained(
        name="accel-nasbench",
        widths=widths,
        depths=depth,
        splits=expansion,
        kernels=kernel,
        se=column("se"),
        levels=np.cumsum(np.array(ACCEL_STRIDES) == 2).astype(float),
        flops=table["macs"] * 1e6,
        params=table["params"] * 1e6,
        accuracy={"ImageNet": table["val_top1"]},
        log_width_layers=log_width,
        fan_in_layers=fan_in,
    )


TABLES = {"nats-sss": nats_sss, "accel-nasbench": accel_nasbench}


def halves(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A fixed random half to fit constants on, and the other half to report on."""
    order = np.random.default_rng(HALVES_SEED).permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def _read(folder: str | Path | None, name: str) -> dict[str, Floats]:
    path = data_folder(folder) / name / f"{name}.csv.xz"
    if not path.is_file():
        raise MissingDataError(
            f"no table at {path}; name its folder with --data or the variable G4NAS_DATA"
        )
    import pandas as pd

    frame = pd.read_csv(path)
    return {str(key): frame[key].to_numpy(dtype=float) for key in frame.columns}
