"""A latency table as a picture: latency against width, a panel for each family of blocks.

A block has more widths than one axis shows. The curves hold the others fixed (a split of 1/2, the
median input channels); measured blocks near those are dark, all others pale. One colour for each
alignment, so that a cliff is a gap between two colours at one width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency.table.family_fit import FLAGS, MIN_POINTS, Family
from latency.table.interpolate import family_of, family_title
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

Widths = NDArray[np.int64]


def draw_table(table: AnyTable, out: Path) -> None:
    """Write the picture (.png) of a table of measured blocks.

    Raises:
        ValueError: the table is a cost model, or no family has enough blocks to draw a curve.
        OSError: `out` cannot be written.
    """
    if not isinstance(table, LatencyTable):
        raise ValueError(f"{table.header.target} is a cost model of ops: it has no blocks to draw")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    families: dict[Family, list[Block]] = {}
    for block in table.entries:
        families.setdefault(family_of(block), []).append(block)
    drawn = sorted((f for f in families if len(families[f]) >= MIN_POINTS), key=_order)
    if not drawn:
        raise ValueError(
            f"the table has no {MIN_POINTS} blocks of one family: there is no curve to draw"
        )
    columns = min(PANELS, len(drawn))
    rows = -(-len(drawn) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.6 * columns, 2.7 * rows + 0.8), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis in axes.flat[len(drawn) :]:
        axis.axis("off")
    multiples: set[int] = set()
    for axis, family in zip(axes.flat, drawn, strict=False):
        multiples |= _panel(axis, table, family, families[family])
    handles: list[Any] = [
        Line2D([], [], color=CLASSES[c], label=f"multiple of {c}") for c in sorted(multiples)[::-1]
    ]
    for color, label in (("0.15", "measured, near the curve's other widths"),
                         ("0.8", "measured, others")):  # fmt: skip
        handles.append(Line2D([], [], color=color, marker="o", ms=4, ls="", label=label))
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(len(handles), 2 * columns),
        fontsize=9,
        title=table.header.label,
        title_fontsize=11,
    )
    with replace_file(out) as temporary:
        figure.savefig(temporary, dpi=100)
    plt.close(figure)


def _order(family: Family) -> tuple:
    kind, height, _, rest = family
    fields = dict(rest)
    own = kind not in ("stem", "shufflenet_v2", "head")  # the search space's blocks come first
    return own, kind, -height, fields.get("stride", 1), fields.get("kernel", 3), str(rest)


def multiple(widths: Widths) -> Widths:
    """The greatest of 16, 8, 4, 2, 1 that divides each width, int [n]."""
    return np.gcd(widths, max(CLASSES))


def axis_of(family: Family, blocks: list[Block]) -> str:
    """The width that a family is drawn against: the one that its convolutions run at."""
    return next(
        name
        for name in ("branch", "mid", "c_out", "c_in")
        if name in dict(blocks[0].fields) or any(name in dict(block.fields) for block in blocks)
    )


def slice_of(family: Family, blocks: list[Block]) -> BlockBatch:
    """Blocks of every second width on the family's axis with its other widths fixed."""
    name = axis_of(family, blocks)
    fields: dict[str, Any] = {field: value for field, value in family[3] if field not in FLAGS}
    share = _share(family, blocks)
    outputs = [block["c_out"] for block in blocks] if name != "c_in" else []
    values = [block[name] for block in blocks]
    low, high = min(values), max(values)
    if outputs:
        low, high = max(low, -(-min(outputs) // share)), min(high, max(outputs) // share)
    step = 4 * blocks[0]["groups"] if family[0] == "shufflenet_v1" else 2  # what its groups allow
    widths = np.arange(-(-low // step) * step, high + 1, step, dtype=np.int64)
    fields[name] = widths
    if outputs:
        fields["c_out"] = widths * share
    known = {field for block in blocks for field, _ in block.fields}
    if name != "c_in" and "c_in" in known:
        if all(block["c_in"] == block["c_out"] for block in blocks):
            fields["c_in"] = fields["c_out"]
        else:
            fields["c_in"] = np.full(len(widths), _median(blocks, "c_in"))
    return BlockBatch(family[0], family[1], family[2], fields)


def _share(family: Family, blocks: list[Block]) -> int:
    """Output channels for one channel on the axis: 2 for a branch of half, 4 for a bottleneck."""
    name = axis_of(family, blocks)
    if name == "branch":
        return 2
    if name == "mid":
        return max(1, round(float(np.median([b["c_out"] / b["mid"] for b in blocks]))))
    return 1


def _median(blocks: list[Block], name: str) -> int:
    """The middle one of the blocks' values."""
    return sorted(block[name] for block in blocks)[len(blocks) // 2]


def _panel(axis: Any, table: LatencyTable, family: Family, blocks: list[Block]) -> set[int]:
    """Draw a family; return the alignments of its curves."""
    factor = table.header.scale["factor"]
    name, share = axis_of(family, blocks), _share(family, blocks)
    same = all(block["c_in"] == block["c_out"] for block in blocks) if name != "c_in" else True
    middle = _median(blocks, "c_in")
    for near in (False, True):
        points = [b for b in blocks if _near(b, name, share, same, middle) == near]
        x = [block[name] for block in points]
        y = [table.entries[block].median_s * factor * 1e3 for block in points]
        axis.scatter(x, y, s=9 if near else 5, color="0.15" if near else "0.8", zorder=1 + near)
    note = "" if same else f", {middle} in"
    axis.set_title(f"{family_title(family)}{note}", fontsize=8)
    axis.set_xlabel(LABELS[name], fontsize=7)
    axis.set_ylabel("ms", fontsize=7)
    axis.tick_params(labelsize=7)
    axis.set_ylim(bottom=0)
    batch = slice_of(family, blocks)
    if not len(batch.fields[name]):  # type: ignore[arg-type]
        return set()
    found: set[int] = set()
    widths = batch.column(name)
    for aligned in np.unique(multiple(widths)):
        rows = np.flatnonzero(multiple(widths) == aligned)
        try:
            curve = table.predict(_rows(batch, rows)) * 1e3
        except MissingOpError:  # no such width was measured: points only
            continue
        axis.plot(widths[rows], curve, color=CLASSES[int(aligned)], lw=1.4, zorder=3)
        found.add(int(aligned))
    if found:
        gap = max(1.0, 0.04 * float(np.ptp(widths)))
        axis.set_xlim(widths[0] - gap, widths[-1] + gap)
        below = [table.entries[b].median_s * factor * 1e3 for b in blocks if b[name] <= widths[-1]]
        axis.set_ylim(0, 1.05 * max(below))
    return found


def _rows(batch: BlockBatch, rows: NDArray[np.int64]) -> BlockBatch:
    """Some blocks of a batch."""
    fields = {
        field: value if np.ndim(value) == 0 else np.asarray(value)[rows]
        for field, value in batch.fields.items()
    }
    return BlockBatch(batch.kind, batch.height, batch.width, fields)


def _near(block: Block, name: str, share: int, same: bool, middle: int) -> bool:
    """Whether a measured block's other widths are about those of the curve."""
    gaps = [1.0]
    if name != "c_in":
        gaps.append(block["c_out"] / (share * block[name]))
    if not same:
        gaps.append(block["c_in"] / middle)
    return all(1 / NEAR <= gap <= NEAR for gap in gaps)
