"""The op cost model: counts of work against hand sums, and nothing a search could exploit."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latency.table.header import TableHeader
from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from latency.table.op_terms import KNOWN, TERMS, amounts
from latency.table.testing import TableContract
from space.common.errors import MissingOpError
from space.graph.op import KINDS, VIEWS, Op
from space.network.block import BlockBatch
from space.zoo.families import mobilenet_v2, shufflenet_v2

TARGETS = ("arm", "gpu")


@pytest.fixture(params=TARGETS, scope="module")
def model(request: pytest.FixtureRequest) -> OpCostModel:
    """The shipped model of each target."""
    found = load_table(request.param)
    assert isinstance(found, OpCostModel)
    return found


def an_op(kind: str, **fields: Any) -> Op:
    """An op of `kind` on 16 channels at 14x14, with `fields` on top."""
    base = {"c_in": 16, "c_out": 16, "height": 14, "width": 14}
    return Op(kind=kind, **{**base, **fields})


def test_the_shipped_tables_are_fits_to_published_numbers(model: OpCostModel) -> None:
    header = model.header
    assert (header.layout, header.source, header.schema) == ("ops", "published", 1)
    assert header.batch == {"arm": 1, "gpu": 8}[header.target]
    assert header.label.startswith("published: ")
    assert "Table 8" in header.extra["reference"]


def test_every_op_kind_is_covered() -> None:
    assert set(KNOWN) == set(KINDS)


def test_an_unknown_kind_is_refused_by_name(model: OpCostModel) -> None:
    op = an_op("relu")
    object.__setattr__(op, "kind", "softmax")
    with pytest.raises(MissingOpError, match=r"softmax; known: conv, dwconv"):
        model.op_s(op)


@pytest.mark.parametrize("kind", KINDS)
def test_costs_are_positive_but_for_views(model: OpCostModel, kind: str) -> None:
    cost = model.op_s(an_op(kind))
    assert cost == 0.0 if kind in VIEWS else 0.0 < cost < 1.0


def test_pointwise_arm_amounts_by_hand() -> None:
    # 58 -> 58 at 14x14: 60 lanes, 196 positions in 25 tiles of 8, maps of 2 * 58 * 196 floats.
    found = amounts("arm", an_op("conv", c_in=58, c_out=58))
    assert found["conv_flops"] == 200 * 58 * 60
    assert found["conv_out_bytes"] == 58 * 196 * 4
    assert found["dram_bytes"] == 58 * 58 * 4  # 90,944 bytes of maps: under a quarter of 2 MiB
    assert found["conv_flops_spill"] == 0.0
    assert found["conv_flops_weights"] == 0.0  # 13,456 bytes of weights fit 32 KiB
    assert found["strided_taps"] == 0.0


def test_arm_spills_by_hand() -> None:
    # 256 -> 256 at 56x56: maps of 6.4 MB exceed twice L2, 256 KiB of weights eight times L1.
    op = an_op("conv", c_in=256, c_out=256, height=56, width=56)
    found = amounts("arm", op)
    assert found["conv_flops_spill"] == found["conv_flops_weights"] == 3136 * 256 * 256
    assert found["dram_bytes"] == 4 * (2 * 256 * 3136 + 256 * 256)
    # 2 MiB of maps are two of the three doublings from 1/2 to 4 MiB.
    middle = amounts("arm", an_op("relu", c_in=256, c_out=256, height=32, width=32))
    assert middle["dram_bytes"] == pytest.approx(2 * 2**20 * 2 / 3)


def test_depthwise_arm_amounts_by_hand() -> None:
    one = amounts("arm", an_op("dwconv", kernel=5))
    assert (one["dwconv_flops"], one["strided_taps"]) == (16 * 25 * 196, 0)
    two = amounts("arm", an_op("dwconv", kernel=3, stride=2))
    assert (two["dwconv_flops"], two["strided_taps"]) == (0, 16 * 9 * 49)
    assert (one["dwconv_positions"], two["dwconv_positions"]) == (196, 49)


def test_gpu_amounts_by_hand() -> None:
    found = amounts("gpu", an_op("conv", c_in=24, c_out=32, groups=4), batch=8)
    assert found["launch_group"] == 3
    assert found["conv_flops"] == 8 * 192 * 32 * 196  # depth 6 costs as much as 192
    assert found["conv_bytes"] == 8 * 4 * (24 + 32) * 196
    assert found["weight_bytes"] == 4 * 24 * 32 // 4
    stem = amounts("gpu", an_op("conv", c_in=32, kernel=3))
    assert (stem["conv_flops"], stem["dense_flops"]) == (0, 288 * 16 * 196)


def test_arm_knows_batch_1_only() -> None:
    with pytest.raises(ValueError, match="batch 1 only"):
        amounts("arm", an_op("relu"), batch=2)


def test_an_unknown_formula_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of arm, gpu; got 'tpu'"):
        amounts("tpu", an_op("relu"))


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [7, 14, 56])
def test_more_outputs_never_cost_less(
    model: OpCostModel, groups: int, kernel: int, size: int
) -> None:
    c_out = np.arange(groups, 4096, groups)
    shape = {"height": size, "width": size, "kernel": kernel, "groups": groups}
    for c_in in (8, 24, 232, 1024):
        fields = {"c_in": np.full_like(c_out, c_in), "c_out": c_out}
        cost = np.asarray(model.op_s(an_op("conv", **fields, **shape)))
        assert (cost > 0).all() and np.isfinite(cost).all()
        assert (np.diff(cost) >= 0).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("conv", *VIEWS)])
def test_more_channels_never_cost_less(model: OpCostModel, kind: str) -> None:
    channels = np.arange(1, 4096)
    cost = np.broadcast_to(model.op_s(an_op(kind, c_in=channels, c_out=channels)), 4095)
    assert (np.diff(cost) >= 0).all() and np.isfinite(cost).all()
    assert cost[-1] > cost[0]


def test_more_classes_never_cost_less(model: OpCostModel) -> None:
    cost = np.asarray(model.op_s(an_op("linear", c_out=np.arange(1, 4096))))
    assert (np.diff(cost) > 0).all()


@pytest.mark.parametrize("stride", [1, 2])
def test_larger_kernels_never_cost_less(model: OpCostModel, stride: int) -> None:
    costs = [model.op_s(an_op("dwconv", kernel=k, stride=stride)) for k in (1, 3, 5, 7, 9)]
    assert all(a < b for a, b in pairwise(costs))


class TestArm(TableContract):
    target = "arm"
    networks = (shufflenet_v2("0.5"), mobilenet_v2(1.0))

    def table(self, factor: float = 1.0) -> OpCostModel:
        model = load_table(self.target)
        assert isinstance(model, OpCostModel)
        return replace(model, header=replace(model.header, scale={"factor": factor, "how": "x"}))


class TestGpu(TestArm):
    target = "gpu"


def test_a_batch_of_arrays_costs_what_its_blocks_cost(model: OpCostModel) -> None:
    rng = np.random.default_rng(0)
    width = rng.integers(6, 256, 50) * 4
    for stride in (1, 2):
        fields = {"c_in": width, "c_out": width, "branch": width // 2, "kernel": 5}
        batch = BlockBatch("shufflenet_v2", 28, 28, {**fields, "stride": stride})
        found = model.predict(batch)
        assert (found.dtype, found.shape) == (np.float64, (50,))
        slow = [model.block_s(batch.block(i)) for i in range(50)]
        assert found == pytest.approx(slow, rel=1e-12)


def test_a_network_costs_the_sum_of_its_ops(model: OpCostModel) -> None:
    network = shufflenet_v2("1.0")
    total = math.fsum(float(model.op_s(op)) for block in network.blocks for op in block.ops)
    assert model.network_s(network.blocks) == pytest.approx(total, rel=1e-12)


def test_rows_round_trip_bit_for_bit(model: OpCostModel, tmp_path: Path) -> None:
    odd = {name: value * math.pi for name, value in model.coefficients.items()}
    replace(model, coefficients=odd).save(tmp_path / "odd.json")
    found = load_table(tmp_path / "odd.json")
    assert isinstance(found, OpCostModel)
    assert found.coefficients == odd


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("op,1e-06,op\n", "", r"unknown: -, missing: \['op'\]"),
        ("op,1e-06,op\n", "op,1e-06,op\nop,1e-06,op\n", "line 3: op appears twice"),
        ("op,1e-06", "opp,1e-06", r"unknown: \['opp'\]"),
        ("op,1e-06", "op,x", "line 2: `coefficient_s` must be a number; got 'x'"),
        ("op,1e-06", "op,-1", "`op` must be a finite"),
        ("op,1e-06", "op,nan", "line 2: `coefficient_s` must be a number; got 'nan'"),
        ("op,1e-06", "op,1e999", "`op` must be a finite"),
        ("op,1e-06,op", "op", "line 2: must have 3 fields; got 1"),
        ("term,coefficient_s", "coefficient_s,term", "line 1: columns must be term,"),
    ],
)
def test_broken_rows_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    arm = load_table("arm")
    assert isinstance(arm, OpCostModel)
    replace(arm, coefficients={**arm.coefficients, "op": 1e-6}).save(tmp_path / "t.json")
    rows = tmp_path / "t.csv"
    assert old in rows.read_text()
    rows.write_text(rows.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"t\.csv, .*{message}"):
        load_table(tmp_path / "t.json")


@pytest.mark.parametrize("factor", [0.0, 1e-290, 1e9])
def test_a_network_must_take_time_but_not_forever(factor: float) -> None:
    arm = load_table("arm")
    assert isinstance(arm, OpCostModel)
    coefficients = {name: factor * value for name, value in arm.coefficients.items()}
    with pytest.raises(ValueError, match=r"must give ShuffleNet v2 0\.5x from 1e-06 to 10000 sec"):
        replace(arm, coefficients=coefficients)


def test_a_header_of_another_kind_is_refused(model: OpCostModel) -> None:
    blocks = replace(model.header, layout="blocks")
    with pytest.raises(ValueError, match="layout 'ops'; got 'blocks'"):
        OpCostModel(blocks, model.coefficients)
    nameless: TableHeader = replace(model.header, extra={})
    with pytest.raises(ValueError, match="must be one of arm, gpu; got ''"):
        OpCostModel(nameless, model.coefficients)


def test_terms_say_what_they_count() -> None:
    for terms in TERMS.values():
        assert all(0 <= t.lower < t.upper and t.unit and t.why for t in terms.values())
