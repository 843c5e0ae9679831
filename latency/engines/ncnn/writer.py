"""ncnn models of chains of blocks, written straight from `block.steps`.

The graph is the one that ncnn's own tools leave (pnnx, and the networks of ncnn's benchmark):
batch norm folded, activations inside the layer before them, shuffles as ShuffleChannel, a Split
where a value is read more than once. Formats: ncnn's wiki, "param and model file structure".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from latency.engines.lowering import input_shape, walk_chain
from latency.engines.weights import (
    NORM_EPSILON,
    NORM_VARIANCE,
    Array,
    Weights,
    checked_weights,
    conv_groups,
    random_weights,
)
from space.common.errors import MissingOpError
from space.graph.op import Op
from space.network.block import Block

MAGIC = 7767517  # first line of a .param file
INPUT, OUTPUT = "in0", "out0"  # pnnx's names
RAW_FLOATS = b"\0\0\0\0"  # in a .bin file: float32 weights follow
REST = -233  # in a parameter: all that is left

TO_VECTOR = ("globalpool", "linear", "flatten")  # kinds of ops
WEIGHTED = ("Convolution", "ConvolutionDepthWise", "InnerProduct")
# Activations that a layer with weights has as its parameter 9; others are a layer after it.
ACTIVATION_TYPES = {"relu": 1, "relu6": 3, "sigmoid": 4, "hardswish": 6}
ACTIVATION_LAYERS = {
    "relu": "ReLU", "relu6": "Clip", "sigmoid": "Sigmoid", "hardswish": "HardSwish",
    "hardsigmoid": "HardSigmoid", "silu": "Swish",
}  # fmt: skip
# Parameters of activations: the bounds of ReLU6; alpha and beta of clip(alpha x + beta, 0, 1).
RELU6, HARD = (0.0, 6.0), (1 / 6, 0.5)
ACTIVATION_PARAMS = {"relu6": RELU6, "hardswish": HARD, "hardsigmoid": HARD}

Value: TypeAlias = int | float | tuple[int, ...] | tuple[float, ...]


@dataclass(slots=True)
class NcnnLayer:
    """One line of a .param file. `params` are numbered as in ncnn's operators.md, and an array is
    written as `-(23300 + number)=count,values`; `source` is (block, step, op) of a layer with
    weights."""

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    params: dict[int, Value] = field(default_factory=dict)
    source: tuple[int, int, Op] | None = None

    def __str__(self) -> str:
        counts = f"{len(self.inputs)} {len(self.outputs)}"
        words = [f"{self.kind:24} {self.name:24} {counts}", *self.inputs, *self.outputs]
        for number, value in self.params.items():
            if isinstance(value, tuple):
                words.append(f"{-23300 - number}={','.join(map(str, (len(value), *value)))}")
            else:
                words.append(f"{number}={value}")
        return " ".join(words)


# (layer, weight, bias) -> bytes of a .bin file
Pack: TypeAlias = Callable[[NcnnLayer, Array, Array], bytes]


def build_model(blocks: Sequence[Block], *, weights: Weights | None = None) -> tuple[str, bytes]:
    """The chain `blocks` as the text of a .param file and the bytes of its .bin file, float32;
    input blob `in0`, output blob `out0`. `weights` None: random ones.

    Raises:
        ValueError: no blocks.
        MissingOpError: an op that ncnn has no layer for.
    """
    layers = ncnn_layers(blocks)
    return param_text(layers), as_bytes(layers, weights or random_weights())


def build_param(blocks: Sequence[Block]) -> str:
    """The .param text, for a network whose weights do not matter."""
    return param_text(ncnn_layers(blocks))


def ncnn_layers(blocks: Sequence[Block]) -> list[NcnnLayer]:
    """The layers of a chain, in an order in which they can run."""
    _, channels, height, width = input_shape(blocks, 1)
    layers = [NcnnLayer("Input", INPUT, [], [INPUT], {0: width, 1: height, 2: channels})]
    vectors: set[str] = set()  # values of one dimension, as ncnn has them after a global pool

    def write_split(block: int, slices: dict[int, int], source: str) -> list[str]:
        outputs = [f"b{block}s{i}" for i in slices]
        params: dict[int, Value] = {0: (*list(slices.values())[:-1], REST), 1: 0}
        name = f"b{block}s{min(slices)}_slice"
        layers.append(NcnnLayer("Slice", name, [source], outputs, params))
        return outputs

    def write_op(block: int, step: int, op: Op, inputs: list[str]) -> str:
        out, vector = f"b{block}s{step}", inputs[0] in vectors
        layers.extend(_op(block, step, op, inputs, out, vector))
        if vector or op.kind in TO_VECTOR:
            vectors.add(out)
        return out

    last = walk_chain(blocks, INPUT, write_op=write_op, write_split=write_split)
    for layer in layers:
        layer.inputs = [OUTPUT if name == last else name for name in layer.inputs]
        layer.outputs = [OUTPUT if name == last else name for name in layer.outputs]
    return _with_splits(layers)


def param_text(layers: Sequence[NcnnLayer]) -> str:
    """A .param file."""
    blobs = sum(len(layer.outputs) for layer in layers)
    return "\n".join([str(MAGIC), f"{len(layers)} {blobs}", *map(str, layers), ""])


def as_bytes(layers: Sequence[NcnnLayer], weights: Weights, pack: Pack | None = None) -> bytes:
    """A .bin file: the bytes that `pack` (None: float32) returns for each layer's weights."""
    pack = pack or layer_bytes
    sources = ((layer, layer.source) for layer in layers if layer.source)
    return b"".join(pack(layer, *checked_weights(weights, *source)) for layer, source in sources)


def layer_bytes(layer: NcnnLayer, weight: Array, bias: Array) -> bytes:
    if layer.kind != "BatchNorm":
        return RAW_FLOATS + float_bytes(weight) + float_bytes(bias)
    mean, variance = np.zeros_like(bias), np.full_like(bias, NORM_VARIANCE)
    return b"".join(float_bytes(array) for array in (weight, mean, variance, bias))


def float_bytes(array: Array) -> bytes:
    return array.astype("<f4").tobytes()


def _op(
    block: int, step: int, op: Op, inputs: list[str], out: str, vector: bool
) -> list[NcnnLayer]:
    """The layers of an op; `out` is the output of the last one. `vector`: the input has one
    dimension, where ncnn has no convolution but a linear layer."""
    joined, act = f"{out}_joined", f"{out}_act"
    if op.kind == "concat" and op.groups > 1:
        shuffle = NcnnLayer("ShuffleChannel", out, [joined], [out], {0: int(op.groups)})
        return [NcnnLayer("Concat", joined, inputs, [joined], {0: 0}), shuffle]
    if vector and op.is_pointwise and op.groups == 1:
        kind, params = _linear(op)
    else:
        kind, params = _layer(op)
    weighted = kind in WEIGHTED or kind == "BatchNorm"
    layer = NcnnLayer(kind, out, inputs, [out], params, (block, step, op) if weighted else None)
    if not op.act:
        return [layer]
    numbers = ACTIVATION_PARAMS.get(op.act, ())
    if kind in WEIGHTED and op.act in ACTIVATION_TYPES:
        params[9] = ACTIVATION_TYPES[op.act]
        if numbers:
            params[10] = numbers
        return [layer]
    layer.outputs = [act]
    own: dict[int, Value] = dict(enumerate(numbers))
    return [layer, NcnnLayer(ACTIVATION_LAYERS[op.act], act, [act], [out], own)]


def _linear(op: Op) -> tuple[str, dict[int, Value]]:
    return "InnerProduct", {0: int(op.c_out), 1: 1, 2: int(op.weights)}


def _layer(op: Op) -> tuple[str, dict[int, Value]]:
    """The layer of an op without its activation: kind and parameters."""
    kernel, channels = int(op.kernel), int(op.c_out)
    pad = 0 if op.valid else (kernel - 1) // 2
    window: dict[int, Value] = {1: kernel, 3: int(op.stride), 4: pad}
    if op.kind in ("conv", "dwconv"):
        groups = conv_groups(op)
        params: dict[int, Value] = {0: channels, **window, 5: 1, 6: int(op.weights)}
        if groups == 1:
            return "Convolution", params
        return "ConvolutionDepthWise", {**params, 7: groups}
    if op.kind == "linear":
        return _linear(op)
    if op.kind in ("maxpool", "avgpool"):
        # 5: 0 rounds the output's size up, 1 down; 6: 1 counts the padding, as torch does
        pooling: dict[int, Value] = {1: kernel, 2: int(op.stride), 3: pad}
        odd = kernel % 2
        if op.kind == "maxpool":
            return "Pooling", {0: 0, **pooling, 5: 1 - op.valid}
        return "Pooling", {0: 1, **pooling, 5: odd, 6: odd}
    simple: dict[str, tuple[str, dict[int, Value]]] = {
        "globalpool": ("Pooling", {0: 1, 4: 1}),
        "flatten": ("Flatten", {}),
        "shuffle": ("ShuffleChannel", {0: int(op.groups)}),
        "concat": ("Concat", {0: 0}),
        "add": ("BinaryOp", {0: 0}),
        "mul": ("BinaryOp", {0: 2}),
        "relu": ("ReLU", {}),
        "batchnorm": ("BatchNorm", {0: channels, 1: NORM_EPSILON}),
        "slice": ("Crop", {9: (int(op.start),), 10: (int(op.start) + channels,), 11: (0,)}),
    }
    if op.kind not in simple:
        raise MissingOpError(f"ncnn has no layer for op kind {op.kind!r} ({op})")
    return simple[op.kind]


def _with_splits(layers: Sequence[NcnnLayer]) -> list[NcnnLayer]:
    """Insert a Split after each value that is read more than once, with an output per reader."""
    readers = Counter(name for layer in layers for name in layer.inputs)
    copies = {n: [f"{n}_{i}" for i in range(count)] for n, count in readers.items() if count > 1}
    unread = {name: iter(outputs) for name, outputs in copies.items()}
    result: list[NcnnLayer] = []
    for layer in layers:
        layer.inputs = [next(unread[n]) if n in unread else n for n in layer.inputs]
        splits = [NcnnLayer("Split", f"{n}_split", [n], copies[n])
                  for n in layer.outputs if n in copies]  # fmt: skip
        result += [layer, *splits]
    return result
