"""Any line that names a unit or an op is read as what it says, or refused with one line."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from space.graph.builder import unit_defaults
from space.graph.op import ACTIVATIONS, KINDS, NORMS, Op
from space.network.block import Block
from space.units import unit_kinds
from tests.helpers.hostile import HOSTILE_FIELDS, examples

NUMBERS = st.one_of(
    st.integers(-2, 40), st.sampled_from([10**6, 2**31, 2**63, 10**30, -(2**63)])
).map(str)
WORDS = st.one_of(NUMBERS, NUMBERS, NUMBERS, st.sampled_from(HOSTILE_FIELDS))
SIZES = st.one_of(st.integers(0, 64), st.sampled_from([10**9, 2**64])).map(str)


@st.composite
def block_lines(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(unit_kinds()))
    known = unit_defaults(kind)
    needed = [name for name, value in known.items() if value is inspect.Parameter.empty]
    rest = [name for name in known if name not in needed]
    names = [*needed, *(draw(st.lists(st.sampled_from(rest), unique=True)) if rest else [])]
    fields = [f"{name}={draw(WORDS)}" for name in names]
    return " ".join([f"{kind}@{draw(SIZES)}x{draw(SIZES)}", *fields])


@st.composite
def op_lines(draw: st.DrawFn) -> str:
    fields = {"c_in": draw(WORDS), "c_out": draw(WORDS)}
    for name in ("kernel", "stride", "groups", "start", "valid"):
        if draw(st.booleans()):
            fields[name] = draw(WORDS)
    fields["act"] = draw(st.sampled_from([*filter(None, ACTIVATIONS), "gelu"]))
    fields["norm"] = draw(st.sampled_from([*NORMS, "layer"]))
    words = [f"{name}={value}" for name, value in fields.items()]
    return " ".join([f"{draw(st.sampled_from(KINDS))}@{draw(SIZES)}x{draw(SIZES)}", *words])


@examples(300)
@given(block_lines())
def test_property_blocks(line: str) -> None:
    try:
        block = Block.parse(line)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    assert Block.parse(str(block)) == block
    assert min(block.out_shape) >= 1
    assert block.flops >= 0 and block.params >= 0
    assert all(op.mem_access >= 0 for op in block.ops)


@examples(300)
@given(op_lines())
def test_property_ops(line: str) -> None:
    try:
        op = Op.parse(line)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    assert Op.parse(str(op)) == op
    assert min(op.out_height, op.out_width) >= 1
    assert op.flops >= 0 and op.params >= 0


@pytest.mark.parametrize("kind", unit_kinds())
def test_every_unit_is_read_in_these_lines(kind: str) -> None:
    """Small numbers make a block of it, so that the property has something to hold for."""
    known = unit_defaults(kind)
    fields = {name: 12 for name, value in known.items() if value is inspect.Parameter.empty}
    fields |= {name: value for name, value in (("branch", 6), ("fragments", 1)) if name in fields}
    block = Block(kind, 16, 16, **{"c_in": 12, **fields})
    assert Block.parse(str(block)) == block
    assert block.flops > 0
