"""Which guidelines a foreign model breaks: per layer, unit and network, and by how much.

Excess is the memory access beyond what a limit allows, in elements: the access of the 1x1
convolutions beyond `limit` times its bound (G1), of the convolutions in groups beyond `limit`
times that without groups (G2), of the element-wise part beyond `limit` of all (G4). It is above
zero exactly where the limit is exceeded. G3 counts operators and moves no memory.

The sums lack ops that are unknown. Every number that does says how many it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latency.audit.graph import Shape, Source, check_input
from latency.audit.grouping import steps_of, units
from latency.audit.load import read_model
from latency.audit.lowering import Layer, lower
from latency.audit.price import Pricer, Seconds, load_prices
from space.common.errors import AuditError
from space.cost import guidelines
from space.cost.guidelines import NAMES, PAPER_LIMITS, Guidelines
from space.graph.builder import Step


@dataclass(frozen=True, slots=True)
class Numbers:
    """G1-G4, FLOPs (multiply-adds), parameters and memory access (elements) of some ops.

    `g2_all` is G2 over convolutions of every kernel; that of `values` is over 1x1 convolutions,
    as in the paper. `over`: value - limit of each exceeded limit; `excess`: elements, by name.
    """

    values: Guidelines
    g2_all: float
    over: dict[str, float]
    excess: dict[str, float]
    traffic: float
    elementwise: float
    flops: int
    params: int

    @property
    def largest_g2(self) -> float:
        return max(self.values.g2, self.g2_all)

    @property
    def total_excess(self) -> float:
        return sum(self.excess.values())


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A unit or a layer with its numbers, and seconds if the audit has a target. Neither includes
    the `unknown` ops."""

    name: str
    numbers: Numbers
    layers: tuple[int, ...]
    seconds: Seconds | None = None
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Unknown:
    """Operators of one kind that the sums lack, and the names of their layers. `behind`: the
    operator may be known, but one before it is not."""

    source: str
    missing: str
    where: tuple[str, ...]
    behind: bool = False


@dataclass(frozen=True, slots=True)
class Audit:
    """The guidelines of a model; `units` and `layers` are in the order they run.

    `rows` are the layers with a known op. `held_params`: all parameters of the model, used or not.
    `rule`: what made the units, "modules" or "graph". `target`: where the seconds come from.
    `lacks`: what the numbers lack, "" if nothing; then the verdicts on G1-G4 are not final.
    """

    model: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    units: tuple[AuditRow, ...]
    rows: tuple[AuditRow, ...]
    network: AuditRow
    unknown: tuple[Unknown, ...]
    held_params: int
    rule: str
    target: str = ""

    @property
    def lacks(self) -> str:
        seconds = self.network.seconds
        parts = []
        if self.network.unknown:
            kinds = list(dict.fromkeys(kind.source for kind in self.unknown))
            parts.append(
                f"{self.network.unknown} unknown ops ({some(kinds)}): neither the sums nor the "
                "verdicts on G1-G4 include them"
            )
        if seconds and seconds.unpriced:
            parts.append(f"{seconds.unpriced} ops without a price: the latency lacks them")
        return "; ".join(parts)


def some(names: Sequence[str], first: int = 4) -> str:
    """The first names, and how many more there are."""
    text = ", ".join(names[:first])
    return f"{text}, ... {len(names) - first} more" if len(names) > first else text


def numbers(steps: Sequence[Step], fragments: int, names: Sequence[str] = NAMES) -> Numbers:
    """The numbers of ops that G3 counts as `fragments` and that may break guidelines `names`."""
    sums = np.array(guidelines.parts(steps), dtype=float)
    pointwise, bound, _, elementwise, traffic = (float(value) for value in sums)
    g1, g2, g4 = (float(v) for v in guidelines.ratios(sums)) if traffic else (1.0, 1.0, 0.0)
    convs = [step.op for step in steps if step.op.kind == "conv"]
    access = float(sum(op.mem_access for op in convs))
    ungrouped = float(sum(guidelines.pointwise_ungrouped(op) for op in convs))
    g2_all = access / ungrouped if convs else 1.0
    found = {"g1": g1, "g2": max(g2, g2_all), "g3": fragments, "g4": g4}
    over = {name: found[name] - getattr(PAPER_LIMITS, name) for name in names}
    excess = {
        "g1": pointwise - PAPER_LIMITS.g1 * bound,
        "g2": access - PAPER_LIMITS.g2 * ungrouped,
        "g4": elementwise - PAPER_LIMITS.g4 * traffic,
    }
    return Numbers(
        Guidelines(g1, g2, fragments, g4),
        g2_all,
        {name: value for name, value in over.items() if value > 0},
        {name: max(0.0, value) if name in names else 0.0 for name, value in excess.items()},
        traffic,
        elementwise,
        sum(int(step.op.flops) for step in steps),
        sum(int(step.op.params) for step in steps),
    )


def audit_model(model: str, input_shape: Shape | None = None, target: str | None = None) -> Audit:
    """Audit a model: which of the guidelines G1-G4 (Ma et al., ECCV 2018, section 2) it breaks,
    where, by how much, and what that costs on a target.

    Args:
        model: `package.module:factory` (called without arguments), the path of a .pt2 exported
            program, or of an .onnx file.
        input_shape: (channels, height, width) of one image; None: that of the file, or 3x224x224.
        target: a shipped table of op costs ("arm", "gpu"), or the path of one; None: no seconds.

    Raises:
        ValueError: `model`, `input_shape` or `target` cannot be used; the message says why.
        AuditError: the model cannot be traced or has no known op, or the target has no op costs.

    Where `lacks` of the result is not empty, its numbers and verdicts are not those of the whole
    model.

    Example:
        >>> audit = audit_model("torch.nn:ReLU", (8, 16, 16), target="arm")
        >>> audit.network.numbers.values.g4, sorted(audit.network.numbers.over)
        (1.0, ['g4'])
        >>> audit.network.seconds.total_s > 0
        True
    """
    if input_shape is not None:
        check_input(input_shape)
    prices = load_prices(target) if target else None
    source = read_model(model, input_shape)
    layers = lower(source)
    if not any(layer.op is not None for layer in layers):
        raise AuditError(f"{model} {nothing_known(layers)}")
    return analyze(source, layers, prices, model=model)


def nothing_known(layers: Sequence[Layer]) -> str:
    """Why a model has no known op: the ops that are not, without those behind them."""
    if not layers:
        return "runs no op on its input"
    unknown = _unknown(layers)
    behind = sum(len(kind.where) for kind in unknown if kind.behind)
    first = [k.source + f" ({k.missing})" * bool(k.missing) for k in unknown if not k.behind]
    more = f"; the shapes of the {behind} ops behind are therefore open" if behind else ""
    return f"has no known op: {some(sorted(first), 6)}{more}"


def _unknown(layers: Sequence[Layer]) -> tuple[Unknown, ...]:
    """The unknown ops by kind, in the order they run. One without a shape, behind another that is
    unknown, is unknown for that reason alone."""
    found: dict[tuple[str, str, bool], list[str]] = {}
    cause: dict[int, str] = {}  # layer -> the op that the unknown ops begin with
    for index, layer in enumerate(layers):
        if layer.op is not None:
            continue
        before = next((cause[i] for i in layer.inputs if i in cause), "")
        behind = bool(layer.missing and before)
        cause[index] = before if behind else layer.source
        missing = f"no fixed shape behind {before}" if behind else layer.missing
        found.setdefault((layer.source, missing, behind), []).append(layer.name)
    return tuple(
        Unknown(source, missing, tuple(where), behind)
        for (source, missing, behind), where in found.items()
    )


def analyze(
    source: Source, layers: tuple[Layer, ...], pricer: Pricer | None = None, *, model: str = ""
) -> Audit:
    """The audit of a model whose nodes were read and lowered."""

    def row(
        name: str, which: Sequence[int], fragments: int | None = None, names: Sequence[str] = NAMES
    ) -> AuditRow:
        steps = steps_of(layers, which)
        count = guidelines.fragments(steps) if fragments is None else fragments
        seconds = pricer.price([step.op for step in steps]) if pricer else None
        lacking = sum(layers[index].op is None for index in which)
        return AuditRow(name, numbers(steps, count, names), tuple(which), seconds, lacking)

    parts, rule = units(layers)
    unit_rows: list[AuditRow] = []
    layer_rows: list[AuditRow] = []
    for part in parts:
        known = [index for index in part.layers if layers[index].op is not None]
        if not known:
            continue
        unit = row(part.name, part.layers, part.fragments)
        unit_rows.append(unit)
        # A layer breaks G4 only in a unit that breaks G4.
        names = NAMES if "g4" in unit.numbers.over else NAMES[:-1]
        layer_rows += [row(layers[index].name, (index,), names=names) for index in known]
    most = max((int(unit.numbers.values.g3) for unit in unit_rows), default=0)
    return Audit(
        model,
        source.input_shape,
        layers,
        tuple(unit_rows),
        tuple(sorted(layer_rows, key=lambda row: row.layers)),
        row("network", range(len(layers)), most),
        _unknown(layers),
        source.held_params,
        rule,
        pricer.label if pricer else "",
    )
