"""What networks take and answer: from the table's header, or from options."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from latency.table.header import TableHeader
from latency.table.op_model import OpCostModel
from search.problem.baseline import baseline
from search.problem.budget import parse_budgets
from search.problem.problem import Problem
from search.problem.shape import (
    IMAGENET,
    NetworkShape,
    error_applies,
    shape_lines,
    shape_of,
    table_shape,
)
from search.problem.size import parse_size
from search.result.rows import other_rows, row_of
from space.network.network import Network
from space.network.torch_module import build_module
from space.zoo.catalog import published_network
from tests.helpers.hostile import examples

SMALL = NetworkShape(160, 128, channels=1, classes=10)
BLOCKS = TableHeader(layout="blocks", target="t", source="measured", device="d", engine="e",
                     date="2026-01-31", input="160x128", channels=1, classes=10)  # fmt: skip


def torchs_flops(network: Network) -> int:
    """Multiply-adds by torch's own counter, which counts two for each."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        build_module(network)(torch.zeros(1, *network.input_shape))
    return counter.get_total_flops() // 2


def test_a_table_says_what_its_networks_take() -> None:
    assert table_shape(BLOCKS) == SMALL
    assert table_shape(BLOCKS, size=(160, 128), channels=1, classes=10) == SMALL
    assert table_shape(replace(BLOCKS, input="", channels=3, classes=1000)) == IMAGENET


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": (128, 160)}, "--input must be 160x128, that of the table 't'; got 128x160"),
        ({"channels": 3}, "--channels must be 1, that of the table 't'; got 3"),
        ({"classes": 1000}, "--classes must be 10, that of the table 't'; got 1000"),
        ({"size": (31, 160)}, "from 32 to 4096 pixels; got 31x160"),
        ({"channels": 0}, "--channels must be from 1 to 1024; got 0"),
    ],
)
def test_options_against_the_table(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        table_shape(BLOCKS, **options)  # type: ignore[arg-type]


def test_the_message_builds_another_table() -> None:
    told = "python -m latency.build --input 96x96 --channels 1 --classes 10 --out PATH"
    with pytest.raises(ValueError, match=told):
        table_shape(BLOCKS, size=(96, 96))


def test_a_cost_model_prices_any(arm: OpCostModel) -> None:
    asked = table_shape(arm.header, size=(160, 128), channels=1, classes=10)
    assert asked == SMALL
    assert not error_applies(arm.header, asked)
    first, second = shape_lines(arm.header, asked)
    assert first.endswith("; that error is of networks of 224x224, 3 channels, 1000 classes")
    assert second == "networks: 160x128, 1 channel, 10 classes"
    assert len(shape_lines(arm.header, IMAGENET)) == 1
    assert error_applies(BLOCKS, SMALL)


@pytest.fixture(scope="module")
def small(arm: OpCostModel) -> Problem:
    return Problem(SMALL.space, arm, parse_budgets(["60M"]))


@pytest.mark.slow
def test_costs_are_those_of_the_networks(small: Problem, arm: OpCostModel) -> None:
    """FLOPs by torch's counter, parameters by its tensors, latency by a sum over blocks."""
    found = small.evaluate(small.space.sample(3, np.random.default_rng(0)))
    for index in range(3):
        row = row_of(small, found, index, "x", "y")
        assert row.network.input_shape == (1, 160, 128)
        assert row.flops == torchs_flops(row.network)
        module = build_module(row.network)
        assert row.params == sum(p.numel() for p in module.parameters())
        assert row.latency_s == pytest.approx(sum(arm.block_s(b) for b in row.network.blocks))


@pytest.mark.slow
def test_baseline_and_others_are_of_these_networks(small: Problem, arm: OpCostModel) -> None:
    base = baseline(small)
    assert base is not None
    row = row_of(small, base.found, 0, base.name, "baseline")
    assert (row.network.input_shape, row.flops) == ((1, 160, 128), torchs_flops(row.network))
    for other in other_rows(arm, row.flops, SMALL):
        assert other.network.input_shape == (1, 160, 128)
        assert other.network.blocks[-1].out_shape[0] == 10
        assert other.flops == torchs_flops(other.network)
        assert " at " not in other.name
        assert other.record(arm.header, SMALL)["latency_mean_abs_error"] is None


def test_the_identity_has_what_differs(small: Problem, arm: OpCostModel) -> None:
    assert small.identity["space"] == "shufflenet_v2 of 160x128, 1 channel, 10 classes"
    assert shape_of(small.space) == SMALL


def test_adapted_networks_leave_no_halving_out() -> None:
    network = published_network("MobileNet v2 0.4 160x160").network()
    assert (
        IMAGENET.adapted(network).blocks
        == published_network("MobileNet v2 0.4 160x160").network(224, 224).blocks
    )


@examples(200)
@given(st.one_of(st.text(max_size=20), st.from_regex(r"[0-9x]{0,12}"), st.just("9" * 200_000)))
def test_property_sizes(text: str) -> None:
    try:
        height, width = parse_size(text)
    except ValueError as error:
        assert len(str(error)) < 200
    else:
        assert f"{height}x{width}" == text
