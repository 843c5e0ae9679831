"""What a latency table says of itself, as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latency.table.header import TableHeader
    from latency.table.latency_table import LatencyTable

NOISE_WARNING = 0.10
SHARE_WARNING = 0.95


def header_lines(header: TableHeader) -> list[str]:
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


def error_lines(header: TableHeader) -> list[str]:
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
        for group, title in (("kinds", ""), ("alignments", "width a multiple of ")):
            for name, row in left.get(group, {}).items():
                lines.append(
                    f"  {title}{name}: {row['blocks']} blocks, mean error "
                    f"{row['mean_abs_error']:.1%}, median {row['median_abs_error']:.1%}"
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
    from latency.table.family_fit import Family
    from latency.table.interpolate import family_of, family_title

    families: dict[Family, list[float]] = {}
    for block, measured in table.entries.items():
        families.setdefault(family_of(block), []).append(measured.median_s)
    return [
        f"{family_title(family):44} {len(values):5} blocks, {min(values) * 1e3:8.3f} to "
        f"{max(values) * 1e3:8.3f} ms"
        for family, values in sorted(families.items(), key=lambda item: str(item[0]))
    ]
