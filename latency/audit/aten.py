"""The node of an audit for each operator of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from latency.audit.graph import Shape

Kind: TypeAlias = dict[str, Any]  # fields of a Node

ACTS = {
    "relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid", "gelu", "tanh", "leaky_relu",
    "elu", "selu", "celu", "mish", "softplus", "prelu", "clamp", "abs", "hardtanh", "erf",
}  # fmt: skip
PASS = {
    "dropout", "feature_dropout", "alpha_dropout", "contiguous", "clone", "alias", "detach", "to",
    "_to_copy", "type_as", "lift_fresh_copy", "identity", "expand",
    # Simulated quantisation: an engine runs the int8 layer instead.
    "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine",
    "quantize_per_tensor", "quantize_per_channel", "dequantize_per_tensor",
    "dequantize_per_channel",
}  # fmt: skip
RESHAPE = {
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "select",
}  # fmt: skip
SPLITS = {"chunk", "split", "split_with_sizes", "tensor_split", "unbind"}
NORMS = {
    "batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_functional",
    "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "native_batch_norm",
}  # fmt: skip
RESIZES = ("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d")
_CONVS = ("conv2d", "convolution")
_LOWEST = -1e30  # what padding a maximum ignores is below
POOLS = {"max_pool2d": "maxpool", "max_pool2d_with_indices": "maxpool", "avg_pool2d": "avgpool"}
FACTORS = {"add", "mul", "div", "sub"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operator: an fx node, its inputs and its shapes without batch."""

    node: Any
    base: str
    args: dict[str, Any]
    maps: list[Any]  # fx nodes that depend on the model's input
    constants: list[Any]
    taken: Shape
    shape: Shape

    @property
    def first(self) -> tuple[int, ...]:
        """The shape of the first input, batch included."""
        return tuple(self.node.all_input_nodes[0].meta["val"].shape)


def kind_of(call: Call) -> Kind | None:
    """The fields of the operator's node; None: unknown."""
    return _RULES.get(call.base, _named)(call)


def _conv(call: Call) -> Kind | None:
    weight = call.args["weight"].meta["val"].shape
    if call.args.get("transposed") or len(weight) != 4 or len(call.shape) != 3:
        return None
    return {
        "kind": "conv",
        "kernel": (int(weight[2]), int(weight[3])),
        "stride": _pair(call.args["stride"]),
        "groups": int(call.args["groups"]),
        "bias": call.args.get("bias") is not None,
    }


# The arguments of a product: what it reads, and its weights.
_FACTORS_OF = (("input", "weight"), ("mat1", "mat2"), ("self", "mat2"), ("self", "other"))


def _linear(call: Call) -> Kind | None:
    names = next(names for names in _FACTORS_OF if all(name in call.args for name in names))
    taken, weight = (call.args[name] for name in names)
    if call.maps != [taken] or len(weight.meta["val"].shape) != 2:
        return None
    return {"kind": "linear", "bias": call.args.get("bias") is not None or call.base == "addmm"}


def _pool(call: Call) -> Kind | None:
    kernel = _pair(call.args["kernel_size"])
    stride = _pair(call.args["stride"]) if call.args.get("stride") else kernel
    whole = kernel == call.taken[1:] and call.shape[1:] == (1, 1)
    kind = "globalpool" if whole and POOLS[call.base] == "avgpool" else POOLS[call.base]
    return {"kind": kind, "kernel": kernel, "stride": stride}


def _pad(call: Call) -> Kind | None:
    """What the convolutions and poolings behind do themselves: zeros around the map, or for a
    maximum the lowest number."""
    pads, value = call.args["pad"], call.args.get("value") or 0
    plain = call.args.get("mode", "constant") == "constant" and len(pads) in (2, 4)
    if not plain or len(call.shape) != 3 or min(pads) < 0 or not call.node.users:
        return None
    for reader in call.node.users:
        base, takes = base_name(reader), reader.all_input_nodes
        fits = value < _LOWEST if "max_pool2d" in base else value == 0
        if not (fits and base in (*_CONVS, *POOLS) and takes.count(call.node) == 1):
            return None
        if takes[0] is not call.node:
            return None
    return {"kind": "pass", "shape": call.taken}


def _resize(call: Call) -> Kind | None:
    return {"kind": "pass"} if call.taken == call.shape else None


def _mean(call: Call) -> Kind | None:
    rank = len(call.first)
    axes = sorted(axis % rank for axis in call.args.get("dim") or range(rank))
    return {"kind": "globalpool"} if rank == 4 and axes == [2, 3] else None


def _factor(call: Call) -> Kind | None:
    maps = call.maps
    if len(maps) == 2 or (len(maps) == 1 and call.args.get("self") is call.args.get("other")):
        return {"kind": call.base} if call.base in ("add", "mul") else None
    divides = call.base == "div" and call.args.get("self") is not maps[0]
    return None if divides else {"kind": "affine"}


def _slice(call: Call) -> Kind | None:
    rank = len(call.first)
    if call.args["dim"] % rank != 1 or rank != 4 or call.args.get("step", 1) != 1:
        return {"kind": "reshape"}
    return {"kind": "slice", "start": (call.args.get("start") or 0) % int(call.first[1])}


def _item(call: Call) -> Kind | None:
    source, number = call.node.args
    parts = source.meta["val"]
    if base_name(source) not in SPLITS:
        return {"kind": "pass"}
    rank = len(parts[0].shape)
    if arguments(source).get("dim", 0) % rank != 1 or rank != 4:
        return {"kind": "reshape"}
    return {"kind": "slice", "start": sum(int(part.shape[1]) for part in parts[:number])}


def _transpose(call: Call) -> Kind | None:
    rank = len(call.first)
    perm = list(range(rank))
    if call.base == "permute":
        perm = [axis % rank for axis in call.args["dims"]]
    elif rank > 1:
        one, other = call.args.get("dim0", 0) % rank, call.args.get("dim1", 1) % rank
        perm[one], perm[other] = other, one
    return {"kind": "transpose", "perm": tuple(perm)}


def _named(call: Call) -> Kind | None:
    if call.base in ACTS:
        limits = [call.args.get(f"{end}_val", call.args.get(end)) for end in ("min", "max")]
        name = "relu6" if limits == [0, 6] else "relu" if limits == [0, None] else ""
        return {"kind": "act", "act": name or call.base.replace("hardtanh", "clamp")}
    if call.base in NORMS:
        if call.args.get("running_mean") is None:
            return {"kind": "unknown", "missing": "normalises by the batch itself"}
        return {"kind": "norm"}
    kinds = {"cat": "concat", "channel_shuffle": "shuffle"}
    if call.base in kinds:
        return {"kind": kinds[call.base], "groups": int(call.args.get("groups", 1))}
    if call.base in PASS | SPLITS:
        return {"kind": "pass"}
    return {"kind": "reshape"} if call.base in RESHAPE else None


_RULES: dict[str, Callable[[Call], Kind | None]] = {
    **dict.fromkeys(_CONVS, _conv),
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    **dict.fromkeys(RESIZES, _resize),
    **dict.fromkeys(("linear", "addmm", "mm", "matmul"), _linear),
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(
        ("adaptive_avg_pool2d", "_adaptive_avg_pool2d"),
        lambda call: adaptive_pool(call.taken[1:], call.shape[1:]),
    ),
    "mean": _mean,
    **dict.fromkeys(FACTORS, _factor),
    **dict.fromkeys(("slice", "narrow"), _slice),
    "getitem": _item,
    **dict.fromkeys(("transpose", "permute", "t", "swapaxes"), _transpose),
}


def adaptive_pool(before: Shape, after: Shape) -> Kind | None:
    """The pooling from a map of one size to another: global, in equal windows, or unknown."""
    if len(before) != 2 or any(b % a for b, a in zip(before, after, strict=True)):
        return None
    if before == after:
        return {"kind": "pass"}
    if prod(after) == 1:
        return {"kind": "globalpool"}
    kernel = (before[0] // after[0], before[1] // after[1])
    return {"kind": "avgpool", "kernel": kernel, "stride": kernel}


def _pair(value: Any) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else list(value)
    return int(values[0]), int(values[-1])


def base_name(node: Any) -> str:
    """The operator's name without namespace, overload and the underscore of in-place ones."""
    target = node.target
    if target.__class__.__name__ == "OpOverload":
        words = str(target).split(".")
        return words[1].rstrip("_") if words[0] in ("aten", "quantized_decomposed") else ""
    return str(getattr(target, "__name__", ""))


def arguments(node: Any) -> dict[str, Any]:
    """An operator's arguments by the names of its schema, defaults included."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {}
    values = {a.name: a.default_value for a in schema.arguments}
    values |= dict(zip((a.name for a in schema.arguments), node.args, strict=False))
    return {**values, **node.kwargs}
