"""python -m latency.show: what a latency table says, and a picture of latency against width."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latency.header import Header
    from latency.table import LatencyTable

PANELS = 4  # a row of the picture
NOISE_WARNING = 0.10
SHARE_WARNING = 0.95


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m latency.show",
        description="Print a latency table's header; draw its latency against width.",
    )
    p.add_argument("table", help="a name (arm, gpu, cpu, ...) or a path")
    p.add_argument("--out", type=Path, help="write the picture of a measured table here (.png)")
    p.add_argument("--format", choices=("table", "json"), default="table")
    return p


def header_lines(header: Header) -> list[str]:
    """The header for people, one fact a line."""
    lines = [header.label, ""]
    for name, value in json.loads(header.to_json()).items():
        if value in ("", {}, []) or name == "csv_sha256":
            continue
        lines.extend(_lines(name, value))
    return lines


def _lines(name: str, value: Any, depth: int = 0) -> list[str]:
    pad = "  " * depth
    if isinstance(value, dict):
        nested = [line for key, item in value.items() for line in _lines(key, item, depth + 1)]
        return [f"{pad}{name}", *nested]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [f"{pad}{name}: {len(value)} rows (--format json shows them)"]
    return [f"{pad}{name}: {value}"]


def error_lines(header: Header) -> list[str]:
    """What a table built by `latency.build` says about its noise and error, for people."""
    noise = header.noise
    lines = [
        f"{header.label}",
        f"{header.grid}; {noise['samples']} samples each, spread (IQR / median) "
        f"{noise['spread']:.1%}, stopped by {noise['stopped_by']} after {noise['seconds']} s",
        f"scale {header.scale['factor']:.4f}: {header.scale['how']}",
    ]
    titles = {"held_out": "networks not measured before", "on_grid": "their blocks all measured"}
    for name, title in titles.items():
        for kind in ("unscaled", "scaled"):
            e = header.network_error[name][kind]
            lines.append(
                f"{e['networks']} {title}, {kind}: mean error {e['mean_abs_error']:.2%}, "
                f"largest {e['max_abs_error']:.2%}, bias {e['bias']:+.2%}, "
                f"within 5 % {e['within_5pct']:.1%}, within 3 % {e['within_3pct']:.1%}, "
                f"Spearman {e['spearman']:.4f}"
            )
    if left := header.network_error["left_out_blocks"]:
        lines.append(
            f"{left['blocks']} blocks told from the others: mean error "
            f"{left['mean_abs_error']:.1%}, median {left['median_abs_error']:.1%}, 95 % of them "
            f"within {left['abs_error_95pct']:.1%}"
        )
    if noise["spread"] > NOISE_WARNING:
        lines.append(
            f"warning: samples spread by {noise['spread']:.0%}: the machine was not quiet; "
            "close other programs and build again"
        )
    if noise["processor_share"] < SHARE_WARNING:
        lines.append(
            f"warning: the measurement had a processor for {noise['processor_share']:.0%} of its "
            "time: other programs ran there; close them or pin this one, and build again"
        )
    if noise["too_noisy"]:
        lines.append(f"warning: {len(noise['too_noisy'])} blocks were too noisy and left out")
    return lines


def family_lines(table: LatencyTable) -> list[str]:
    """The families of blocks a table holds, with their range of latencies."""
    from latency.interpolate import Family, family_of

    families: dict[Family, list[float]] = {}
    for block, measured in table.entries.items():
        families.setdefault(family_of(block), []).append(measured.median_s)
    return [
        f"{_title(family):44} {len(values):5} blocks, {min(values) * 1e3:8.3f} to "
        f"{max(values) * 1e3:8.3f} ms"
        for family, values in sorted(families.items(), key=lambda item: str(item[0]))
    ]


def _title(family: Any) -> str:
    kind, height, width, rest = family
    return " ".join([f"{kind}@{height}x{width}", *(f"{name}={value}" for name, value in rest)])


def draw(table: LatencyTable, out: Path) -> None:
    """A panel for each family: measured blocks, and the table's own curves between them.

    One curve for each alignment of the branch (of the width, where there is no branch): the gap
    between curves is the cliff. Where blocks have a branch, it is half the width.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from latency.interpolate import family_of

    families: dict[Any, list[Any]] = {}
    for block in table.entries:
        families.setdefault(family_of(block), []).append(block)
    shown = sorted((f for f in families if len(families[f]) > 1), key=str)
    if not shown:
        raise ValueError("the table has no two blocks of one family: nothing to draw")
    rows = -(-len(shown) // PANELS)
    figure, axes = plt.subplots(
        rows, PANELS, figsize=(4.2 * PANELS, 3.1 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    for axis, family in zip(axes.flat, shown, strict=False):
        _panel(axis, table, family, families[family])
    figure.suptitle(table.header.label)
    figure.savefig(out, dpi=110)
    plt.close(figure)


def _panel(axis: Any, table: LatencyTable, family: Any, blocks: list[Any]) -> None:
    import numpy as np

    from latency.interpolate import ALIGNMENTS, alignment, widths_of
    from space.block import BlockBatch
    from space.errors import MissingOpError

    factor = table.header.scale["factor"]
    x = [block["c_out"] for block in blocks]
    y = [table.entries[block].median_s * factor * 1e3 for block in blocks]
    known = dict(blocks[0].fields)
    color = [b["branch"] / b["c_out"] if "branch" in known else 0.5 for b in blocks]
    axis.scatter(x, y, c=color, s=7, cmap="viridis", vmin=0.25, vmax=0.75)
    axis.set_title(_title(family), fontsize=8)
    axis.set_xlabel("output channels", fontsize=7)
    axis.set_ylabel("ms", fontsize=7)
    axis.tick_params(labelsize=7)
    widths = np.arange(-(-min(x) // 4) * 4, max(x) + 1, 4)
    fields: dict[str, Any] = dict(family[3]) | {"c_out": widths}
    if "branch" in known:
        fields["branch"] = widths // 2
    if "c_in" in known:
        sames = all(block["c_in"] == block["c_out"] for block in blocks)
        middle = sorted(block["c_in"] for block in blocks)[len(blocks) // 2]
        fields["c_in"] = widths if sames else np.full(len(widths), middle)
        if not sames:
            axis.set_title(f"{_title(family)} (curve: c_in={middle})", fontsize=8)
    try:
        batch = BlockBatch(family[0], family[1], family[2], fields)
        curve = table.predict(batch)
    except MissingOpError:
        return
    classes = alignment(widths_of(batch))
    for name, (label, line) in enumerate(zip(ALIGNMENTS, ("-", "--", ":"), strict=True)):
        rows = classes == name
        if rows.any():
            axis.plot(widths[rows], curve[rows] * 1e3, line, color="tab:red", label=label)
    axis.legend(fontsize=6, title="multiple of", title_fontsize=6)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 no answer, 2 wrong usage."""
    args = parser().parse_args(arguments)
    from latency.table import LatencyTable, load_table

    try:
        table = load_table(args.table)
        if args.out and not isinstance(table, LatencyTable):
            raise ValueError(f"{args.table} is a cost model of ops: it has no blocks to draw")
        if args.format == "json":
            print(table.header.to_json(), end="")
        else:
            print("\n".join(header_lines(table.header)))
            if isinstance(table, LatencyTable):
                print("\n" + "\n".join(family_lines(table)))
        if args.out and isinstance(table, LatencyTable):
            draw(table, args.out)
            print(f"written: {args.out}", file=sys.stderr)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
