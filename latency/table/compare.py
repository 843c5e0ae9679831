"""Compares two latency tables: their common blocks, and their predictions of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from latency.table.interpolate import by_family, family_title
from latency.table.latency_table import LatencyTable
from latency.table.load import AnyTable
from latency.table.networks import known_predictions
from space.common.progress import Report
from space.common.stats import spearman
from space.common.text import format_number
from space.network.block import Block
from space.network.network import Network

FACTS = (
    "source device engine engine_version threads batch dtype input channels classes date"
).split()
EXTREMES = 5
TOGETHER = 250  # networks between two reports


def compare_tables(
    a: AnyTable,
    b: AnyTable,
    networks: Sequence[Network],
    *,
    report: Report = lambda done, total: None,
) -> dict[str, Any]:
    """Facts that differ, and ratios B / A of common blocks and of networks that both predict.

    Args:
        report: called with (networks done, networks).

    Raises:
        ValueError: they have no common block, and no network is predicted by both.
    """
    blocks, seconds = _blocks(a, b), network_pairs(a, b, networks, report)
    if blocks is None and len(seconds) < 2:
        raise ValueError(
            "nothing can be compared: the tables have no block in common, and no random network "
            f"is predicted by both; one is of {a.header.label}, the other of {b.header.label}; "
            "give two tables of blocks at one input size"
        )
    facts = {name: [getattr(a.header, name), getattr(b.header, name)] for name in FACTS}
    return {
        "tables": [a.header.target, b.header.target],
        "labels": [a.header.label, b.header.label],
        "differs": {name: pair for name, pair in facts.items() if pair[0] != pair[1]},
        "blocks": blocks,
        "networks": _networks(seconds, len(networks)),
    }


def scaled_entries(table: AnyTable) -> dict[Block, float]:
    """Seconds of the measured blocks of a table, with its scale."""
    if not isinstance(table, LatencyTable):
        return {}
    factor = table.header.scale["factor"]
    return {block: m.median_s * factor for block, m in table.entries.items()}


def _blocks(a: AnyTable, b: AnyTable) -> dict[str, Any] | None:
    a_s, b_s = scaled_entries(a), scaled_entries(b)
    ratio = {block: b_s[block] / a_s[block] for block in a_s if block in b_s}
    if not ratio:
        return None
    ranked = sorted(ratio, key=lambda block: ratio[block])
    if len(ranked) > 2 * EXTREMES:
        ranked = ranked[:EXTREMES] + ranked[-EXTREMES:]
    titled = {family_title(f): [ratio[b] for b in some] for f, some in by_family(ratio).items()}
    return {
        "common": len(ratio),
        "only": [len(a_s) - len(ratio), len(b_s) - len(ratio)],
        "ratio": _geometric_mean(list(ratio.values())),
        "spread": float(np.std(np.log(list(ratio.values())))),
        "families": {
            name: {"blocks": len(values), "ratio": _geometric_mean(values),
                   "least": min(values), "greatest": max(values)}
            for name, values in sorted(titled.items())
        },
        "extremes": [
            {"block": str(block), "a_s": a_s[block], "b_s": b_s[block], "ratio": ratio[block]}
            for block in ranked
        ],
    }  # fmt: skip


def network_pairs(
    a: AnyTable,
    b: AnyTable,
    networks: Sequence[Network],
    report: Report = lambda done, total: None,
) -> list[tuple[float, float]]:
    """(A, B) seconds of each network that both can predict."""
    found: list[tuple[float, float]] = []
    for start in range(0, len(networks), TOGETHER):
        some = networks[start : start + TOGETHER]
        a_s, b_s = known_predictions(a, some), known_predictions(b, some)
        both = ~np.isnan(a_s + b_s)
        found += zip(a_s[both].tolist(), b_s[both].tolist(), strict=True)
        report(start + len(some), len(networks))
    return found


def _networks(seconds: list[tuple[float, float]], requested: int) -> dict[str, Any] | None:
    if len(seconds) < 2:
        return None
    first, second = np.array(seconds).T
    ratio = second / first
    return {
        "asked": requested,
        "predicted_by_both": len(seconds),
        "ratio": _geometric_mean(ratio),
        "spread": float(np.std(np.log(ratio))),
        "least": float(ratio.min()),
        "greatest": float(ratio.max()),
        "spearman": spearman(first, second),
    }


def _geometric_mean(values: ArrayLike) -> float:
    return float(np.exp(np.mean(np.log(values))))


def format_table_comparison(found: dict[str, Any]) -> str:
    """What `compare_tables` found, as lines for people."""
    lines = [f"{name}: {label}" for name, label in zip("AB", found["labels"], strict=True)]
    if found["differs"]:
        lines += ["", "they differ in"]
        lines += [
            f"  {name}: {a or '-'} | {b or '-'}" for name, (a, b) in found["differs"].items()
        ]
    if blocks := found["blocks"]:
        only = blocks["only"]
        lines += [
            "",
            f"{blocks['common']} blocks in both (A alone {only[0]}, B alone {only[1]}): B / A "
            f"{blocks['ratio']:.3f} on average, spread {blocks['spread']:.1%}",
            f"  {'family':44} {'blocks':>6} {'B / A':>6} {'least':>6} {'most':>6}",
            *(
                "  {:44} {blocks:6} {ratio:6.3f} {least:6.2f} {greatest:6.2f}".format(name, **row)
                for name, row in blocks["families"].items()
            ),
            "  the most extreme",
            *(
                f"  {row['ratio']:6.2f}  {row['a_s'] * 1e3:8.4f} ms {row['b_s'] * 1e3:8.4f} ms  "
                f"{row['block']}"
                for row in blocks["extremes"]
            ),
        ]
    else:
        lines += ["", "no block stands in both as a row: compared by networks alone"]
    lines.append("")
    if row := found["networks"]:
        lines.append(
            f"{row['predicted_by_both']} of {row['asked']} random networks predicted by both: "
            f"B / A {row['ratio']:.3f} on average, {row['least']:.2f} to {row['greatest']:.2f}, "
            f"spread {row['spread']:.1%}; rank agreement (Spearman) "
            f"{format_number(row['spearman'], '.4f')}"
        )
    else:
        lines.append("no random network is predicted by both")
    return "\n".join(lines)
