"""A latency table as a picture: latency against width, a panel for each family of blocks.

Curves hold a block's other widths fixed (a split of 1/2, the median input channels); measured
blocks near those are dark, all others pale. Each alignment has a colour, so that a cliff is a gap
between two colours at one width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median_high
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency.table.family_fit import FLAGS, MIN_POINTS, Family
from latency.table.interpolate import by_family, family_title
from latency.table.latency_table import LatencyTable
from latency.table.load import AnyTable
from space.common.errors import MissingOpError
from space.common.files import replace_file
from space.network.block import Block, BlockBatch

PANELS = 5  # a row of the picture
# Multiple -> colour (of Wong, Points of view: Color blindness, Nature Methods 8, 2011).
CLASSES = {16: "#0072B2", 8: "#56B4E9", 4: "#E69F00", 2: "#D55E00", 1: "#CC79A7"}
LABELS = {
    "branch": "branch channels (split 1/2)",
    "mid": "inner channels",
    "c_out": "output channels",
    "c_in": "input channels",
}
NEAR = 1.25  # a measured block is near a curve whose other widths are within this factor


def draw_table(table: AnyTable, out: Path) -> None:
    """Write the picture (.png) of a table of measured blocks.

    Raises:
        ValueError: the table is a cost model, or no family has enough blocks to draw a curve.
        OSError: `out` cannot be written.
    """
    if not isinstance(table, LatencyTable):
        raise ValueError(f"{table.header.target} is a cost model of ops: it has no blocks to draw")
    from matplotlib import rc_context

    grouped = by_family(table.entries)
    drawn = sorted((f for f in grouped if len(grouped[f]) >= MIN_POINTS), key=_order)
    if not drawn:
        raise ValueError(
            f"the table has no {MIN_POINTS} blocks of one family: there is no curve to draw"
        )
    # A device's name may have dollars, which are no formula.
    with rc_context({"text.parse_math": False}), replace_file(out) as temporary:
        _figure(table, drawn, grouped).savefig(temporary, dpi=100)


def _figure(
    table: LatencyTable, drawn: Sequence[Family], grouped: Mapping[Family, list[Block]]
) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(PANELS, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.7 * rows + 0.8), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(drawn) :]:
        axis.axis("off")
    multiples: set[int] = set()
    for axis, family in zip(axes.flat, drawn, strict=False):
        multiples |= _panel(axis, table, family, grouped[family])
    handles: list[Any] = [
        Line2D([], [], color=CLASSES[c], label=f"multiple of {c}") for c in sorted(multiples)[::-1]
    ]
    for color, label in (("0.15", "near the curve's other widths"), ("0.8", "others")):
        handles.append(
            Line2D([], [], color=color, marker="o", ms=4, ls="", label=f"measured, {label}")
        )
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(len(handles), 2 * columns),
        fontsize=9, title=table.header.label, title_fontsize=11,
    )  # fmt: skip
    return figure


def _order(family: Family) -> tuple:
    kind, height, _, rest = family
    fields = dict(rest)
    own = kind not in ("stem", "shufflenet_v2", "head")  # the search space's blocks come first
    return own, kind, -height, fields.get("stride", 1), fields.get("kernel", 3), str(rest)


def multiple(widths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The greatest of 16, 8, 4, 2, 1 that divides each width, int [n]."""
    return np.gcd(widths, max(CLASSES))


def axis_of(blocks: list[Block]) -> tuple[str, int]:
    """The width that a family is drawn against, which its convolutions run at, and the output
    channels for one channel of it: 2 for a branch of half, 4 for a bottleneck."""
    fields = {field for block in blocks for field, _ in block.fields}
    name = next(name for name in LABELS if name in fields)
    if name == "mid":
        return name, max(1, round(float(np.median([b["c_out"] / b["mid"] for b in blocks]))))
    return name, 2 if name == "branch" else 1


def slice_of(family: Family, blocks: list[Block]) -> BlockBatch:
    """Blocks of every second width on the family's axis with its other widths fixed."""
    kind, height, width, rest = family
    name, share = axis_of(blocks)
    values = [block[name] for block in blocks]
    low, high = min(values), max(values)
    if name != "c_in":
        outputs = [block["c_out"] for block in blocks]
        low, high = max(low, -(-min(outputs) // share)), min(high, max(outputs) // share)
    step = 4 * blocks[0]["groups"] if kind == "shufflenet_v1" else 2  # what its groups allow
    widths = np.arange(-(-low // step) * step, high + 1, step, dtype=np.int64)
    fields: dict[str, Any] = {field: value for field, value in rest if field not in FLAGS}
    fields[name] = widths
    if name != "c_in":
        fields["c_out"] = widths * share
        middle = _input_of(blocks)
        fields["c_in"] = fields["c_out"] if middle is None else np.full(len(widths), middle)
    return BlockBatch(kind, height, width, fields)


def _input_of(blocks: list[Block]) -> int | None:
    """The median of the input channels; None if all blocks have as many as outputs."""
    if all(block["c_in"] == block["c_out"] for block in blocks):
        return None
    return median_high(block["c_in"] for block in blocks)


def _panel(axis: Any, table: LatencyTable, family: Family, blocks: list[Block]) -> set[int]:
    """Draw a family; return the alignments of its curves."""
    factor = table.header.scale["factor"]
    name, share = axis_of(blocks)
    middle = _input_of(blocks) if name != "c_in" else None

    def near(block: Block) -> bool:
        """Whether the other widths of `block` are about those of the curve."""
        gaps = [] if name == "c_in" else [block["c_out"] / (share * block[name])]
        gaps += [] if middle is None else [block["c_in"] / middle]
        return all(1 / NEAR <= gap <= NEAR for gap in gaps)

    milliseconds = {block: table.entries[block].median_s * factor * 1e3 for block in blocks}
    for own, color, size in ((False, "0.8", 5), (True, "0.15", 9)):
        points = [block for block in blocks if near(block) == own]
        x, y = [block[name] for block in points], [milliseconds[block] for block in points]
        axis.scatter(x, y, s=size, color=color, zorder=1 + own)
    note = "" if middle is None else f", {middle} in"
    axis.set_title(f"{family_title(family)}{note}", fontsize=8)
    axis.set_xlabel(LABELS[name], fontsize=7)
    axis.set_ylabel("ms", fontsize=7)
    axis.tick_params(labelsize=7)
    axis.set_ylim(bottom=0)
    batch = slice_of(family, blocks)
    widths = np.asarray(batch.fields[name])
    found: set[int] = set()
    for aligned in np.unique(multiple(widths)).tolist():
        rows = np.flatnonzero(multiple(widths) == aligned)
        fields = {f: np.asarray(v)[rows] if np.ndim(v) else v for f, v in batch.fields.items()}
        with suppress(MissingOpError):  # no such width was measured: points only
            curve = table.predict(replace(batch, fields=fields)) * 1e3
            axis.plot(widths[rows], curve, color=CLASSES[aligned], lw=1.4, zorder=3)
            found.add(aligned)
    if found:
        gap = max(1.0, 0.04 * float(np.ptp(widths)))
        axis.set_xlim(widths[0] - gap, widths[-1] + gap)
        axis.set_ylim(0, 1.05 * max(y for b, y in milliseconds.items() if b[name] <= widths[-1]))
    return found
