"""An audit as JSON and as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from latency.audit.analysis import Audit, AuditRow
from latency.audit.graph import need, show_shape
from latency.audit.lowering import Layer
from space.cost.guidelines import NAMES

SAYS = {
    "g1": "1x1 convolutions: memory access over its bound",
    "g2": "convolutions in groups: memory access over that without",
    "g3": "operators in the most fragmented unit",
    "g4": "element-wise share of the memory access",
}
WIDTH = 150  # of tables that go into a file


def _order(rows: Iterable[AuditRow]) -> list[AuditRow]:
    """Those that break a guideline, the most excess first; without excess, the most fragments."""
    broken = (row for row in rows if row.numbers.over)
    return sorted(broken, key=lambda r: (-r.numbers.total_excess, -r.numbers.values.g3))


def audit_record(audit: Audit, model: str) -> dict[str, Any]:
    """Everything; units and layers in the order they run."""
    whole = audit.network.numbers
    return {
        "model": model,
        "input": list(audit.input_shape),
        "target": audit.target or None,
        "flops": whole.flops,
        "params": whole.params,
        "held_params": audit.held_params,
        "mem_access": whole.traffic,
        "limits": {name: getattr(audit.limits, name) for name in NAMES},
        "network": _row(audit.network, audit),
        "units_by": audit.rule,
        "units": [{**_row(row, audit), "layers": list(row.layers)} for row in audit.units],
        "layers": [_layer(row, audit) for row in audit.rows],
        "unknown": [
            {
                "op": u.source,
                "why": u.missing or "not known",
                "count": len(u.where),
                "where": list(u.where),
            }
            for u in audit.unknown
        ],
    }


def _row(row: AuditRow, audit: Audit) -> dict[str, Any]:
    n = row.numbers
    whole = audit.network.numbers.traffic
    return {
        "name": row.name,
        **{name: getattr(n.values, name) for name in NAMES},
        "g2_all_kernels": n.g2_all,
        "over": n.over,
        "excess": n.excess,
        "excess_share": n.total_excess / whole if whole else 0.0,
        "mem_access": n.traffic,
        "elementwise": n.elementwise,
        "flops": n.flops,
        "params": n.params,
        "latency_s": row.seconds.total_s if row.seconds else None,
        "cost_s": row.seconds.cost_s if row.seconds else None,
        "unpriced_ops": row.seconds.unpriced if row.seconds else None,
    }


def _layer(row: AuditRow, audit: Audit) -> dict[str, Any]:
    layer = audit.layers[row.layers[0]]
    op = layer.op
    assert op is not None
    return {
        "index": row.layers[0],
        **_row(row, audit),
        "op": str(op),
        "kind": op.kind,
        "c_in": op.c_in,
        "c_out": op.c_out,
        "groups": op.groups,
        "act": layer.act,
        "source": layer.source,
        "inputs": list(layer.inputs),
    }


def show(audit: Audit, model: str, top: int) -> None:
    """Print the tables to stdout."""
    console_class, table_class = need("rich.console").Console, need("rich.table").Table
    console = console_class()
    if not console.is_terminal:
        console = console_class(width=WIDTH)

    def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        made = table_class(title=title, title_justify="left", title_style="bold", box=None)
        for head in heads:
            name, left = head.lstrip("<"), head.startswith("<")
            made.add_column(name, justify="left" if left else "right", overflow="fold")
        for row in rows:
            made.add_row(*row)
        console.print(made)
        console.print()

    escape = need("rich.markup").escape
    whole, priced = audit.network.numbers, audit.network.seconds is not None
    lacking = " without the unknown ops below" if audit.unknown else ""
    rest = audit.held_params - whole.params
    held = f" ({rest:,} more in what did not run or is unknown)" if rest > 0 else ""
    console.print(
        f"{escape(model)}, input {show_shape(audit.input_shape)}: {whole.flops:,} FLOPs "
        f"(multiply-adds), {whole.params:,} parameters{held}, {whole.traffic:,.0f} elements of "
        f"memory access{lacking}\n",
        highlight=False,
    )
    table("Guidelines of the network", *_summary(audit))
    units, layers = _order(audit.units), _order(audit.rows)
    seconds = ["ms"] if priced else []
    cost = ["costs ms"] if priced else []
    heads = ["<unit", "<breaks", "G1", "G2", "G3", "G4", "excess", "of all", *seconds, *cost]
    title = f"Units that break a guideline: {_first(units, top)} of {len(audit.units)} units"
    table(title, heads, [[escape(row.name), *_unit_cells(row, audit)] for row in units[:top]])
    heads = ["<layer", "<op", "<breaks", "widths", "G1", "groups", "G2", "excess", "of all"]
    title = f"Layers that break a guideline: {_first(layers, top)} of {len(audit.rows)} layers"
    cells = [[escape(row.name), *_layer_cells(row, audit)] for row in layers[:top]]
    table(title, [*heads, *seconds, *cost], cells)
    if audit.unknown:
        rows = [
            [u.source, str(len(u.where)), u.missing or "not known", escape(_some(u.where))]
            for u in audit.unknown
        ]
        table("Unknown ops: the sums lack them", ["<op", "count", "<why", "<where"], rows)
    if audit.network.seconds is not None:
        console.print(_latency(audit), highlight=False, markup=False)


def _summary(audit: Audit) -> tuple[list[str], list[list[str]]]:
    whole = audit.network.numbers
    heads = ["", "<what", "value", "limit", "<verdict", "excess", "of all", "units", "layers"]
    if audit.network.seconds:
        heads.append("costs ms")
    rows = []
    for name in NAMES:
        value = max(whole.values.g2, whole.g2_all) if name == "g2" else getattr(whole.values, name)
        over = whole.over.get(name)
        row = [
            name.upper(),
            SAYS[name],
            f"{value:g}" if name == "g3" else f"{value:.3f}",
            f"{getattr(audit.limits, name):g}",
            "kept" if over is None else f"exceeded by {over:.3g}",
            *_excess(whole.excess.get(name), whole.traffic),
            str(sum(name in row.numbers.over for row in audit.units)),
            str(sum(name in row.numbers.over for row in audit.rows)),
        ]
        if audit.network.seconds:
            cost = audit.network.seconds.cost_s.get(name)
            row.append("-" if cost is None else f"{cost * 1e3:.3f}")
        rows.append(row)
    return heads, rows


def _unit_cells(row: AuditRow, audit: Audit) -> list[str]:
    n = row.numbers
    values = [n.values.g1, max(n.values.g2, n.g2_all), n.values.g3, n.values.g4]
    cells = [_breaks(row), *(_value(v) for v in values)]
    cells += _excess(n.total_excess, audit.network.numbers.traffic)
    return [*cells, *_seconds(row)]


def _layer_cells(row: AuditRow, audit: Audit) -> list[str]:
    n, layer = row.numbers, audit.layers[row.layers[0]]
    op = layer.op
    assert op is not None
    kernel = getattr(op, "kernel_width", op.kernel)
    cells = [
        _text(layer, f"{op.kernel}x{kernel} " if op.kind in ("conv", "dwconv") else ""),
        _breaks(row),
        f"{op.c_in}:{op.c_out}",
        f"{n.values.g1:.3f}" if op.is_pointwise else "-",
        str(op.groups) if op.kind == "conv" else "-",
        f"{n.g2_all:.3f}" if op.kind == "conv" else "-",
        *_excess(n.total_excess, audit.network.numbers.traffic),
    ]
    return [*cells, *_seconds(row)]


def _text(layer: Layer, before: str) -> str:
    op = layer.op
    assert op is not None
    kind = "activation" if op.kind == "relu" else op.kind
    size = f"@{op.height}x{op.width}"
    return f"{before}{kind}{size}" + (f" {layer.act}" if layer.act else "")


def _breaks(row: AuditRow) -> str:
    """G1 +0.12 G4 +0.05: the guidelines and by how much their limit is exceeded."""
    over = row.numbers.over
    return " ".join(
        f"{name.upper()} +{value:.0f}" if name == "g3" else f"{name.upper()} +{value:.2f}"
        for name, value in over.items()
    )


def _value(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _excess(value: float | None, whole: float) -> list[str]:
    return ["-", "-"] if not value else [f"{value:,.0f}", f"{value / whole:.1%}"]


def _seconds(row: AuditRow) -> list[str]:
    """The row's milliseconds, and what the guidelines it breaks cost."""
    if row.seconds is None:
        return []
    broken = [n for n in row.numbers.over if n in row.seconds.cost_s]
    cost = sum(row.seconds.cost_s[name] for name in broken)
    whole = "?" if row.seconds.unpriced else f"{row.seconds.total_s * 1e3:.3f}"
    return [whole, f"{cost * 1e3:.3f}" if broken and not row.seconds.unpriced else "-"]


def _latency(audit: Audit) -> str:
    seconds = audit.network.seconds
    assert seconds is not None
    unknown = sum(len(u.where) for u in audit.unknown)
    lacks = [f"unknown ops ({unknown})"] * bool(unknown)
    lacks += [f"ops without a price ({seconds.unpriced})"] * bool(seconds.unpriced)
    said = f", without {' and '.join(lacks)}" if lacks else ""
    return f"Latency: {seconds.total_s * 1e3:.2f} ms{said} ({audit.target})"


def _first(rows: Sequence[AuditRow], top: int) -> str:
    return f"first {top} of {len(rows)}, out" if len(rows) > top else str(len(rows))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown}, ... {len(names) - 4} more" if len(names) > 4 else shown
