"""A Block: one unit of a network at one resolution, the key of the latency table.

A block is a kind and a few ints. `steps` lowers it to ops and how they join, through the one
lowering function that its kind registered in `space.units`; nothing else knows how.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from space.op import Count, Op, parse_words


@dataclass(frozen=True, slots=True)
class Step:
    """An op and the values it reads: 0 is the block's input, i the output of step i - 1."""

    op: Op
    inputs: tuple[int, ...]


class Graph:
    """Collects the steps of one block while its unit is lowered.

    Methods take and return value numbers; channels and sizes are followed here so that a unit
    states only what it decides.
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
    ) -> int:
        """`groups` is what is asked for; the conv takes the largest divisor of it that divides
        both widths, so that every width of a space stays buildable."""
        if not (isinstance(groups, int) and groups == 1):
            common = np.gcd(np.gcd(groups, self.channels(x)), c_out)
            groups = int(common) if np.ndim(common) == 0 else common
        return self.op("conv", (x,), c_out, kernel=kernel, stride=stride, groups=groups, act=act)

    def dwconv(self, x: int, *, kernel: Count, stride: Count = 1, act: str = "") -> int:
        return self.op("dwconv", (x,), self.channels(x), kernel=kernel, stride=stride, act=act)

    def linear(self, x: int, c_out: Count) -> int:
        return self.op("linear", (x,), c_out)

    def pool(self, x: int, kind: str, *, kernel: Count = 1, stride: Count = 1) -> int:
        return self.op(kind, (x,), self.channels(x), kernel=kernel, stride=stride)

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
_UNITS: dict[str, Lowering] = {}
_DEFAULTS: dict[str, dict[str, Any]] = {}


def unit(name: str) -> Callable[[Lowering], Lowering]:
    """Register `lower(graph, *, c_in, ...)` as the one lowering of blocks of kind `name`."""

    def register(lower: Lowering) -> Lowering:
        if name in _UNITS:
            raise ValueError(f"block kind {name!r} is registered already")
        parameters = list(inspect.signature(lower).parameters.values())[1:]
        _UNITS[name] = lower
        _DEFAULTS[name] = {p.name: p.default for p in parameters}
        return lower

    return register


def unit_kinds() -> tuple[str, ...]:
    """The known block kinds."""
    from space import units, units_classic, units_shufflenet

    assert units and units_classic and units_shufflenet  # importing them registers the units
    return tuple(_UNITS)


def _lower(kind: str, height: int, width: int, fields: Mapping[str, Any]) -> tuple[Step, ...]:
    values = {**_DEFAULTS[kind], **fields}
    graph = Graph(values["c_in"], height, width)
    _UNITS[kind](graph, **values)
    return tuple(graph.steps)


def _check_fields(kind: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of `kind`; ValueError if `names` has an unknown field or misses one."""
    if kind not in unit_kinds():
        raise ValueError(f"block kind must be one of {', '.join(unit_kinds())}; got {kind!r}")
    known = _DEFAULTS[kind]
    unknown = [name for name in names if name not in known]
    missing = [n for n, d in known.items() if d is inspect.Parameter.empty and n not in names]
    if unknown or missing:
        raise ValueError(
            f"{kind} takes {', '.join(known)}; "
            f"unknown: {unknown or '-'}, missing: {missing or '-'}"
        )
    return known


@dataclass(frozen=True, slots=True, init=False)
class Block:
    """A unit at one input resolution. Equal blocks cost the same; the text form parses back.

    Fields equal to the unit's default are not stored, so that one block has one text.

    Raises:
        ValueError: unknown kind, unknown or missing field.
    """

    kind: str
    height: int
    width: int
    fields: tuple[tuple[str, int], ...]

    def __init__(self, kind: str, height: int, width: int, **fields: int) -> None:
        known = _check_fields(kind, fields)
        kept = ((n, int(fields[n])) for n, d in known.items() if n in fields and fields[n] != d)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "height", int(height))
        object.__setattr__(self, "width", int(width))
        object.__setattr__(self, "fields", tuple(kept))

    def __getitem__(self, name: str) -> int:
        """The value of a field, stored or default; KeyError for an unknown one."""
        return int(dict(self.fields).get(name, _DEFAULTS[self.kind][name]))

    @property
    def steps(self) -> tuple[Step, ...]:
        return _steps(self)

    @property
    def ops(self) -> tuple[Op, ...]:
        return tuple(step.op for step in self.steps)

    @property
    def c_in(self) -> int:
        return self["c_in"]

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the output."""
        op = self.steps[-1].op
        return int(op.c_out), int(op.out_height), int(op.out_width)

    @property
    def flops(self) -> int:
        return sum(int(op.flops) for op in self.ops)

    @property
    def params(self) -> int:
        return sum(int(op.params) for op in self.ops)

    def __str__(self) -> str:
        words = [f"{name}={value}" for name, value in self.fields]
        return " ".join([f"{self.kind}@{self.height}x{self.width}", *words])

    @classmethod
    def parse(cls, text: str) -> Block:
        """The block whose `str` is `text`; ValueError says what is malformed."""
        try:
            kind, height, width, values = parse_words(text)
            block = cls(kind, height, width, **{n: int(v) for n, v in values.items()})
            _ = block.steps
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(f"malformed block {text!r}: {error}") from None
        return block


@lru_cache(maxsize=65536)
def _steps(block: Block) -> tuple[Step, ...]:
    return _lower(block.kind, block.height, block.width, dict(block.fields))


@dataclass(frozen=True, slots=True)
class BlockBatch:
    """n blocks of one kind and one structure: fields are ints or int arrays [n].

    Fields that decide which ops there are (stride, fragments, ...) must be ints. The steps come
    from the same lowering as a single block's, with arrays where that has ints.
    """

    kind: str
    height: int
    width: int
    fields: Mapping[str, Count] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_fields(self.kind, self.fields)

    def __len__(self) -> int:
        return int(np.broadcast(*(np.asarray(v) for v in self.fields.values())).size)

    def column(self, name: str) -> NDArray[np.int64]:
        """A field's value for each block, int [n]; the default where it is not given."""
        value = self.fields.get(name, _DEFAULTS[self.kind][name])
        return np.broadcast_to(np.asarray(value, dtype=np.int64), (len(self),))

    @property
    def steps(self) -> tuple[Step, ...]:
        return _lower(self.kind, self.height, self.width, self.fields)

    def block(self, index: int) -> Block:
        """The block at `index`."""
        values = {name: int(self.column(name)[index]) for name in self.fields}
        return Block(self.kind, self.height, self.width, **values)

    @classmethod
    def of(cls, block: Block) -> BlockBatch:
        """A batch of one."""
        return cls(block.kind, block.height, block.width, dict(block.fields))
