"""Lowering, units and numbers of an audit, on graphs small enough to count by hand."""

from __future__ import annotations

import math

import pytest

from latency.audit.analysis import analyze, nothing_known, numbers
from latency.audit.foreign_op import ForeignOp, costs_like, make_op
from latency.audit.graph import Node, Source
from latency.audit.grouping import units
from latency.audit.lowering import Layer, lower
from latency.audit.price import Pricer, equal_widths, one_group
from space.graph.builder import Step
from space.graph.op import Op


class Net:
    """Writes nodes one after the other; every method gives the new node's index."""

    def __init__(self, channels: int = 8, size: int = 8) -> None:
        shape = (channels, size, size)
        self.nodes = [Node(kind="input", source="input", name="x", shape=shape)]
        self.path: tuple[tuple[str, str], ...] = ()

    def add(self, kind: str, *inputs: int, **fields: object) -> int:
        read = inputs or (len(self.nodes) - 1,)
        fields.setdefault("shape", self.nodes[read[0]].shape)
        fields.setdefault("source", kind)
        node = Node(  # type: ignore[arg-type]
            kind=kind, name=f"n{len(self.nodes)}", inputs=read, modules=self.path, **fields
        )
        self.nodes.append(node)
        return len(self.nodes) - 1

    def conv(
        self, c_out: int, *inputs: int, k: int = 1, groups: int = 1, bias: bool = False
    ) -> int:
        c_in, height, width = self.nodes[inputs[0] if inputs else -1].shape
        params = c_in // groups * c_out * k * k + bias * c_out
        shape = (c_out, height, width)
        more = {"kernel": (k, k), "groups": groups, "params": params, "bias": bias}
        return self.add("conv", *inputs, shape=shape, **more)

    def source(self) -> Source:
        held = sum(node.params for node in self.nodes)
        return Source(tuple(self.nodes), (len(self.nodes) - 1,), held, self.nodes[0].shape)

    def layers(self) -> tuple[Layer, ...]:
        return lower(self.source())


def ops(net: Net) -> list[str]:
    return [str(layer.op) for layer in net.layers()]


def test_norm_and_activation_are_folded() -> None:
    net = Net()
    net.conv(16)
    net.add("norm", params=32)
    net.add("act", act="relu6")
    net.conv(16, k=3, groups=16)
    net.add("norm", params=32)
    net.add("act", act="hardswish")
    layers = net.layers()
    assert [str(layer.op) for layer in layers] == [
        "conv@8x8 c_in=8 c_out=16 act=relu6",
        "dwconv@8x8 c_in=16 c_out=16 kernel=3 act=relu",
    ]
    assert [layer.act for layer in layers] == ["relu6", "hardswish"]
    assert [layer.source for layer in layers] == ["conv+norm+act"] * 2
    assert [layer.inputs for layer in layers] == [(-1,), (0,)]


def test_what_others_read_is_not_folded() -> None:
    """The convolution's own output goes into the addition: the ReLU is a pass of its own."""
    net = Net()
    conv = net.conv(8, bias=True)
    relu = net.add("act", act="relu")
    net.add("add", conv, relu)
    assert ops(net) == [
        "conv@8x8 c_in=8 c_out=8 norm=bias",
        "relu@8x8 c_in=8 c_out=8",
        "add@8x8 c_in=8 c_out=8",
    ]


def test_views_that_nothing_reads_do_not_count() -> None:
    """A batch norm's other outputs, in a program that was decomposed and saved."""
    net = Net()
    net.conv(8)
    norm = net.add("norm", params=16)
    net.add("pass", norm)
    net.add("act", norm, act="relu")
    assert ops(net) == ["conv@8x8 c_in=8 c_out=8 act=relu"]


def test_batch_norm_before_a_convolution_stands_alone() -> None:
    net = Net()
    net.add("norm", params=16)
    net.add("act", act="relu")
    net.conv(8)
    assert ops(net) == [
        "batchnorm@8x8 c_in=8 c_out=8 act=relu",
        "conv@8x8 c_in=8 c_out=8 norm=none",
    ]


@pytest.mark.parametrize(("inner", "outer"), [("sigmoid", "silu"), ("hardsigmoid", "hardswish")])
def test_gate_of_itself_is_an_activation(inner: str, outer: str) -> None:
    net = Net()
    conv = net.conv(8, bias=True)
    gate = net.add("act", conv, act=inner)
    net.add("mul", gate, conv)
    (layer,) = net.layers()
    assert layer.act == outer
    assert layer.op is not None
    assert layer.op.act == costs_like(outer)


def test_hardswish_in_parts() -> None:
    """x * clamp(x + 3, 0, 6) / 6, as exporters decompose it."""
    net = Net()
    conv = net.conv(8, bias=True)
    net.add("affine", conv)
    gate = net.add("act", act="relu6")
    net.add("mul", conv, gate)
    net.add("affine")
    (layer,) = net.layers()
    assert layer.act == "hardswish"


def test_gelu_in_parts() -> None:
    """0.5 x * (1 + erf(x / sqrt 2)), as exporters decompose it."""
    net = Net()
    conv = net.conv(8, bias=True)
    half = net.add("affine", conv)
    net.add("affine", conv)
    net.add("act", act="erf")
    gate = net.add("affine")
    net.add("mul", half, gate)
    (layer,) = net.layers()
    assert layer.act == "gelu"


def test_squeeze_and_excitation() -> None:
    """1x1 convolutions of the pooled map are linear layers; the scaling is `mul`."""
    net = Net()
    x = net.conv(8, bias=True)
    net.add("globalpool", x, shape=(8, 1, 1))
    net.conv(4, bias=True)
    net.add("act", act="relu")
    net.conv(8, bias=True)
    gate = net.add("act", act="sigmoid")
    net.add("mul", gate, x, shape=(8, 8, 8))
    assert ops(net)[1:] == [
        "globalpool@8x8 c_in=8 c_out=8",
        "linear@1x1 c_in=8 c_out=4 act=relu",
        "linear@1x1 c_in=4 c_out=8 act=sigmoid",
        "mul@8x8 c_in=8 c_out=8",
    ]


def test_shuffle_is_found_and_joins_a_concatenation() -> None:
    net = Net()
    a, b = net.conv(4, 0, bias=True), net.conv(4, 0, bias=True)
    net.add("concat", a, b, shape=(8, 8, 8))
    for _ in range(2):
        net.add("reshape", shape=(2, 4, 8, 8))
        net.add("transpose", shape=(4, 2, 8, 8), perm=(0, 2, 1, 3, 4))
        net.add("pass")
        net.add("reshape", shape=(8, 8, 8))
    assert ops(net)[2:] == [
        "concat@8x8 c_in=8 c_out=8 groups=2",
        "shuffle@8x8 c_in=8 c_out=8 groups=2",
    ]


def test_linear_over_positions_is_a_1x1_convolution() -> None:
    net = Net()
    net.add("transpose", shape=(8, 8, 8), perm=(0, 2, 3, 1))
    net.add("linear", shape=(8, 8, 32), bias=True, params=8 * 32 + 32)
    net.add("act", act="gelu")
    (layer,) = net.layers()
    assert str(layer.op) == "conv@8x8 c_in=8 c_out=32 act=sigmoid norm=bias"


def test_slices_are_views() -> None:
    net = Net()
    net.add("slice", 0, shape=(3, 8, 8), start=5)
    (layer,) = net.layers()
    assert layer.op is not None
    assert (str(layer.op), layer.op.mem_access) == ("slice@8x8 c_in=8 c_out=3 start=5", 0)


def test_foreign_ops() -> None:
    """7x1 kernel; no padding; channel multiplier: flops by hand."""
    tall = make_op("conv", (4, 8, 8), (6, 8, 8), kernel=(7, 1), norm="none", params=168)
    assert isinstance(tall, ForeignOp)
    assert (tall.weights, tall.flops, tall.params) == (168, 168 * 64, 168)
    assert not tall.is_pointwise
    assert tall.kernel != tall.kernel_width
    wide = make_op("conv", (4, 8, 8), (6, 8, 8), kernel=(1, 3), norm="none", params=72)
    assert not wide.is_pointwise
    valid = make_op("conv", (4, 8, 8), (6, 6, 6), kernel=(3, 3), norm="none", params=216)
    assert (valid.flops, valid.out_elements) == (216 * 36, 216)
    assert valid.mem_access == 4 * 64 + 216 + 216
    twice = make_op("dwconv", (4, 8, 8), (8, 8, 8), kernel=(3, 3), params=72)
    assert (twice.weights, twice.flops) == (72, 72 * 64)


def test_an_op_is_foreign_only_where_it_must_be() -> None:
    made = make_op("conv", (4, 8, 8), (6, 4, 4), kernel=(3, 3), stride=(2, 2), params=216 + 12)
    assert made == Op(kind="conv", c_in=4, c_out=6, height=8, width=8, kernel=3, stride=2)


def residual(net: Net, name: str, stage: str = "stage") -> None:
    """1x1 - 3x3 - 1x1 and an addition, as a module inside a plain container class."""
    root = ("", "Net"), (stage, "pkg.Stage"), (name, "pkg.Unit")
    x = len(net.nodes) - 1
    for number, k in enumerate((1, 3, 1)):
        net.path = (*root, (f"{name}.{number}", "torch.nn.modules.conv.Conv2d"))
        net.conv(8, k=k, bias=True)
    net.path = root
    net.add("add", len(net.nodes) - 1, x)


def test_units_by_module() -> None:
    """The stage is a container as a unit inside adds; convolutions of the root stand alone."""
    net = Net()
    net.path = (("", "Net"), ("stem", "torch.nn.modules.conv.Conv2d"))
    net.conv(8, bias=True)
    residual(net, "stage.0")
    residual(net, "stage.1")
    found, rule = units(net.layers())
    assert rule == "modules"
    assert [(u.name, u.layers) for u in found] == [
        ("stem", (0,)),
        ("stage.0", (1, 2, 3, 4)),
        ("stage.1", (5, 6, 7, 8)),
    ]


@pytest.mark.parametrize("flat", [True, False])
def test_units_by_graph(flat: bool) -> None:
    """Without modules, and where all are children of the root that joins them."""
    net = Net()
    for number in range(2):
        x = len(net.nodes) - 1
        for k in (1, 3, 1):
            leaf = (f"conv{number}{k}{len(net.nodes)}", "torch.nn.modules.conv.Conv2d")
            net.path = (("", "Net"), leaf) if flat else ()
            net.conv(8, k=k, bias=True)
        net.path = (("", "Net"),) if flat else ()
        net.add("add", len(net.nodes) - 1, x)
        net.add("act", act="relu")
    found, rule = units(net.layers())
    assert rule == "graph"
    assert [u.layers for u in found] == [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)]


def test_units_by_graph_end_at_concatenations() -> None:
    """DenseNet keeps every map alive: what is concatenated does not count beside the result."""
    net = Net()
    maps = [0]
    for _ in range(3):
        whole = net.add("concat", *maps, shape=(8 * len(maps), 8, 8)) if len(maps) > 1 else 0
        maps.append(net.conv(8, whole, k=3, bias=True))
    found, _ = units(net.layers())
    assert [u.layers for u in found] == [(0, 1), (2, 3), (4,)]


def test_numbers_by_hand() -> None:
    """1x1 of 4 to 16 channels on 10x10: access 2064, bound 2 sqrt(400 * 1600) + 64 = 1664."""
    op = Op(kind="conv", c_in=4, c_out=16, height=10, width=10)
    found = numbers([Step(op, (0,))], 1)
    assert found.values.g1 == pytest.approx(2064 / 1664)
    assert found.over == {"g1": pytest.approx(2064 / 1664 - 1.05)}
    assert found.excess["g1"] == pytest.approx(2064 - 1.05 * 1664)
    assert found.total_excess == pytest.approx(2064 - 1.05 * 1664)


def test_groups_of_any_kernel_count_in_g2() -> None:
    """3x3 of 8 to 8 channels in 4 groups on 10x10: 800 + 800 + 144 beside 800 + 200 + 144."""
    op = Op(kind="conv", c_in=8, c_out=8, height=10, width=10, kernel=3, groups=4)
    found = numbers([Step(op, (0,))], 1)
    assert (found.values.g2, found.g2_all) == (1.0, pytest.approx(1744 / 1144))
    assert found.over["g2"] == pytest.approx(1744 / 1144 - 1.05)
    assert found.excess["g2"] == pytest.approx(1744 - 1.05 * 1144)


def test_costs_of_broken_guidelines() -> None:
    """A price of a second per element: the costs are the excess over the bounds themselves."""
    op = Op(kind="conv", c_in=4, c_out=16, height=10, width=10)
    other = equal_widths(op)
    assert (other.c_in, other.c_out, other.flops) == (8, 8, op.flops)
    grouped = Op(kind="conv", c_in=8, c_out=8, height=10, width=10, groups=4)
    assert one_group(grouped) == Op(kind="conv", c_in=8, c_out=2, height=10, width=10)
    found = Pricer(lambda op: op.mem_access, "a second per element").price([op, grouped])
    assert found.total_s == op.mem_access + grouped.mem_access
    assert found.cost_s["g1"] == pytest.approx(2064 - 1664)
    assert found.cost_s["g2"] == pytest.approx(600)


def test_ops_without_a_price_are_counted() -> None:
    tall = make_op("conv", (4, 8, 8), (6, 8, 8), kernel=(7, 1), norm="none", params=168)
    found = Pricer(lambda op: math.inf, "").price([tall])
    assert (found.total_s, found.unpriced) == (0.0, 1)


def test_unknown_nodes_stay_in_the_graph() -> None:
    net = Net()
    net.conv(8, bias=True)
    net.add("unknown", source="Resize")
    net.conv(8, bias=True)
    source = net.source()
    found = analyze(source, lower(source))
    assert [(u.source, u.where) for u in found.unknown] == [("Resize", ("n2",))]
    assert [layer.inputs for layer in found.layers] == [(-1,), (0,), (1,)]
    assert found.network.numbers.flops == 2 * 64 * 64


def test_the_reason_is_the_op_that_is_not_known() -> None:
    """What stands behind an unknown op may be known: its shape is open for that reason."""
    net = Net()
    net.add("unknown", source="x.Fused", shape=())
    for source in ("Conv", "Conv", "Gemm"):
        net.add("unknown", source=source, missing="no fixed shape", shape=())
    alone = "has no known op: x.Fused; the shapes of the 3 ops behind are therefore open"
    assert nothing_known(net.layers()) == alone
    net = Net()
    net.conv(8, bias=True)
    net.add("unknown", source="x.Fused", shape=())
    net.add("unknown", source="Conv", missing="no fixed shape", shape=())
    source = net.source()
    found = analyze(source, lower(source))
    assert [(u.source, u.missing, u.behind) for u in found.unknown] == [
        ("x.Fused", "", False),
        ("Conv", "no fixed shape behind x.Fused", True),
    ]
    assert found.lacks.startswith("2 unknown ops (x.Fused, Conv): ")
    assert [row.unknown for row in found.units] == [0]


def test_prices_that_are_missing_are_said() -> None:
    net = Net()
    net.conv(8, bias=True)
    net.add("conv", shape=(8, 8, 8), kernel=(7, 1), params=448)
    source = net.source()
    found = analyze(source, lower(source), Pricer(lambda op: 1e-3, "a table"))
    assert found.lacks == "1 ops without a price: the latency lacks them"
    assert analyze(source, lower(source)).lacks == ""
