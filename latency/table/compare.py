"""Two latency tables side by side: their common blocks, and what each predicts of networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latency.table.latency_table import LatencyTable
    from latency.table.op_model import OpCostModel
    from space.network.block import Block
    from space.network.network import Network

    Table = LatencyTable | OpCostModel

FACTS = (
    "source", "device", "engine", "engine_version", "threads", "batch", "dtype", "input", "date",
)  # fmt: skip
EXTREMES = 5


def compare_tables(a: Table, b: Table, networks: Sequence[Network]) -> dict[str, Any]:
    """Facts that differ, ratios B / A of common blocks and of networks that both can predict.

    Raises:
        ValueError: they have no block in common and no network that both can predict.
    """
    blocks, seconds = _blocks(a, b), _network_seconds(a, b, networks)
    if blocks is None and len(seconds) < 2:
        raise ValueError(
            "nothing can be compared: the tables have no block in common, and no random network "
            f"is predicted by both; one is of {a.header.label}, the other of {b.header.label}; "
            "give two tables of blocks at one input size"
        )
    facts = {
        name: [getattr(a.header, name), getattr(b.header, name)]
        for name in FACTS
        if getattr(a.header, name) != getattr(b.header, name)
    }
    return {
        "tables": [a.header.target, b.header.target],
        "labels": [a.header.label, b.header.label],
        "differs": facts,
        "blocks": blocks,
        "networks": _networks(seconds, len(networks)),
    }


def _entries(table: Table) -> dict[Block, float]:
    """Seconds of the blocks that a table has as rows, its scale applied."""
    factor = table.header.scale["factor"]
    return {block: m.median_s * factor for block, m in getattr(table, "entries", {}).items()}


def _blocks(a: Table, b: Table) -> dict[str, Any] | None:
    import numpy as np

    from latency.table.interpolate import family_of, family_title

    ours, theirs = _entries(a), _entries(b)
    common = [block for block in ours if block in theirs]
    if not common:
        return None
    ratio = {block: theirs[block] / ours[block] for block in common}
    families: dict[str, list[float]] = {}
    for block in common:
        families.setdefault(family_title(family_of(block)), []).append(ratio[block])
    ranked = sorted(common, key=lambda block: ratio[block])
    ends = ranked if len(ranked) <= 2 * EXTREMES else ranked[:EXTREMES] + ranked[-EXTREMES:]
    return {
        "common": len(common),
        "only": [len(ours) - len(common), len(theirs) - len(common)],
        "ratio": _geometric_mean(list(ratio.values())),
        "spread": float(np.std(np.log(list(ratio.values())))),
        "families": {
            name: {"blocks": len(values), "ratio": _geometric_mean(values),
                   "least": min(values), "greatest": max(values)}
            for name, values in sorted(families.items())
        },
        "extremes": [
            {"block": str(block), "a_s": ours[block], "b_s": theirs[block], "ratio": ratio[block]}
            for block in ends
        ],
    }  # fmt: skip


def _network_seconds(a: Table, b: Table, networks: Sequence[Network]) -> list[tuple[float, float]]:
    """(A, B) seconds of each network that both can predict."""
    from space.common.errors import MissingOpError

    found = []
    for network in networks:
        try:
            found.append((a.network_s(network.blocks), b.network_s(network.blocks)))
        except MissingOpError:
            continue
    return found


def _networks(seconds: list[tuple[float, float]], asked: int) -> dict[str, Any] | None:
    import numpy as np

    from latency.table.accuracy import spearman

    if len(seconds) < 2:
        return None
    first, second = np.array(seconds).T
    ratio = second / first
    return {
        "asked": asked,
        "predicted_by_both": len(seconds),
        "ratio": _geometric_mean(ratio.tolist()),
        "spread": float(np.std(np.log(ratio))),
        "least": float(ratio.min()),
        "greatest": float(ratio.max()),
        "spearman": spearman(first, second),
    }


def _geometric_mean(values: list[float]) -> float:
    import numpy as np

    return float(np.exp(np.mean(np.log(values))))


def comparison_networks(a: Table, b: Table, count: int, seed: int) -> list[Network]:
    """`count` networks of the search space at the input size of the tables; the first one's where
    they differ."""
    import numpy as np

    from space.architectures.shufflenet_v2 import ShuffleNetV2Space

    stated = a.header if a.header.input else b.header
    space = ShuffleNetV2Space(height=stated.input_size[0], width=stated.input_size[1])
    rows = space.sample(count, np.random.default_rng(seed))
    return [space.lower(space.architecture(row)) for row in rows]


def lines_of(found: dict[str, Any]) -> list[str]:
    """The comparison for people."""
    lines = [f"{name}: {label}" for name, label in zip("AB", found["labels"], strict=True)]
    if found["differs"]:
        lines += ["", "they differ in"]
        for name, (ours, theirs) in found["differs"].items():
            lines.append(f"  {name}: {ours or '-'} | {theirs or '-'}")
    if blocks := found["blocks"]:
        only = blocks["only"]
        lines += [
            "",
            f"{blocks['common']} blocks in both (A alone {only[0]}, B alone {only[1]}): B / A "
            f"{blocks['ratio']:.3f} on average, spread {blocks['spread']:.1%}",
            f"  {'family':44} {'blocks':>6} {'B / A':>6} {'least':>6} {'most':>6}",
        ]
        for name, row in blocks["families"].items():
            lines.append(
                f"  {name:44} {row['blocks']:6} {row['ratio']:6.3f} {row['least']:6.2f} "
                f"{row['greatest']:6.2f}"
            )
        lines.append("  the most extreme")
        for row in blocks["extremes"]:
            lines.append(
                f"  {row['ratio']:6.2f}  {row['a_s'] * 1e3:8.4f} ms {row['b_s'] * 1e3:8.4f} ms  "
                f"{row['block']}"
            )
    else:
        lines += ["", "no block stands in both as a row: compared by networks alone"]
    if row := found["networks"]:
        lines += [
            "",
            f"{row['predicted_by_both']} of {row['asked']} random networks predicted by both: "
            f"B / A {row['ratio']:.3f} on average, {row['least']:.2f} to {row['greatest']:.2f}, "
            f"spread {row['spread']:.1%}; rank agreement (Spearman) {row['spearman']:.4f}",
        ]
    else:
        lines += ["", "no random network is predicted by both"]
    return lines


def draw_comparison(a: Table, b: Table, networks: Sequence[Network], out: Path) -> None:
    """Blocks of both tables against each other, and networks."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    ours, theirs = _entries(a), _entries(b)
    common = [block for block in ours if block in theirs]
    panels = [("blocks", [(ours[x], theirs[x]) for x in common], [x.kind for x in common])]
    seconds = _network_seconds(a, b, networks)
    panels.append(("random networks", seconds, ["networks"] * len(seconds)))
    panels = [panel for panel in panels if panel[1]]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5.5 * len(panels), 5), squeeze=False, layout="constrained"
    )
    for axis, (title, points, kinds) in zip(axes.flat, panels, strict=True):
        for kind in dict.fromkeys(kinds):
            x, y = zip(*(p for p, k in zip(points, kinds, strict=True) if k == kind), strict=True)
            axis.scatter([1e3 * v for v in x], [1e3 * v for v in y], s=6, label=kind, alpha=0.6)
        both = [1e3 * value for point in points for value in point]
        axis.plot([min(both), max(both)], [min(both), max(both)], color="0.3", lw=0.8)
        axis.set(xscale="log", yscale="log", title=f"{len(points)} {title}; line: equal")
        axis.set(xlabel=f"A: {a.header.target}, ms", ylabel=f"B: {b.header.target}, ms")
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_formatter("{x:g}")
            scale.set_minor_formatter("")
        if len(set(kinds)) > 1:
            axis.legend(fontsize=7)
    figure.suptitle(f"A: {a.header.label}\nB: {b.header.label}", fontsize=9)
    figure.savefig(out, dpi=110)
    plt.close(figure)
