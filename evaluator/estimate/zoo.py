"""Published networks with every convolution: the rows of ShuffleNet v2 in each recipe, and what
depth is worth where networks are trained to the end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluator.benchmarks.packed import Floats, Ranges, read_packed
from evaluator.benchmarks.public_tables import packed_path
from evaluator.estimate import RECIPES
from space.common.text import shorten

ZOO = "imagenet-zoo"
ZOO_SOURCE = (
    "It does not ship: docs/guide/accuracy.md says which published networks it lists and where "
    "they were published"
)
RANGES: Ranges = {"top1": (0.0, 100.0), "macs": (1.0, 1e12)}
TEXTS = ("name", "source", "group", "act", "recipe", "licence", "file", "layers")
# Recipe -> source in the table, and how the names of its rows begin.
ROWS_OF = {
    "torchvision": ("torchvision", "shufflenet_v2_"),
    "megvii": ("megvii", "ShuffleNetV2 "),
    "paddle": ("PaddleClas", "ShuffleNetV2"),
    "gluon": ("imgclsmob", "ShuffleNetV2 "),
    "gluon-b": ("imgclsmob", "ShuffleNetV2b "),
}
LEAST_ROWS = 4
# Networks of one recipe that differ in width and in depth, and the levels of their groups.
DEEPENED = tuple(f"mobilenetv2_{name}.ra_in1k" for name in ("100", "110d", "120d", "140"))
DEEPENED_LEVELS = (-4.0, -3.0, -2.0, -1.0, -1.0, 0.0, 0.0)
LAST_SIZE = 7
_COUNT = "[1-9][0-9]{0,8}"
LAYER = re.compile(rf"{_COUNT},{_COUNT},{_COUNT}(x{_COUNT})?,{_COUNT},{_COUNT},{_COUNT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRow:
    """A published network: `layers` are (c_in, c_out, kernel, stride, groups, output height), of
    a kernel that is not square the larger side."""

    name: str
    source: str
    group: str
    activation: str
    recipe: str
    licence: str
    file: str
    top1: float
    flops: float
    layers: tuple[tuple[int, ...], ...]


def read_zoo(data: str | Path | None = None) -> list[RecipeRow]:
    """All rows of the table.

    Raises:
        ValueError: the file lacks a column or has an impossible value; one line that names it.
        MissingDataError: the folder or the table is missing.
        OSError: it cannot be read.
    """
    path = packed_path(ZOO, data, ZOO_SOURCE)
    numbers, texts = read_packed(path, RANGES, TEXTS)
    rows = []
    for index in range(len(numbers["top1"])):
        of = {column: texts[column][index] for column in TEXTS}
        rows.append(
            RecipeRow(
                name=of["name"],
                source=of["source"],
                group=of["group"],
                activation=of["act"],
                recipe=of["recipe"],
                licence=of["licence"],
                file=of["file"],
                top1=float(numbers["top1"][index]),
                flops=float(numbers["macs"][index]),
                layers=_layers(of["layers"], f"{path}, network {index + 1}"),
            )
        )
    return rows


def _layers(text: str, where: str) -> tuple[tuple[int, ...], ...]:
    """The convolutions of a text; those of linear layers are left out."""
    found = []
    for word in text.split(";"):
        parts = word.split(",")
        if parts[-1] == "fc":
            continue
        if not LAYER.fullmatch(word):
            raise ValueError(
                f"{where}: `layers` must be c_in,c_out,kernel,stride,groups,height or "
                f"c_in,c_out,fc, joined by semicolons; got {shorten(word)}"
            )
        found.append(tuple(max(map(int, part.split("x"))) for part in parts))
    return tuple(found)


def rows_of_recipes(rows: list[RecipeRow]) -> dict[str, list[RecipeRow]]:
    """Recipe -> the rows of ShuffleNet v2 trained by it, in the order of their FLOPs.

    Raises:
        ValueError: a recipe has fewer than four rows, or two of the same FLOPs.
    """
    found = {}
    for recipe in RECIPES:
        source, begin = ROWS_OF[recipe]
        of = [
            row
            for row in rows
            if (row.source, row.group, row.activation) == (source, "snv2", "relu")
            and row.name.startswith(begin)
            and "swish" not in row.name
        ]
        if len({row.flops for row in of}) < max(LEAST_ROWS, len(of)):
            raise ValueError(
                f"{ZOO} must have at least {LEAST_ROWS} rows of ShuffleNet v2 of {source}, each "
                f"of other FLOPs; got {len(of)}"
            )
        found[recipe] = sorted(of, key=lambda row: row.flops)
    return found


def depth_of_deepened(
    rows: list[RecipeRow], log_growth: float, noise_sd: float
) -> tuple[float, float]:
    """What a unit more is worth in networks that were scaled in width and in depth, all trained
    to the end by one recipe, and its variance; in the unit of `evaluator.estimate.fit`.

    Accuracy is linear in the log of the width and in the units, each unit with the weight of its
    level. All widths of these networks change together, and with them the FLOPs of a unit twice:
    half of what the width is worth is its inner width's.

    Args:
        log_growth: of the weights, for each halving of the resolution.
        noise_sd: of a published accuracy.

    Raises:
        ValueError: not all of these networks are there, or they do not differ.
    """
    of = {row.name: row for row in rows if row.name in DEEPENED}
    if missing := [name for name in DEEPENED if name not in of]:
        raise ValueError(f"{ZOO} must have the network {missing[0]}; it has none of this name")
    width, units, accuracy = [], [], []
    for name in DEEPENED:
        last = 1
        total = 0.0
        for c_in, c_out, kernel, _, groups, height in of[name].layers:
            if groups == c_in == c_out and kernel > 1:
                last = c_out
                total += np.exp(log_growth * -np.log2(height / LAST_SIZE))
        width.append(np.log(last))
        units.append(total)
        accuracy.append(of[name].top1)
    design = np.column_stack([np.ones(len(width)), width, units])
    if np.linalg.matrix_rank(design - design.mean(0)) < 2:
        raise ValueError(
            f"{ZOO}: the networks {', '.join(DEEPENED)} must differ in width and depth"
        )
    (_, by_width, by_unit), *_ = np.linalg.lstsq(design, np.array(accuracy), rcond=None)
    covariance = noise_sd**2 * np.linalg.inv(design.T @ design)[1:, 1:]
    inner = 0.5 / float(np.exp(log_growth * np.array(DEEPENED_LEVELS)).sum())
    ratio = by_unit / (by_width * inner)
    gradient: Floats = np.array([-ratio / by_width, 1 / (by_width * inner)])
    return float(ratio), float(gradient @ covariance @ gradient)
