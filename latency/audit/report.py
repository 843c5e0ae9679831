"""An audit as JSON and as tables for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple
from typing import Any

from latency.audit.analysis import Audit, AuditRow, Unknown, some
from latency.audit.graph import format_shape
from latency.audit.lowering import Layer
from space.common.text import format_number, plain_text, print_rich, rich_table
from space.cost.guidelines import NAMES, PAPER_LIMITS
from space.graph.op import Op

MEANINGS = {
    "g1": "1x1 convolutions: memory access over its bound",
    "g2": "convolutions in groups: memory access over that without",
    "g3": "operators in the most fragmented unit",
    "g4": "element-wise share of the memory access",
}
FILE_WIDTH = 150  # of a table where stdout is not a terminal


def _order(rows: Iterable[AuditRow]) -> list[AuditRow]:
    """Those that break a guideline, the most excess first; without excess, the most fragments."""
    broken = (row for row in rows if row.numbers.over)
    return sorted(broken, key=lambda r: (-r.numbers.total_excess, -r.numbers.values.g3))


def audit_record(audit: Audit) -> dict[str, Any]:
    """The audit, ready for JSON; units and layers in the order they run."""
    network = audit.network.numbers
    return {
        "model": audit.model,
        "input": list(audit.input_shape),
        "target": audit.target or None,
        "flops": network.flops,
        "params": network.params,
        "held_params": audit.held_params,
        "mem_access": network.traffic,
        "limits": asdict(PAPER_LIMITS),
        "network": _row(audit.network, audit),
        "complete": not audit.lacks,
        "unknown_ops": audit.network.unknown,
        "verdicts": {name: _verdict(audit, name) for name in NAMES},
        "units_by": audit.rule,
        "units": [{**_row(row, audit), "layers": list(row.layers)} for row in audit.units],
        "layers": [_layer(row, audit) for row in audit.rows],
        "unknown": [
            {"op": u.source, "why": _why(u), "count": len(u.where), "where": list(u.where)}
            for u in audit.unknown
        ],
    }


def _row(row: AuditRow, audit: Audit) -> dict[str, Any]:
    n = row.numbers
    traffic = audit.network.numbers.traffic
    return {
        "name": row.name,
        **asdict(n.values),
        "g2_all_kernels": n.g2_all,
        "over": n.over,
        "excess": n.excess,
        "excess_share": n.total_excess / traffic if traffic else 0.0,
        "mem_access": n.traffic,
        "elementwise": n.elementwise,
        "flops": n.flops,
        "params": n.params,
        "latency_s": row.seconds.total_s if row.seconds else None,
        "cost_s": row.seconds.cost_s if row.seconds else None,
        "unpriced_ops": row.seconds.unpriced if row.seconds else None,
        "unknown_ops": row.unknown,
    }


def _layer(row: AuditRow, audit: Audit) -> dict[str, Any]:
    layer, op = _layer_and_op(row, audit)
    return {
        "index": row.layers[0],
        **_row(row, audit),
        "op": str(op),
        **{name: getattr(op, name) for name in ("kind", "c_in", "c_out", "groups")},
        "act": layer.act,
        "source": layer.source,
        "inputs": list(layer.inputs),
    }


def _layer_and_op(row: AuditRow, audit: Audit) -> tuple[Layer, Op]:
    layer = audit.layers[row.layers[0]]
    assert layer.op is not None
    return layer, layer.op


def _why(unknown: Unknown) -> str:
    return unknown.missing or "not known"


def print_audit(audit: Audit, top: int) -> None:
    """Print the tables to stdout, with at most `top` units and layers."""
    width = None if sys.stdout.isatty() else FILE_WIDTH
    print_rich(*_parts(audit, top), width=width)


def _parts(audit: Audit, top: int) -> list[Any]:
    parts: list[Any] = [plain_text(_intro(audit)), ""]

    def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add a table; a heading after "<" is that of a left-aligned column."""
        names = [head.removeprefix("<") for head in heads]
        left = [index for index, head in enumerate(heads) if head.startswith("<")]
        style: dict[str, Any] = {"title_justify": "left", "title_style": "bold", "box": None}
        options = {"right_from": 0, "left": left, "fold": True, **style}
        parts.extend([rich_table(names, rows, title=title, **options), ""])

    table("Guidelines of the network", *_summary(audit))
    prices = ["ms", "costs ms"] if audit.network.seconds is not None else []
    heads = ["<unit", "<breaks", "G1", "G2", "G3", "G4", "excess", "of all", *prices]
    units = _order(audit.units)
    title = f"Units that break a guideline: {_count(units, top)} of {len(audit.units)} units"
    if lacking := sum(row.unknown > 0 for row in audit.units):
        title += f", {lacking} of which lack unknown ops"
    table(title, heads, [[plain_text(row.name), *_unit_cells(row, audit)] for row in units[:top]])
    heads = ["<layer", "<op", "<breaks", "widths", "G1", "groups", "G2", "excess", "of all"]
    layers = _order(audit.rows)
    title = f"Layers that break a guideline: {_count(layers, top)} of {len(audit.rows)} layers"
    cells = [[plain_text(row.name), *_layer_cells(row, audit)] for row in layers[:top]]
    table(title, [*heads, *prices], cells)
    if audit.unknown:
        heads = ["<op", "count", "<why", "<where"]
        rows = [
            [u.source, str(len(u.where)), _why(u), plain_text(some(u.where))]
            for u in audit.unknown
        ]
        table("Unknown ops: the sums and the verdicts lack them", heads, rows)
    if audit.network.seconds is not None:
        parts.append(plain_text(_latency(audit)))
    return parts


def _intro(audit: Audit) -> str:
    network = audit.network.numbers
    lacking = f" without the unknown ops below ({audit.network.unknown})" if audit.unknown else ""
    rest = audit.held_params - network.params
    held = f" ({rest:,} more in what did not run or is unknown)" if rest > 0 else ""
    return (
        f"{audit.model}, input {format_shape(audit.input_shape)}: {network.flops:,} FLOPs "
        f"(multiply-adds), {network.params:,} parameters{held}, {network.traffic:,.0f} elements "
        f"of memory access{lacking}"
    )


def _summary(audit: Audit) -> tuple[list[str], list[list[str]]]:
    network = audit.network.numbers
    heads = ["", "<what", "value", "limit", "<verdict", "excess", "of all", "units", "layers"]
    if audit.network.seconds:
        heads.append("costs ms")
    rows = []
    for name in NAMES:
        value = network.largest_g2 if name == "g2" else getattr(network.values, name)
        row = [
            name.upper(),
            MEANINGS[name],
            f"{value:g}" if name == "g3" else f"{value:.3f}",
            f"{getattr(PAPER_LIMITS, name):g}",
            _verdict(audit, name),
            *_excess(network.excess.get(name), audit),
            str(sum(name in row.numbers.over for row in audit.units)),
            str(sum(name in row.numbers.over for row in audit.rows)),
        ]
        if audit.network.seconds:
            cost = audit.network.seconds.cost_s.get(name)
            row.append(format_number(cost and cost * 1e3, ".3f"))
        rows.append(row)
    return heads, rows


def _verdict(audit: Audit, name: str) -> str:
    """Whether a guideline is kept; it says so if unknown ops are not in the number."""
    over, unknown = audit.network.numbers.over.get(name), audit.network.unknown
    verdict = "kept" if over is None else f"exceeded by {over:.3g}"
    return f"{verdict}, without {unknown} unknown ops" if unknown else verdict


def _unit_cells(row: AuditRow, audit: Audit) -> list[str]:
    g1, _, g3, g4 = astuple(row.numbers.values)
    cells = [f"{g1:.3f}", f"{row.numbers.largest_g2:.3f}", str(g3), f"{g4:.3f}"]
    return [_breaks(row), *cells, *_excess(row.numbers.total_excess, audit), *_seconds(row)]


def _layer_cells(row: AuditRow, audit: Audit) -> list[str]:
    n, (layer, op) = row.numbers, _layer_and_op(row, audit)
    square = f"{op.kernel}x{getattr(op, 'kernel_width', op.kernel)} "
    kind = "activation" if op.kind == "relu" else op.kind
    words = f"{kind}@{op.height}x{op.width} {layer.act}".rstrip()
    return [
        f"{square if op.kind in ('conv', 'dwconv') else ''}{words}",
        _breaks(row),
        f"{op.c_in}:{op.c_out}",
        f"{n.values.g1:.3f}" if op.is_pointwise else "-",
        str(op.groups) if op.kind == "conv" else "-",
        f"{n.g2_all:.3f}" if op.kind == "conv" else "-",
        *_excess(n.total_excess, audit),
        *_seconds(row),
    ]


def _breaks(row: AuditRow) -> str:
    """As G1 +0.12 G4 +0.05: the broken guidelines, and value - limit of each."""
    over = row.numbers.over
    words = [f"{n.upper()} +{v:.{0 if n == 'g3' else 2}f}" for n, v in over.items()]
    return " ".join(words + [f"(without {row.unknown} unknown)"] * bool(row.unknown))


def _excess(value: float | None, audit: Audit) -> list[str]:
    if not value:
        return ["-", "-"]
    return [f"{value:,.0f}", f"{value / audit.network.numbers.traffic:.1%}"]


def _seconds(row: AuditRow) -> list[str]:
    """The milliseconds of a row, and those that the guidelines it breaks cost."""
    if row.seconds is None:
        return []
    broken = [n for n in row.numbers.over if n in row.seconds.cost_s]
    cost = sum(row.seconds.cost_s[name] for name in broken)
    total = "?" if row.seconds.unpriced else f"{row.seconds.total_s * 1e3:.3f}"
    return [total, f"{cost * 1e3:.3f}" if broken and not row.seconds.unpriced else "-"]


def _latency(audit: Audit) -> str:
    seconds = audit.network.seconds
    assert seconds is not None
    unknown = audit.network.unknown
    lacks = [f"unknown ops ({unknown})"] * bool(unknown)
    lacks += [f"ops without a price ({seconds.unpriced})"] * bool(seconds.unpriced)
    without = f", without {' and '.join(lacks)}" if lacks else ""
    return f"Latency: {seconds.total_s * 1e3:.2f} ms{without} ({audit.target})"


def _count(rows: Sequence[AuditRow], top: int) -> str:
    return f"first {top} of {len(rows)}, out" if len(rows) > top else str(len(rows))
