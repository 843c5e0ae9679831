"""Files of TensorFlow Lite models (.tflite), written table by table.

Numbers of fields, operators and option tables are those of TensorFlow Lite's schema.fbs, schema
version 3. Only `flatbuffers` is needed, not the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 3
IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # schema.fbs: `data` of a Buffer is force_align 16
TYPES = {np.dtype(np.float32): 0, np.dtype(np.int32): 2}  # TensorType

ACTIVATIONS = {"": 0, "relu": 1, "relu6": 3}  # ActivationFunctionType
SAME, VALID = 0, 1  # Padding

BYTE, INT, OFFSET = "Int8", "Int32", "UOffsetTRelative"
_WINDOW = {"padding": (0, BYTE), "stride_w": (1, INT), "stride_h": (2, INT)}


@dataclass(frozen=True, slots=True)
class Kind:
    """An operator: its code and version, the number of its table of options in the union, and
    that table's fields, name -> (number, type)."""

    code: int
    options: int = 0
    fields: dict[str, tuple[int, str]] = field(default_factory=dict)
    version: int = 1


_POOL = {**_WINDOW, "filter_width": (3, INT), "filter_height": (4, INT), "act": (5, BYTE)}
_CONV = {**_WINDOW, "act": (3, BYTE), "dilation_w": (4, INT), "dilation_h": (5, INT)}
_DEPTHWISE = {**_WINDOW, "depth_multiplier": (3, INT), "act": (4, BYTE)}
_DEPTHWISE |= {"dilation_w": (5, INT), "dilation_h": (6, INT)}
KINDS = {
    "ADD": Kind(0, 11, {"act": (0, BYTE)}),
    "AVERAGE_POOL_2D": Kind(1, 5, _POOL),
    "CONCATENATION": Kind(2, 10, {"axis": (0, INT), "act": (1, BYTE)}),
    "CONV_2D": Kind(3, 1, _CONV),
    "CONV_2D of groups": Kind(3, 1, _CONV, version=6),
    "DEPTHWISE_CONV_2D": Kind(4, 2, _DEPTHWISE),
    "FULLY_CONNECTED": Kind(9, 8, {"act": (0, BYTE)}),
    "LOGISTIC": Kind(14),
    "MAX_POOL_2D": Kind(17, 5, _POOL),
    "MUL": Kind(18, 21, {"act": (0, BYTE)}),
    "RELU": Kind(19),
    "RELU6": Kind(21),
    "RESHAPE": Kind(22, 17),
    "PAD": Kind(34, 22),
    "TRANSPOSE": Kind(39, 26, version=4),  # 4: more than four dimensions
    "MEAN": Kind(40, 27, {"keep_dims": (0, BYTE)}),
    "STRIDED_SLICE": Kind(45, 32),
    "SPLIT": Kind(49, 35, {"num_splits": (0, INT)}),
    "PADV2": Kind(60, 43),
    "HARD_SWISH": Kind(117),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of a graph; `data` if it is a constant."""

    name: str
    shape: tuple[int, ...]
    data: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """A step of a graph; `inputs` and `outputs` number its tensors."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]


@dataclass(slots=True)
class Graph:
    """A model under construction: one subgraph of float32 values and constants."""

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    _shared: dict[tuple, int] = field(default_factory=dict)

    def value(self, name: str, shape: Sequence[int]) -> int:
        """Add a tensor that an operator makes; its number."""
        self.tensors.append(Tensor(name, tuple(int(size) for size in shape)))
        return len(self.tensors) - 1

    def constant(self, name: str, data: NDArray[Any]) -> int:
        """Add a constant; its number."""
        self.tensors.append(Tensor(name, data.shape, data))
        return len(self.tensors) - 1

    def ints(self, values: Any) -> int:
        """A constant of int32, stored once."""
        array = np.asarray(values, dtype=np.int32)
        key = (array.shape, array.tobytes())
        if key not in self._shared:
            self._shared[key] = self.constant(f"ints{len(self._shared)}", array)
        return self._shared[key]

    def add(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], **options: int) -> int:
        """Add an operator; the number of its first output."""
        self.operators.append(Operator(kind, tuple(inputs), tuple(outputs), options))
        return outputs[0]

    def to_bytes(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file's content; same graph, same bytes."""
        constants = [tensor.data for tensor in self.tensors if tensor.data is not None]
        builder = flatbuffers.Builder(sum(data.nbytes for data in constants) + 4096)
        # Buffer 0 is empty by convention; values without data refer to it.
        buffers = [_table(builder), *(_buffer(builder, data) for data in constants)]
        numbers = iter(range(1, len(buffers)))
        tensors = [
            _tensor(builder, tensor, 0 if tensor.data is None else next(numbers))
            for tensor in self.tensors
        ]
        kinds = list(dict.fromkeys(operator.kind for operator in self.operators))
        known = [KINDS[kind] for kind in kinds]
        fields = [{0: (BYTE, k.code), 2: (INT, k.version), 3: (INT, k.code)} for k in known]
        codes = [_table(builder, numbers=each) for each in fields]  # 0: for older readers
        operators = [_operator(builder, op, kinds.index(op.kind)) for op in self.operators]
        parts = {
            0: _vector(builder, tensors),
            1: _vector(builder, inputs, INT),
            2: _vector(builder, outputs, INT),
            3: _vector(builder, operators),
        }
        subgraph = _table(builder, offsets=parts)
        offsets = {
            1: _vector(builder, codes),
            2: _vector(builder, [subgraph]),
            3: builder.CreateString("g4nas"),
            4: _vector(builder, buffers),
        }
        model = _table(builder, numbers={0: ("Uint32", SCHEMA_VERSION)}, offsets=offsets)
        builder.Finish(model, file_identifier=IDENTIFIER)
        return bytes(builder.Output())


def _table(
    builder: flatbuffers.Builder,
    *,
    numbers: Mapping[int, tuple[str, int]] = MappingProxyType({}),
    offsets: Mapping[int, int] = MappingProxyType({}),
) -> int:
    """Write a table of `numbers`, field -> (type, value), and `offsets`, field -> position of its
    value."""
    builder.StartObject(max([*numbers, *offsets], default=-1) + 1)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, (kind, number) in numbers.items():
        getattr(builder, f"Prepend{kind}Slot")(slot, number, 0)
    return builder.EndObject()


def _buffer(builder: flatbuffers.Builder, data: NDArray[Any]) -> int:
    content = data.astype(data.dtype.newbyteorder("<")).tobytes()
    builder.StartVector(1, len(content), ALIGNMENT)
    head = builder.head - len(content)
    builder.Bytes[head : builder.head] = content
    builder.head = head
    return _table(builder, offsets={0: builder.EndVector()})


def _vector(builder: flatbuffers.Builder, values: Sequence[int], kind: str = OFFSET) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        getattr(builder, f"Prepend{kind}")(value)
    return builder.EndVector()


def _tensor(builder: flatbuffers.Builder, tensor: Tensor, buffer: int) -> int:
    kind = TYPES[np.dtype(np.float32) if tensor.data is None else tensor.data.dtype]
    offsets = {0: _vector(builder, tensor.shape, INT), 3: builder.CreateString(tensor.name)}
    return _table(builder, numbers={1: (BYTE, kind), 2: ("Uint32", buffer)}, offsets=offsets)


def _operator(builder: flatbuffers.Builder, operator: Operator, code: int) -> int:
    kind = KINDS[operator.kind]
    operands = {1: operator.inputs, 2: operator.outputs}
    offsets = {slot: _vector(builder, values, INT) for slot, values in operands.items()}
    numbers = {0: ("Uint32", code)}
    if kind.options:
        options = {}
        for name, value in operator.options.items():
            slot, width = kind.fields[name]
            options[slot] = width, value
        offsets[4] = _table(builder, numbers=options)
        numbers[3] = ("Uint8", kind.options)
    return _table(builder, numbers=numbers, offsets=offsets)
