"""Two latency tables as a picture: their blocks against each other, and networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latency.table.compare import network_pairs, scaled_entries
from latency.table.load import AnyTable
from space.common.files import replace_file
from space.network.network import Network


def draw_table_comparison(
    a: AnyTable, b: AnyTable, networks: Sequence[Network], out: Path
) -> None:
    """Draw the blocks of both tables against each other, and the networks (.png).

    Raises:
        OSError: `out` cannot be written.
    """
    from matplotlib import rc_context

    # A device's name may have dollars, which are no formula.
    with rc_context({"text.parse_math": False}), replace_file(out) as temporary:
        _figure(a, b, networks).savefig(temporary, dpi=110)


def _figure(a: AnyTable, b: AnyTable, networks: Sequence[Network]) -> Any:
    from matplotlib.figure import Figure

    a_s, b_s = scaled_entries(a), scaled_entries(b)
    panels = []  # title, {label: (A, B) seconds}
    for title, pairs in (
        ("blocks", [(block.kind, (a_s[block], b_s[block])) for block in a_s if block in b_s]),
        ("random networks", [("networks", pair) for pair in network_pairs(a, b, networks)]),
    ):
        labels = dict.fromkeys(label for label, _ in pairs)
        series = {label: [pair for own, pair in pairs if own == label] for label in labels}
        panels += [(f"{len(pairs)} {title}", series)] * bool(pairs)
    figure = Figure(figsize=(5.5 * len(panels), 5), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)
    for axis, (title, series) in zip(axes.flat, panels, strict=True):
        for label, points in series.items():
            axis.scatter(*(1e3 * np.array(points).T), s=6, label=label, alpha=0.6)
        both = [1e3 * value for points in series.values() for pair in points for value in pair]
        axis.plot([min(both), max(both)], [min(both), max(both)], color="0.3", lw=0.8)
        axis.set(xscale="log", yscale="log", title=f"{title}; line: equal")
        axis.set(xlabel=f"A: {a.header.target}, ms", ylabel=f"B: {b.header.target}, ms")
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_formatter("{x:g}")
            scale.set_minor_formatter("")
        if len(series) > 1:
            axis.legend(fontsize=7)
    figure.suptitle(f"A: {a.header.label}\nB: {b.header.label}", fontsize=9)
    return figure
