"""ncnn models in int8, as ncnn's tools (ncnn2table, ncnn2int8) leave them.

Dense and depthwise convolutions and linear layers have int8 weights, with a scale per output
channel, and quantise their input. A convolution whose output only such convolutions read also has
an int8 output. All other layers stay in floating point. So do grouped convolutions: ncnn
1.0.20261020 computes wrong values on x86 where a group has a multiple of 8 outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from latency.engines.ncnn.writer import (
    WEIGHTED,
    NcnnLayer,
    as_bytes,
    float_bytes,
    layer_bytes,
    ncnn_layers,
    param_text,
)
from latency.engines.onnx.int8 import value_ranges
from latency.engines.onnx.writer import build_model as build_onnx
from latency.engines.weights import Array, Weights, conv_groups, random_weights
from space.network.block import Block

INT8_TAG = (0x000D4B38).to_bytes(4, "little")  # in a .bin file: int8 weights follow
INT8_MAX = 127
CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
# Parameter 8, the scales of a layer: of its weights and its input; above 100 also of its output,
# which is then int8.
SCALES, PER_CHANNEL, PER_GROUP, INT8_OUTPUT = 8, 2, 1, 100


def build_model(blocks: Sequence[Block], *, weights: Weights | None = None) -> tuple[str, bytes]:
    """The quantised form of what `latency.engines.ncnn.writer.build_model` returns."""
    weights = cache(weights or random_weights())  # `random_weights` draws new ones at each call
    layers = ncnn_layers(blocks)
    scales = _input_scales(blocks, weights)
    readers = {name: layer for layer in layers for name in layer.inputs}
    output_scales: dict[str, Array] = {}  # of layers with an int8 output
    for layer in filter(_quantises, layers):
        term = PER_GROUP if layer.kind == "ConvolutionDepthWise" else PER_CHANNEL
        reader = _int8_reader(layer, readers)
        if reader is not None:
            output_scales[layer.name] = scales[reader.name]
            term += INT8_OUTPUT
        layer.params[SCALES] = term

    def pack(layer: NcnnLayer, weight: Array, bias: Array) -> bytes:
        if not _quantises(layer):
            return layer_bytes(layer, weight, bias)
        rounded, scale = _int8(weight.reshape(len(weight), -1))
        aligned = rounded.tobytes() + b"\0" * (-rounded.size % 4)
        floats = [bias, scale, scales[layer.name]]
        if layer.name in output_scales:
            floats.append(output_scales[layer.name])
        return INT8_TAG + aligned + b"".join(map(float_bytes, floats))

    return param_text(layers), as_bytes(layers, weights, pack)


def _quantises(layer: NcnnLayer) -> bool:
    if layer.kind == "ConvolutionDepthWise":
        assert layer.source is not None
        op = layer.source[2]
        return conv_groups(op) == op.c_in == op.c_out
    return layer.kind in WEIGHTED


def _input_scales(blocks: Sequence[Block], weights: Weights) -> dict[str, Array]:
    """The scale of each step's input by the layer's name, float32 [1]: 127 over its largest
    magnitude."""
    ranges = value_ranges(build_onnx(blocks, weights=weights))
    found = {}
    value = "input"
    for index, block in enumerate(blocks):
        names = [value] + [f"b{index}s{i}" for i in range(len(block.steps))]
        for i, step in enumerate(block.steps):
            low, high = ranges[names[step.inputs[0]]]
            found[names[i + 1]] = np.array([INT8_MAX / (max(-low, high) or 1.0)], np.float32)
        value = names[-1]
    return found


def _int8_reader(layer: NcnnLayer, readers: dict[str, NcnnLayer]) -> NcnnLayer | None:
    """The int8 convolution that reads the output of this one, or the first of several; None if
    another layer, or none, reads it."""
    found = readers.get(layer.outputs[0])
    if layer.kind not in CONVOLUTIONS or found is None:
        return None
    every = [readers[name] for name in found.outputs] if found.kind == "Split" else [found]
    fits = all(each.kind in CONVOLUTIONS and _quantises(each) for each in every)
    return every[0] if fits else None


def _int8(rows: Array) -> tuple[NDArray[np.int8], Array]:
    """Weights [rows, n] in int8, and the factor of each row, float32 [rows]."""
    largest = np.abs(rows).max(axis=1)
    largest[largest == 0] = 1
    scale = (INT8_MAX / largest).astype(np.float32)
    return np.rint(rows * scale[:, None]).astype(np.int8), scale
