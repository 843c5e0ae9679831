"""The model of ops on a GPU, against a GPU whose times are a formula, and against whole runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from latency import show
from latency.builder.grid import COARSE, space_targets
from latency.table import op_times
from latency.table.accuracy import left_out_error
from latency.table.interpolate import Interpolator, by_family
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from latency.table.op_times import GpuRun, OpTimes
from latency.table.testing import TableContract
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.block import Block, BlockBatch
from space.network.network import Network
from space.zoo.families import shufflenet_v2

IMAGES, MULTIPROCESSORS = 8, 100
GPU = GpuRun(IMAGES, MULTIPROCESSORS)
SPACE = ShuffleNetV2Space()
SLOW = 194  # channels of the 1x1 convolutions for which this GPU's library has a bad kernel
SLOW_S = 15e-6


def conv_s(pixels: int, c_in: int, c_out: int) -> float:
    """A 1x1 convolution by hand: three launches, and waves of tiles of 128 pixels x 64 channels,
    each in steps of 32 input channels; 20 % more where tensor cores have to pad."""
    tiles = math.ceil(pixels / 128) * math.ceil(c_out / 64)
    time = 6e-6 + math.ceil(tiles / MULTIPROCESSORS) * math.ceil(c_in / 32) * 0.3e-6
    return 1.2 * time if c_in % 8 else time


def block_seconds(block: Block, slow: int = 0) -> float:
    """A unit of ShuffleNet v2 or a block at an end of the network, op by op."""
    total = 0.0
    for op in block.ops:
        pixels = IMAGES * op.out_height * op.out_width
        if op.kind == "conv" and op.kernel == 1:
            total += conv_s(pixels, op.c_in, op.c_out)
            total += SLOW_S * (slow > 0 and op.c_in == op.c_out == slow)
        elif op.kind in ("conv", "dwconv"):
            total += 4e-6 + 20e-12 * op.c_out * pixels
        elif op.kind == "concat":
            total += 4e-6 + 2e-12 * op.c_out * pixels
        elif op.kind != "slice":
            total += 2e-6 + 4e-12 * op.c_in * IMAGES * op.height * op.width
    return total


def measured(seconds: Callable[[Block], float] = block_seconds) -> dict[Block, float]:
    return {t.block: seconds(t.block) for t in space_targets(COARSE, SPACE)}


def errors(known: dict[Block, float], blocks: list[Block], gpu: GpuRun | None = GPU) -> np.ndarray:
    model = Interpolator(known, gpu=gpu)
    found = [float(model.predict(BlockBatch.of(block))[0]) for block in blocks]
    return np.abs(np.array(found) / [block_seconds(block) for block in blocks] - 1)


def left_out(known: dict[Block, float]) -> list[Block]:
    """Units of other widths than any measured one."""
    some = []
    for height in (28, 14, 7):
        for branch in (30, 44, 52, 60):
            wide = branch * 28 // height
            fields = {"c_in": 2 * wide, "c_out": 2 * wide, "branch": wide}
            some.append(Block("shufflenet_v2", height, height, **fields))
    return [b for b in some if b not in known]


def test_ops_of_a_known_formula_are_found() -> None:
    known = measured()
    unseen = left_out(known)
    assert len(unseen) >= 10
    own, families = errors(known, unseen), errors(known, unseen, gpu=None)
    assert own.mean() < 0.01 and own.max() < 0.05
    assert own.mean() < families.mean()


def test_measured_blocks_come_back() -> None:
    known = measured()
    np.testing.assert_allclose(errors(known, list(known)), 0.0, atol=1e-9)


def test_a_kernel_that_is_slow_for_one_size_is_no_rule() -> None:
    """Three blocks of one width are measured 30 us slower: neighbours stay as they were."""
    units = [
        Block("shufflenet_v2", 14, 14, c_in=312, c_out=312, branch=SLOW, kernel=kernel)
        for kernel in (3, 5, 7)
    ]
    known = {**measured(), **{unit: block_seconds(unit, SLOW) for unit in units}}
    near = [
        Block("shufflenet_v2", 14, 14, c_in=c, c_out=c, branch=c // 8 * 5, kernel=kernel)
        for c in (304, 320)
        for kernel in (3, 5, 7)
    ]
    assert errors(known, [b for b in near if b not in known]).max() < 0.05


def test_a_slow_op_is_slow_in_every_block_that_has_it() -> None:
    units = [
        Block("shufflenet_v2", 14, 14, c_in=312, c_out=312, branch=SLOW, kernel=kernel)
        for kernel in (3, 5, 7)
    ]
    known = {**measured(), **{unit: block_seconds(unit, SLOW) for unit in units[:2]}}
    known.pop(units[2], None)
    predicted = Interpolator(known, gpu=GPU).predict(BlockBatch.of(units[2]))[0]
    fast, slow = block_seconds(units[2]), block_seconds(units[2], SLOW)
    assert slow > 1.5 * fast
    assert predicted == pytest.approx(slow, rel=0.1)


def test_many_blocks_are_thinned_but_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    known = measured()
    monkeypatch.setattr(op_times, "MOST_BLOCKS", 150)
    model = OpTimes(list(by_family(known).values()), known, {}, GPU)
    assert 0 < next(iter(model.counts.values())).shape[0] <= 150 + len(by_family(known))
    assert errors(known, left_out(known)).mean() < 0.03
    np.testing.assert_allclose(errors(known, list(known)), 0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ({}, None),
        ({"cores": 4}, None),
        ({"accelerator": {"multiprocessors": 108}}, GpuRun(8, 108)),
        ({"accelerator": {}}, GpuRun(8, op_times.MULTIPROCESSORS)),
        ({"accelerator": "a GPU"}, GpuRun(8, op_times.MULTIPROCESSORS)),
        ({"accelerator": {"multiprocessors": "many"}}, GpuRun(8, op_times.MULTIPROCESSORS)),
        ({"accelerator": {"multiprocessors": 0}}, GpuRun(8, op_times.MULTIPROCESSORS)),
        ({"accelerator": {"multiprocessors": 10**400}}, GpuRun(8, op_times.MULTIPROCESSORS)),
    ],
)
def test_a_gpu_is_known_by_its_facts(host: dict, found: GpuRun | None) -> None:
    assert GpuRun.of(8, host) == found


@pytest.fixture(scope="module")
def h200() -> LatencyTable:
    table = load_table("h200-f16-b8")
    assert isinstance(table, LatencyTable)
    return table


class TestGpuTable(TableContract):
    networks: tuple[Network, ...] = (shufflenet_v2("0.5"), shufflenet_v2("1.0"))

    def table(self, factor: float = 1.0) -> LatencyTable:
        found = load_table("h200-f16-b8")
        assert isinstance(found, LatencyTable)
        header = replace(found.header, scale={"factor": factor, "how": "test"})
        return LatencyTable(header, found.entries)


def test_tables_of_processors_keep_their_own_model() -> None:
    for target in ("epyc-turin-ort", "rpi5"):
        table = load_table(target)
        assert isinstance(table, LatencyTable) and table.gpu is None


def test_whole_runs_of_the_gpu_are_predicted(h200: LatencyTable) -> None:
    """The drift reference ran with every job; ShuffleNet v2 1x took 0.69 ms in another run."""
    assert h200.gpu == GpuRun(8, 132)
    times = {"1.5": h200.header.noise["reference_s"], "1.0": 0.69e-3}
    for width, seconds in times.items():
        assert h200.network_s(shufflenet_v2(width).blocks) == pytest.approx(seconds, rel=0.06)


@pytest.mark.slow
def test_left_out_blocks_of_the_shipped_table(h200: LatencyTable) -> None:
    seconds = {block: m.median_s for block, m in h200.entries.items()}
    noise = {block: m.error for block, m in h200.entries.items()}
    by_ops = left_out_error(seconds, noise, h200.gpu)["kinds"]
    by_family = left_out_error(seconds, noise)["kinds"]
    for kind, most in {"shufflenet_v2 stride=1": 0.03, "shufflenet_v2 stride=2": 0.03}.items():
        assert by_ops[kind]["mean_abs_error"] < most < by_family[kind]["mean_abs_error"]
    assert by_ops["head"]["median_abs_error"] < by_family["head"]["median_abs_error"]


def test_latencies_of_a_gpu_are_shown_in_microseconds(capsys: pytest.CaptureFixture) -> None:
    assert show.main(["h200-f16-b8"]) == 0
    line = next(row for row in capsys.readouterr().out.splitlines() if row.startswith("head@7x7"))
    assert line.split()[-5:] == ["blocks,", "18.3", "to", "82.6", "us"]
    assert show.main(["rpi5"]) == 0
    line = next(row for row in capsys.readouterr().out.splitlines() if row.startswith("head@7x7"))
    assert line.endswith(" ms")
