"""A Block: one unit of a network at one resolution, the key of the latency table.

A block is a kind and a few ints. `steps` lowers it to ops with the function that its kind has
registered in `space.units`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from space.common.text import shorten
from space.graph.builder import Step, lower_unit, unit_defaults
from space.graph.op import Count, Op, parse_number, parse_words
from space.units import unit_kinds


def _check_fields(kind: str, names: Mapping[str, Any]) -> Mapping[str, Any]:
    """The defaults of `kind`; ValueError if `names` has an unknown field or misses one."""
    if kind not in unit_kinds():
        raise ValueError(f"block kind must be one of {', '.join(unit_kinds())}; got {kind!r}")
    known = unit_defaults(kind)
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
    """A unit at one input resolution. Equal blocks have equal costs.

    `height` and `width` are those of the input, in pixels. Fields are those of the unit in
    `space.units`; a field equal to its default is not stored, so that a block has one text.

    Raises:
        ValueError: unknown kind, unknown or missing field.

    Example:
        >>> block = Block("shufflenet_v2", 28, 28, c_in=116, c_out=116, branch=58)
        >>> str(block), Block.parse(str(block)) == block
        ('shufflenet_v2@28x28 c_in=116 c_out=116 branch=58', True)
        >>> block.out_shape, block.flops, [op.kind for op in block.ops]
        ((116, 28, 28), 5684000, ['slice', 'slice', 'conv', 'dwconv', 'conv', 'concat'])
    """

    kind: str
    height: int
    width: int
    fields: tuple[tuple[str, int], ...]

    def __init__(self, kind: str, height: int, width: int, **fields: int) -> None:
        known = _check_fields(kind, fields)
        stored = ((n, int(fields[n])) for n, d in known.items() if n in fields and fields[n] != d)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "height", int(height))
        object.__setattr__(self, "width", int(width))
        object.__setattr__(self, "fields", tuple(stored))

    def __getitem__(self, name: str) -> int:
        """The value of a field, stored or default; KeyError for an unknown one."""
        return int(dict(self.fields).get(name, unit_defaults(self.kind)[name]))

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
            block = cls(kind, height, width, **{n: parse_number(v) for n, v in values.items()})
            _ = block.steps
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(f"malformed block {shorten(text, 200)}: {error}") from None
        return block


@lru_cache(maxsize=65536)
def _steps(block: Block) -> tuple[Step, ...]:
    return lower_unit(block.kind, block.height, block.width, dict(block.fields))


@dataclass(frozen=True, slots=True)
class BlockBatch:
    """n blocks of one kind and one structure: fields are ints or int arrays [n].

    Fields that change which ops there are (stride, fragments, ...) must be ints.
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
        """The values of a field, int [n]; its default if the batch has none."""
        value = self.fields.get(name, unit_defaults(self.kind)[name])
        return np.broadcast_to(np.asarray(value, dtype=np.int64), (len(self),))

    @property
    def steps(self) -> tuple[Step, ...]:
        return lower_unit(self.kind, self.height, self.width, self.fields)

    def block(self, index: int) -> Block:
        """The block at `index`."""
        values = {name: int(self.column(name)[index]) for name in self.fields}
        return Block(self.kind, self.height, self.width, **values)

    @classmethod
    def of(cls, block: Block) -> BlockBatch:
        """A batch of one."""
        return cls(block.kind, block.height, block.width, dict(block.fields))


Chain: TypeAlias = tuple[Block, ...]
"""Blocks in sequence: a network, or a part of one."""
