"""A latency table's header, families and errors as text for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from latency.table.header import TableHeader
from latency.table.interpolate import by_family, family_title
from latency.table.latency_table import LatencyTable
from latency.table.load import AnyTable
from space.common.text import format_number

NOISE_WARNING = 0.10  # spread of the samples
SHARE_WARNING = 0.95  # of the time that the measurement had a processor


def format_table(table: AnyTable) -> str:
    """The header, one fact a line, and the families of measured blocks with their latencies."""
    lines = [table.header.label, ""]
    for name, value in json.loads(table.header.to_json()).items():
        if value not in ("", {}, []) and name != "csv_sha256":
            lines.extend(_lines(name, value))
    if isinstance(table, LatencyTable):
        lines.append("")
        unit, scale, digits = ("us", 1e6, 1) if table.gpu else ("ms", 1e3, 3)
        families = by_family(table.entries).items()
        for family, blocks in sorted(families, key=lambda item: str(item[0])):
            values = [table.entries[block].median_s * scale for block in blocks]
            lines.append(
                f"{family_title(family):44} {len(values):5} blocks, {min(values):8.{digits}f} to "
                f"{max(values):8.{digits}f} {unit}"
            )
    return "\n".join(lines) + "\n"


def _lines(name: str, value: Any, depth: int = 0) -> list[str]:
    pad = "  " * depth
    if isinstance(value, dict):
        nested = [line for key, item in value.items() for line in _lines(key, item, depth + 1)]
        return [f"{pad}{name}", *nested]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [f"{pad}{name}: {len(value)} rows (--format json shows them)"]
    return [f"{pad}{name}: {value}"]


def format_error(error: Mapping[str, Any], digits: int) -> str:
    """An `error_summary` as a line; mean, largest error and bias with `digits` decimals."""
    form = f".{digits}%"
    return (
        f"mean error {error['mean_abs_error']:{form}}, largest {error['max_abs_error']:{form}}, "
        f"bias {error['bias']:+{form}}, within 5 % {error['within_5pct']:.1%}, within 3 % "
        f"{error['within_3pct']:.1%}, Spearman {format_number(error['spearman'], '.4f')}"
    )


def format_build_errors(header: TableHeader) -> str:
    """The noise and errors of a table that `latency.build` made."""
    noise, errors = header.noise, header.network_error
    lines = [
        header.label,
        f"{header.grid}; {noise['samples']} samples each, spread (IQR / median) "
        f"{noise['spread']:.1%}, stopped by {noise['stopped_by']} after {noise['seconds']} s",
        f"scale {header.scale['factor']:.4f}: {header.scale['how']}",
    ]
    titles = {"held_out": "unmeasured networks", "on_grid": "networks of measured blocks"}
    for name, title in titles.items():
        for kind, error in errors[name].items():
            lines.append(f"{error['networks']} {title}, {kind}: {format_error(error, digits=2)}")
    if left := errors["left_out_blocks"]:
        lines.append(
            f"{left['blocks']} blocks predicted from the others: mean error "
            f"{left['mean_abs_error']:.1%}, median {left['median_abs_error']:.1%}, 95 % of them "
            f"within {left['abs_error_95pct']:.1%}"
        )
        multiples = {f"width a multiple of {n}": row for n, row in left["alignments"].items()}
        lines += [
            f"  {name}: {row['blocks']} blocks, mean error {row['mean_abs_error']:.1%}, median "
            f"{row['median_abs_error']:.1%}"
            for name, row in {**left["kinds"], **multiples}.items()
        ]
    if noise["spread"] > NOISE_WARNING:
        lines.append(
            f"warning: samples spread by {noise['spread']:.0%}: the machine was not quiet; "
            "close other programs and build again"
        )
    if noise["processor_share"] < SHARE_WARNING:
        lines.append(
            f"warning: the measurement had {noise['processor_share']:.0%} of its CPU time: other "
            "programs ran there; close them or pin this one, and build again"
        )
    if noise["too_noisy"]:
        lines.append(f"warning: {len(noise['too_noisy'])} blocks were too noisy and left out")
    return "\n".join(lines)
