"""Interpolation against an engine whose latencies are known everywhere."""

import re

import numpy as np
import pytest

from latency.builder.grid import FULL, space_targets, spread
from latency.engines.null import block_s
from latency.table import family_fit
from latency.table.family_fit import TRUST, alignment, widths_of
from latency.table.interpolate import Interpolator, by_family, family_of
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.errors import MissingOpError
from space.network.block import Block, BlockBatch
from space.zoo.catalog import known_networks

SPACE = ShuffleNetV2Space()


@pytest.fixture(scope="module")
def measured():
    return {t.block: block_s(t.block) for t in space_targets(FULL, SPACE)}


@pytest.fixture(scope="module")
def interpolator(measured):
    return Interpolator(measured)


def sampled(batch, n):
    rows = np.random.default_rng(0).choice(len(batch), min(n, len(batch)), replace=False)
    fields = {
        name: value if np.ndim(value) == 0 else value[rows] for name, value in batch.fields.items()
    }
    return BlockBatch(batch.kind, batch.height, batch.width, fields)


def test_measured_blocks_come_back_as_measured(measured, interpolator):
    for block in list(measured)[::37]:
        assert interpolator.predict(BlockBatch.of(block))[0] == measured[block]


@pytest.mark.parametrize("segment", range(8))
def test_every_block_of_the_space_cliffs_included(interpolator, segment):
    batch = sampled(SPACE.segments()[segment].batch, 300)
    found = interpolator.predict(batch)
    exact = np.array([block_s(batch.block(i)) for i in range(len(batch))])
    error = np.abs(found / exact - 1)
    assert error.mean() < 0.005 and error.max() < 0.05


def test_cliffs_survive():
    """A family with a step of 40 % for widths that 8 does not divide, on every second width."""

    def seconds(c):
        return 1e-6 * c * (1.0 if c % 8 == 0 else 1.4)

    known = (8, 12, 24, 28, 40, 44, 56, 60, 64)
    blocks = {Block("stem", 224, 224, c_out=c): seconds(c) for c in known}
    wide = np.array([16, 20, 32, 36, 48, 52])
    found = Interpolator(blocks).predict(BlockBatch("stem", 224, 224, {"c_out": wide}))
    np.testing.assert_allclose(found, [seconds(c) for c in wide], rtol=0.03)


def test_kernels_may_be_mixed_in_a_batch(interpolator):
    kernels = np.array([3, 7, 5, 3])
    widths = np.array([64, 64, 128, 128])
    fields = {"c_in": widths, "c_out": widths, "branch": widths // 2, "kernel": kernels}
    batch = BlockBatch("shufflenet_v2", 28, 28, fields)
    found = interpolator.predict(batch)
    each = [interpolator.predict(BlockBatch.of(batch.block(i)))[0] for i in range(4)]
    np.testing.assert_allclose(found, each, rtol=1e-12)


@pytest.mark.parametrize(
    "text, nearest",
    [
        ("shufflenet_v2@28x28 c_in=64 c_out=64 branch=32 groups=2", "c_in=64 c_out=64"),
        ("shufflenet_v2@28x28 c_in=260 c_out=260 branch=130", "shufflenet_v2@28x28"),
        ("shufflenet_v2@20x20 c_in=64 c_out=64 branch=32", "shufflenet_v2@"),
        ("shufflenet_v2@28x28 c_in=64 c_out=64 branch=8", "c_in=64 c_out=64"),
    ],
)
def test_outside_the_measured_is_an_error_that_names_neighbours(interpolator, text, nearest):
    block = Block.parse(text)
    pattern = re.escape(f"the table has no {block}; nearest known: ") + f".*{nearest}"
    with pytest.raises(MissingOpError, match=pattern):
        interpolator.predict(BlockBatch.of(block))


def test_one_missing_block_in_a_batch_fails_the_batch(interpolator):
    widths = np.array([64, 1000])
    fields = {"c_in": widths, "c_out": widths, "branch": widths // 2}
    with pytest.raises(MissingOpError, match="c_in=1000"):
        interpolator.predict(BlockBatch("shufflenet_v2", 28, 28, fields))


def test_unknown_kind_lists_the_known(interpolator):
    with pytest.raises(MissingOpError, match="knows blocks of kind head, shufflenet_v2, stem"):
        interpolator.predict(BlockBatch.of(Block("separable", 28, 28, c_in=8, c_out=8)))


def test_a_few_points_are_not_interpolated():
    blocks = {Block("stem", 224, 224, c_out=c): 1e-6 * c for c in (8, 16, 64)}
    few = Interpolator(blocks)
    assert few.predict(BlockBatch("stem", 224, 224, {"c_out": np.array([16])}))[0] == 1.6e-5
    with pytest.raises(MissingOpError, match="c_out=24"):
        few.predict(BlockBatch("stem", 224, 224, {"c_out": np.array([24])}))


def test_five_points_are_enough_where_widths_go_together():
    """Output in and out alike, time in proportion; four points are not, nor five in a plane."""

    def units(pairs):
        return {Block("separable", 28, 28, c_in=a, c_out=b): 1e-9 * a * b for a, b in pairs}

    def predict(known, c_in, c_out):
        fields = {"c_in": np.array([c_in]), "c_out": np.array([c_out])}
        return Interpolator(known).predict(BlockBatch("separable", 28, 28, fields))[0]

    line = [(c, c) for c in (8, 16, 24, 48, 64)]
    assert predict(units(line), 32, 32) == pytest.approx(1e-9 * 32 * 32, rel=0.05)
    for pairs in (line[1:], [*line[1:], (16, 48)]):
        with pytest.raises(MissingOpError, match="c_in=32"):
            predict(units(pairs), 32, 32)


def test_grid_covers_corners_and_alignments():
    batch = SPACE.segments()[3].batch  # first unit of stage 3
    for kernel in (3, 5, 7):
        rows = batch.column("kernel") == kernel
        widths = widths_of(batch)[rows]
        chosen = widths[spread(widths, 40)]
        corners = {tuple(w) for w in chosen[:, :2]}
        assert {(24, 48), (24, 512), (256, 48), (256, 512)} <= corners
        counts = np.bincount(alignment(chosen), minlength=3)
        assert counts.min() >= 10 and len({tuple(w) for w in chosen}) == 40


def cliff(c_out, branch):
    """Seconds of a made-up unit: three times as long where 4 does not divide its branch."""
    return 1e-8 * c_out * branch * (3.0 if branch % 4 else 1.0)


def packed(c_out, branch):
    """Seconds of a made-up unit whose engine packs 16 channels of its branch together, and moves
    them twice where they do not fill a pack."""
    pack = -(-branch // 16) * 16
    return 1e-9 * (pack * pack + 40 * branch * (1 + (branch % 16 > 0)))


def worst_error(cliff=cliff, run=4):
    """Greatest relative error between measured widths: `run` are measured, `run` are not, ..."""
    widths = np.arange(40, 264, 4)
    fields = {"c_in": widths, "c_out": widths, "branch": widths // 2}
    batch = BlockBatch("shufflenet_v2", 28, 28, fields)
    known = {
        batch.block(i): cliff(*pair)
        for i, pair in enumerate(_pairs(widths))
        if i % (2 * run) < run
    }
    inside = BlockBatch("shufflenet_v2", 28, 28, {name: v[:-4] for name, v in fields.items()})
    found = Interpolator(known).predict(inside)
    exact = np.array([cliff(*pair) for pair in _pairs(widths)])[:-4]
    return np.abs(found / exact - 1).max()


def _pairs(widths):
    return [(int(c), int(c) // 2) for c in widths]


def test_a_cliff_survives_only_where_alignments_are_kept_apart(monkeypatch):
    """The same widths smoothed over alignments are wrong by more than half the cliff."""
    assert worst_error() < 0.03
    monkeypatch.setattr(family_fit, "alignment", lambda sizes: np.zeros(len(sizes), int))
    assert worst_error() > 0.3


def test_packs_of_16_channels_are_known(monkeypatch):
    """As with AVX-512; packs of 8 only would smooth the steps between them away."""
    assert worst_error(packed, run=3) < 0.03
    monkeypatch.setattr(family_fit, "VECTORS", (8,))
    assert worst_error(packed, run=3) > 0.1


def noisy_line(noise):
    """A family of 40 blocks whose time grows with their width, of which one came out at half of
    its time, with a standard error of `noise`: (its measured time, its true time, the prediction
    for it, and for its neighbour that was not measured)."""
    known = {Block("stem", 224, 224, c_out=c): 1e-6 * c for c in range(8, 328, 8) if c != 168}
    lucky = Block("stem", 224, 224, c_out=160)
    seconds = known | {lucky: known[lucky] / 2}
    found = Interpolator(seconds, {lucky: noise})
    between = BlockBatch("stem", 224, 224, {"c_out": np.array([160, 168])})
    own, other = found.predict(between)
    return seconds[lucky], known[lucky], own, other


def test_a_lucky_measurement_is_shrunk_towards_its_family():
    """A search for the fastest network would find it first."""
    lucky, true, own, misled = noisy_line(0.0)
    assert own == lucky
    lucky, true, own, other = noisy_line(1.0)
    assert own == pytest.approx(true, rel=0.02)
    assert abs(other - 1.68e-4) < 0.5 * abs(misled - 1.68e-4)  # the unmeasured neighbour


def test_a_block_that_was_too_noisy_still_belongs_to_the_range():
    """Its family predicts it, and all blocks between it and the measured ones."""
    known = {Block("stem", 224, 224, c_out=c): 1e-6 * c for c in range(8, 136, 8)}
    edge = BlockBatch("stem", 224, 224, {"c_out": np.array([136, 144])})
    with pytest.raises(MissingOpError, match="c_out=136"):
        Interpolator(known).predict(edge)
    found = Interpolator(known, noisy=[Block("stem", 224, 224, c_out=144)]).predict(edge)
    assert found == pytest.approx([1.36e-4, 1.44e-4], rel=0.01)


def test_own_time_and_family_weigh_alike_with_equal_errors():
    lucky, true, own, _ = noisy_line(TRUST)
    assert np.sqrt(lucky * true) == pytest.approx(own, rel=0.1)


def test_stride_2_is_interpolated_over_both_of_its_widths():
    """A plane with an interaction and a cliff in each width; points of no measured row or column
    are predicted from the others."""

    def seconds(c_in, c_out):
        up = -(-c_in // 8) * 8
        return 1e-9 * (3000 + up * 40 + up * c_out + 20 * c_out) * (2.5 if c_out % 8 else 1)

    batch = SPACE.segments()[3].batch
    rows = np.flatnonzero(batch.column("kernel") == 3)
    c_in, c_out = batch.column("c_in")[rows], batch.column("c_out")[rows]
    exact = np.array([seconds(int(a), int(b)) for a, b in zip(c_in, c_out, strict=True)])
    chosen = spread(widths_of(batch)[rows], 96)
    known = {batch.block(int(rows[i])): exact[i] for i in chosen}
    some = np.random.default_rng(1).choice(len(rows), 300, replace=False)
    plain = {name: np.asarray(v)[rows][some] for name, v in batch.fields.items() if np.ndim(v)}
    fields = {**batch.fields, **plain}
    found = Interpolator(known).predict(BlockBatch("shufflenet_v2", 28, 28, fields))
    error = np.abs(found / exact[some] - 1)
    assert error.mean() < 0.01 and np.quantile(error, 0.95) < 0.04


def test_an_alignment_that_was_not_measured_is_an_error():
    blocks = {Block("stem", 224, 224, c_out=c): 1e-6 * c for c in range(8, 80, 4)}
    odd = BlockBatch("stem", 224, 224, {"c_out": np.array([30])})
    with pytest.raises(MissingOpError, match="c_out=30"):
        Interpolator(blocks).predict(odd)


def test_units_with_other_steps_are_other_families():
    """A bottleneck that widens has a projected shortcut; 3 groups need widths that 12 divides."""

    def unit(kind, c_in, c_out, **fields):
        return Block(kind, 28, 28, c_in=c_in, c_out=c_out, **fields)

    wide, same = unit("bottleneck", 64, 128, mid=32), unit("bottleneck", 128, 128, mid=32)
    even, uneven = unit("shufflenet_v1", 120, 120), unit("shufflenet_v1", 128, 128)
    assert family_of(wide) != family_of(same) and len(wide.steps) != len(same.steps)
    assert family_of(even) != family_of(uneven)
    known = {unit("bottleneck", c, 2 * c, mid=c // 2): 1e-6 * c for c in range(16, 128, 8)}
    known |= {unit("bottleneck", c, c, mid=c // 4): 2e-6 * c for c in range(32, 256, 16)}
    fields = {"c_in": np.array([64, 128]), "c_out": np.array([128, 128]), "mid": 32}
    found = Interpolator(known).predict(BlockBatch("bottleneck", 28, 28, fields))
    np.testing.assert_allclose(found, [64e-6, 256e-6], rtol=1e-12)


def structure(block):
    """What blocks of one family have in common: their ops but for sizes, and how these join."""
    return tuple((s.op.kind, s.inputs, s.op.act, s.op.norm, s.op.valid) for s in block.steps)


def test_blocks_of_a_family_have_the_same_steps():
    """Of every known network: a family is lowered as one batch."""
    blocks = {b for known in known_networks().values() for b in known.network().blocks}
    mixed = {}
    for family, members in by_family(blocks).items():
        if len({structure(block) for block in members}) > 1:
            mixed[family] = members
    assert mixed == {}
    assert len(by_family(blocks)) > 300


def test_a_family_as_a_batch_costs_what_its_blocks_do():
    blocks = {b for known in known_networks().values() for b in known.network().blocks}
    for members in by_family(blocks).values():
        kind, height, width = members[0].kind, members[0].height, members[0].width
        names = {name for block in members for name, _ in block.fields}
        fields = {name: np.array([block[name] for block in members]) for name in names}
        same = {name for name, values in fields.items() if len(set(values.tolist())) == 1}
        fields |= {name: int(fields[name][0]) for name in same}
        batch = BlockBatch(kind, height, width, fields)
        flops = np.broadcast_to(sum(step.op.flops for step in batch.steps), len(members))
        assert flops.tolist() == [block.flops for block in members]
