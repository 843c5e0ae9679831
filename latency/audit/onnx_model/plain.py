"""Operators of quantised and fused models, in terms of those of the float model they come from.

Scales and zero points are left out: only shapes, counts and the graph matter here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

FUSED = "com.microsoft"
Attributes: TypeAlias = Mapping[str, Any]

# (domain, operator) -> the float operator, and the inputs that it has.
_INPUTS: dict[tuple[str, str], tuple[str, tuple[int, ...]]] = {
    ("", "ConvInteger"): ("Conv", (0, 1)),
    ("", "MatMulInteger"): ("MatMul", (0, 1)),
    ("", "QLinearConv"): ("Conv", (0, 3, 8)),
    ("", "QLinearMatMul"): ("MatMul", (0, 3)),
    ("", "QuantizeLinear"): ("Identity", (0,)),
    ("", "DequantizeLinear"): ("Identity", (0,)),
    (FUSED, "QuantizeLinear"): ("Identity", (0,)),
    (FUSED, "DequantizeLinear"): ("Identity", (0,)),
    (FUSED, "QGemm"): ("Gemm", (0, 3, 6)),
    (FUSED, "QLinearAdd"): ("Add", (0, 3)),
    (FUSED, "QLinearMul"): ("Mul", (0, 3)),
    (FUSED, "QLinearAveragePool"): ("AveragePool", (0,)),
    (FUSED, "QLinearGlobalAveragePool"): ("GlobalAveragePool", (0,)),
    (FUSED, "QLinearLeakyRelu"): ("LeakyRelu", (0,)),
    (FUSED, "QLinearSigmoid"): ("Sigmoid", (0,)),
    (FUSED, "QLinearSoftmax"): ("Softmax", (0,)),
    (FUSED, "Gelu"): ("Gelu", (0,)),
    (FUSED, "QuickGelu"): ("Gelu", (0,)),
}
_BIASES = {"MatMulIntegerToFloat": ("MatMul", 6), "DynamicQuantizeMatMul": ("MatMul", 4)}
_BIASES |= {"FastGelu": ("Gelu", 1)}
_ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "HardSwish")
# Attributes that are of the fused operator alone.
_OWN = ("activation", "activation_params", "channels_last", "opset")


def plain(node: Any, attributes: Attributes) -> list[Any] | None:
    """The float operators of a node, which make its first result under its name; None: it is one,
    or what it means is not known here.

    Names that begin with a zero character are of values between them.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    if attributes.get("channels_last"):
        return None
    if (domain, node.op_type) in _INPUTS:
        op, positions = _INPUTS[domain, node.op_type]
        return [_node(node, op, _pick(node, positions), node.output[0], attributes)]
    rule = _RULES.get(node.op_type) if domain == FUSED else None
    return rule(node, attributes) if rule else None


def _pick(node: Any, positions: tuple[int, ...]) -> list[str]:
    found = [node.input[p] if p < len(node.input) else "" for p in positions]
    while found and not found[-1]:
        found.pop()
    return found


def _node(node: Any, op: str, inputs: list[str], output: str, attributes: Attributes) -> Any:
    from onnx import NodeProto

    kept = [a for a in node.attribute if a.name in attributes and a.name not in _OWN]
    new = NodeProto(op_type=op, name=node.name, input=inputs, output=[output])
    new.attribute.extend(kept)
    new.metadata_props.extend(node.metadata_props)
    return new


def _with_bias(node: Any, attributes: Attributes) -> list[Any]:
    """Two inputs and, later among the inputs, a bias."""
    op, position = _BIASES[node.op_type]
    inputs = _pick(node, (0,) if op == "Gelu" else (0, 1))
    bias = _pick(node, (position,))
    end = node.output[0]
    if op == "Gelu":
        sums = [_node(node, "Add", [*inputs, *bias], "\0sum", {})] if bias else []
        return [*sums, _node(node, op, ["\0sum"] if bias else inputs, end, {})]
    if not bias:
        return [_node(node, op, inputs, end, {})]
    product = _node(node, op, inputs, "\0product", {})
    return [product, _node(node, "Add", ["\0product", *bias], end, {})]


def _bias_gelu(node: Any, attributes: Attributes) -> list[Any]:
    return [
        _node(node, "Add", _pick(node, (0, 1)), "\0sum", {}),
        _node(node, "Gelu", ["\0sum"], node.output[0], {}),
    ]


def _fused_matmul(node: Any, attributes: Attributes) -> list[Any] | None:
    if any(attributes.get(f"trans{what}") for what in ("A", "B", "BatchA", "BatchB")):
        return None
    return [_node(node, "MatMul", _pick(node, (0, 1)), node.output[0], {})]


def _fused(node: Any, attributes: Attributes) -> list[Any] | None:
    """A convolution or Gemm, perhaps plus a map, and an activation."""
    from onnx import helper

    named, limits = attributes.get("activation", b""), attributes.get("activation_params", [])
    act = named.decode("utf-8", "replace") if isinstance(named, bytes) else "?"
    limits = limits if isinstance(limits, list) else []
    if act not in ("", "Clip", *_ACTIVATIONS) or (act == "Clip" and len(limits) != 2):
        return None
    op = "Gemm" if node.op_type == "FusedGemm" else "Conv"
    found = [_node(node, op, _pick(node, (0, 1, 2)), "\0layer", attributes)]
    if op == "Conv" and (added := _pick(node, (3,))):
        found.append(_node(node, "Add", [found[-1].output[0], *added], "\0sum", {}))
    if act == "Clip":
        # In inputs, as since opset 11; where it has attributes they are as good to read.
        for name, limit in zip(("\0min", "\0max"), limits, strict=True):
            tensor = helper.make_tensor(name, 1, [], [limit])
            found.insert(0, helper.make_node("Constant", [], [name], value=tensor))
        found.append(_node(node, act, [found[-1].output[0], "\0min", "\0max"], "\0end", {}))
    elif act:
        found.append(_node(node, act, [found[-1].output[0]], "\0end", {}))
    found[-1].output[0] = node.output[0]
    return found


def _concat(node: Any, attributes: Attributes) -> list[Any]:
    """Scale and zero point of the result, then three inputs for each map."""
    return [_node(node, "Concat", list(node.input[2::3]), node.output[0], attributes)]


_RULES: dict[str, Callable[[Any, Attributes], list[Any] | None]] = {
    **dict.fromkeys(_BIASES, _with_bias),
    "BiasGelu": _bias_gelu,
    "FusedConv": _fused,
    "FusedGemm": _fused,
    "FusedMatMul": _fused_matmul,
    "QLinearConcat": _concat,
}
