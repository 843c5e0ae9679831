"""How the ops of a block join: steps, the builder that collects them, the registry of units."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from space.graph.op import Count, Op


@dataclass(frozen=True, slots=True)
class Step:
    """An op and the values it reads: 0 is the block's input, i the output of step i - 1."""

    op: Op
    inputs: tuple[int, ...]


class GraphBuilder:
    """Collects the steps of one block while its unit is lowered.

    Methods take and return numbers of values (see `Step`). The builder tracks channels and sizes.
    """

    def __init__(self, c_in: Count, height: Count, width: Count) -> None:
        self.steps: list[Step] = []
        self._shapes: list[tuple[Count, Count, Count]] = [(c_in, height, width)]

    def channels(self, value: int) -> Count:
        return self._shapes[value][0]

    def op(self, kind: str, inputs: tuple[int, ...], c_out: Count, **fields: Any) -> int:
        """Add an op of any kind; `fields` are those of `Op` beyond channels and sizes."""
        c_in, height, width = self._shapes[inputs[0]]
        if kind == "concat":
            c_in = c_out
        op = Op(kind=kind, c_in=c_in, c_out=c_out, height=height, width=width, **fields)
        self.steps.append(Step(op, inputs))
        self._shapes.append((c_out, op.out_height, op.out_width))
        return len(self.steps)

    def conv(
        self,
        x: int,
        c_out: Count,
        *,
        kernel: Count = 1,
        stride: Count = 1,
        groups: Count = 1,
        act: str = "",
        valid: int = 0,
    ) -> int:
        """A convolution. Its groups are the largest divisor of `groups` that divides both widths,
        so that every width of a space is valid."""
        if not (isinstance(groups, int) and groups == 1):
            common = np.gcd(np.gcd(groups, self.channels(x)), c_out)
            groups = int(common) if np.ndim(common) == 0 else common
        fields = {"kernel": kernel, "stride": stride, "groups": groups, "act": act, "valid": valid}
        return self.op("conv", (x,), c_out, **fields)

    def dwconv(
        self, x: int, *, kernel: Count, stride: Count = 1, act: str = "", norm: str = "batch"
    ) -> int:
        fields = {"kernel": kernel, "stride": stride, "act": act, "norm": norm}
        return self.op("dwconv", (x,), self.channels(x), **fields)

    def linear(self, x: int, c_out: Count, *, act: str = "") -> int:
        return self.op("linear", (x,), c_out, act=act)

    def pool(
        self, x: int, kind: str, *, kernel: Count = 1, stride: Count = 1, valid: int = 0
    ) -> int:
        return self.op(kind, (x,), self.channels(x), kernel=kernel, stride=stride, valid=valid)

    def slice(self, x: int, start: Count, c_out: Count) -> int:
        return self.op("slice", (x,), c_out, start=start)

    def shuffle(self, x: int, groups: Count) -> int:
        return self.op("shuffle", (x,), self.channels(x), groups=groups)

    def concat(self, values: tuple[int, ...], *, shuffle: int = 1) -> int:
        total: Count = sum(self.channels(value) for value in values)
        return self.op("concat", values, total, groups=shuffle)

    def add(self, a: int, b: int) -> int:
        if any(np.any(m != n) for m, n in zip(self._shapes[a], self._shapes[b], strict=True)):
            raise ValueError(f"add takes equal shapes; got {self._shapes[a]}, {self._shapes[b]}")
        return self.op("add", (a, b), self.channels(a))

    def relu(self, x: int) -> int:
        return self.op("relu", (x,), self.channels(x))


Lowering: TypeAlias = Callable[..., None]
_UNITS: dict[str, tuple[Lowering, dict[str, Any]]] = {}  # with the defaults of its fields


def unit(name: str) -> Callable[[Lowering], Lowering]:
    """Register `lower(graph, *, c_in, ...)` as the one lowering of blocks of kind `name`."""

    def register(lower: Lowering) -> Lowering:
        if name in _UNITS:
            raise ValueError(f"block kind {name!r} is registered already")
        parameters = list(inspect.signature(lower).parameters.values())[1:]
        _UNITS[name] = lower, {p.name: p.default for p in parameters}
        return lower

    return register


def unit_kinds() -> tuple[str, ...]:
    """The registered kinds."""
    return tuple(_UNITS)


def unit_defaults(kind: str) -> Mapping[str, Any]:
    """The fields of a registered kind and their defaults; `inspect.Parameter.empty`: none."""
    return _UNITS[kind][1]


def lower_unit(kind: str, height: int, width: int, fields: Mapping[str, Any]) -> tuple[Step, ...]:
    """The steps of a unit of a registered kind, of an input of this size with these fields."""
    lower, defaults = _UNITS[kind]
    values = {**defaults, **fields}
    graph = GraphBuilder(values["c_in"], height, width)
    lower(graph, **values)
    return tuple(graph.steps)
