"""Whole networks off the shelf in each engine, against torch."""

from __future__ import annotations

import pytest

from latency.engines.registry import ENGINES, get_engine
from latency.engines.testing import difference, run_and_expected, run_outputs
from space.zoo.catalog import published_network

# One of each unit.
NETWORKS = (
    "MobileNetV3 small 0.75",
    "MobileNetV4-Conv-S",
    "PP-LCNet 0.35",
    "RepGhost 0.5x",
    "GhostNet 1.0x",
    "MobileOne-S0",
    "EfficientNet-B0",
    "RegNetY-200MF",
    "SqueezeNet 1.1",
    "ResNet-18",
    "ShuffleNet v2 1.0x released",
)
CASES = [
    (name, dtype)
    for name, spec in ENGINES.items()
    for dtype in spec.dtypes
    if name not in ("null", "torch-compile")
]


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("engine", "dtype"), CASES)
def test_outputs_agree_with_torch(engine: str, dtype: str, network: str) -> None:
    try:
        opened = get_engine(engine, threads=1, dtype=dtype)
    except (ImportError, OSError) as error:
        pytest.skip(str(error))
    blocks = published_network(network).network(64, 96).blocks
    run, expected = run_and_expected(opened, blocks)
    assert difference(run_outputs(run), expected, dtype) == ""
