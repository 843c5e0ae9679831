"""The terms of the cost models fitted to published latencies: amounts, bounds and reasons.

A term is a count of work times a fitted, non-negative number of seconds. Every count is
non-decreasing in `c_out`, so every prediction is. Counts take ints or int arrays, like `Op`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from space.common.errors import MissingOpError
from space.graph.op import VIEWS, Op

Amount: TypeAlias = float | NDArray[np.float64]
Amounts: TypeAlias = dict[str, Amount]

POOLS = ("maxpool", "avgpool")
ELEMENTWISE = ("concat", "shuffle", "add", "mul", "batchnorm", "relu")
EXPONENTIAL = ("sigmoid", "silu")  # activations folded into no kernel: a pass of their own
KNOWN = ("conv", "dwconv", "linear", *POOLS, "globalpool", *VIEWS, *ELEMENTWISE)

FLOAT_BYTES = 4.0
KIB, MIB = 2**10, 2**20

# Snapdragon 810: Cortex-A57 at 2.0 GHz. One 128-bit fused multiply-add per cycle makes 4 x 2.0e9
# a second; two channels of LPDDR4-1600 move 25.6 GB/s; a core loads 16 bytes a cycle.
ARM_PEAK_FLOPS, ARM_DRAM_BYTES, ARM_CACHE_BYTES = 8e9, 25.6e9, 32e9
# Cortex-A57 in the Snapdragon 810: 2 MiB of L2 shared by four cores, 32 KiB of L1 data cache.
# Between a quarter of L2 and twice L2, ever less of an op's output stays in L2 for the next op;
# between L1 and eight times L1, ever more of the weights come from L2.
ARM_SPILL_BYTES = (MIB // 2, 4 * MIB)
ARM_WEIGHT_SPILL_BYTES = (32 * KIB, 256 * KIB)
# NEON computes 4 floats at once, here output channels; a register tile covers 8 positions.
ARM_LANES, ARM_TILE = 4, 8
# GTX 1080 Ti: 11.3 TFLOP/s (two per multiply-add) and 484 GB/s. An empty kernel queued behind
# others still takes about 2 us.
GPU_PEAK_FLOPS, GPU_DRAM_BYTES, GPU_LAUNCH_S = 5.65e12, 484e9, 2e-6
# Products shorter than this are not faster: filling the pipeline of a tile takes as long.
GPU_MIN_DEPTH = 192


@dataclass(frozen=True, slots=True)
class Term:
    """A coefficient's unit of work, its bounds in seconds per unit, and its reason."""

    unit: str
    lower: float
    upper: float
    why: str


ARM_TERMS = {
    "op": Term("op", 1e-6, 2e-5, "call, allocation"),
    "conv_flops": Term("multiply-add", 1 / ARM_PEAK_FLOPS, 1 / 2e9, "arithmetic of dense conv"),
    "conv_flops_spill": Term(
        "multiply-add", 0, np.inf, "maps beyond L2 are read again for each tile of outputs"
    ),
    "conv_flops_weights": Term(
        "multiply-add", 0, np.inf, "weights beyond L1 are read again for each tile of positions"
    ),
    "conv_out_bytes": Term("byte", 1 / 60e9, np.inf, "sums are set up, activated and stored"),
    "dwconv_flops": Term("multiply-add", 1 / ARM_PEAK_FLOPS, 1 / 5e8, "depthwise, stride 1"),
    "dwconv_positions": Term("position", 0, np.inf, "depthwise loop per position, all channels"),
    "strided_taps": Term(
        "element", 1 / ARM_PEAK_FLOPS, 1 / 1e8, "windows gathered one by one: stride 2, stem"
    ),
    "pool_taps": Term("element", 1 / ARM_PEAK_FLOPS, 1 / 1e8, "pooling windows"),
    "elementwise_bytes": Term("byte", 1 / ARM_CACHE_BYTES, 1 / 1e9, "add, relu, concat, shuffle"),
    "dram_bytes": Term(
        "byte", 1 / ARM_DRAM_BYTES, np.inf, "maps beyond L2, and every weight once"
    ),
}

GPU_TERMS = {
    "launch_conv": Term("op", GPU_LAUNCH_S, 5e-5, "kernel launch"),
    "launch_dwconv": Term("op", GPU_LAUNCH_S, 2e-4, "cuDNN 7.0 runs depthwise conv poorly"),
    "launch_other": Term("op", GPU_LAUNCH_S, 5e-5, "kernel launch"),
    "launch_group": Term("group", 1e-6, 5e-5, "cuDNN 7.0 runs the groups one after the other"),
    "network": Term("network", 0, 2e-4, "synchronisation; counted at the classifier"),
    "conv_flops": Term("multiply-add", 1 / GPU_PEAK_FLOPS, np.inf, "arithmetic of 1x1 conv"),
    "dense_flops": Term("multiply-add", 1 / GPU_PEAK_FLOPS, 1e-10, "arithmetic of larger conv"),
    "conv_bytes": Term("byte", 1 / GPU_DRAM_BYTES, 1e-9, "maps of conv and depthwise conv"),
    "elementwise_bytes": Term("byte", 1 / GPU_DRAM_BYTES, 1e-9, "maps of the other ops"),
    "weight_bytes": Term("byte", 1 / GPU_DRAM_BYTES, 1e-9, "weights"),
}

TERMS = {"arm": ARM_TERMS, "gpu": GPU_TERMS}


def amounts(formula: str, op: Op, batch: int = 1) -> Amounts:
    """The amount of each term in `op` on a batch of images; a view has none.

    Raises:
        ValueError: an unknown formula, or a batch that it does not model.
        MissingOpError: the formula has no ops of this kind.
    """
    if formula not in FORMULAS:
        raise ValueError(f"`formula` must be one of {', '.join(FORMULAS)}; got {formula!r}")
    if op.kind not in KNOWN:
        raise MissingOpError(f"no published cost of {op.kind}; known: {', '.join(KNOWN)}")
    if op.kind in VIEWS:
        return {}
    found = FORMULAS[formula](op, batch)
    if op.act in EXPONENTIAL:
        c_out, height, width = op.c_out, op.out_height, op.out_width
        pass_over = Op(kind="relu", c_in=c_out, c_out=c_out, height=height, width=width)
        for name, amount in FORMULAS[formula](pass_over, batch).items():
            found[name] = found.get(name, 0.0) + amount
    return found


def _up(value: Any, multiple: int) -> Any:
    return -(-value // multiple) * multiple


def _between(value: Any, low: float, high: float) -> Any:
    """0 at `low`, 1 at `high`, linear in the logarithm between, constant outside."""
    return np.log2(np.clip(value, low, high) / low) / np.log2(high / low)


def _arm(op: Op, batch: int) -> Amounts:
    if batch != 1:
        raise ValueError(f"the arm model knows batch 1 only, as its source; got {batch}")
    positions: Any = op.out_height * op.out_width
    out_bytes: Any = FLOAT_BYTES * op.out_elements
    map_bytes: Any = FLOAT_BYTES * op.in_elements + out_bytes
    weight_bytes: Any = FLOAT_BYTES * op.weights
    taps: Any = op.kernel * op.kernel
    flops: Any
    found: Amounts = {"op": 1.0}
    if op.kind == "linear":
        return {**found, "dram_bytes": weight_bytes}
    if op.kind == "globalpool":
        return {**found, "elementwise_bytes": map_bytes - out_bytes}
    spilled = _between(map_bytes, *ARM_SPILL_BYTES)
    found["dram_bytes"] = map_bytes * spilled + weight_bytes
    if op.kind == "conv":
        depth = op.c_in // op.groups * taps
        lanes = _up(op.c_out // op.groups, ARM_LANES) * op.groups
        flops = 1.0 * _up(positions, ARM_TILE) * depth * lanes
        found["conv_flops"] = flops
        found["conv_flops_spill"] = flops * spilled
        found["conv_flops_weights"] = flops * _between(weight_bytes, *ARM_WEIGHT_SPILL_BYTES)
        found["conv_out_bytes"] = out_bytes
        found["strided_taps"] = 1.0 * positions * op.c_in * taps * np.greater(op.kernel, 1)
    elif op.kind == "dwconv":
        flops = 1.0 * op.flops
        found["dwconv_flops"] = flops * np.equal(op.stride, 1)
        found["strided_taps"] = flops * np.greater(op.stride, 1)
        found["dwconv_positions"] = 1.0 * positions
    elif op.kind in POOLS:
        found["pool_taps"] = 1.0 * op.out_elements * taps
    else:
        found["elementwise_bytes"] = map_bytes
    return found


def _gpu(op: Op, batch: int) -> Amounts:
    images: Any = FLOAT_BYTES * batch
    map_bytes: Any = images * (op.in_elements + op.out_elements)
    weight_bytes: Any = FLOAT_BYTES * op.weights
    if op.kind == "conv":
        depth = op.c_in // op.groups * op.kernel * op.kernel
        flops: Any = 1.0 * batch * np.maximum(depth, GPU_MIN_DEPTH) * op.out_elements
        large: Any = np.greater(op.kernel, 1)
        return {
            "launch_conv": 1.0,
            "launch_group": op.groups - 1.0,
            "conv_flops": flops * ~large,
            "dense_flops": flops * large,
            "conv_bytes": map_bytes,
            "weight_bytes": weight_bytes,
        }
    if op.kind == "dwconv":
        # The paper has 3x3 only. Reads that are not shared grow with the taps.
        window_bytes: Any = map_bytes * (op.kernel * op.kernel / 9.0)
        return {"launch_dwconv": 1.0, "conv_bytes": window_bytes}
    if op.kind == "linear":
        # A classifier ends the network; the layers of a squeeze-and-excitation are activated.
        found: Amounts = {"launch_conv": 1.0, "weight_bytes": weight_bytes}
        return found if op.act else {**found, "network": 1.0}
    if op.kind == "globalpool":
        read_bytes: Any = images * op.in_elements
        return {"launch_other": 1.0, "elementwise_bytes": read_bytes}
    return {"launch_other": 1.0, "elementwise_bytes": map_bytes}


FORMULAS: dict[str, Callable[[Op, int], Amounts]] = {"arm": _arm, "gpu": _gpu}
