"""Random networks of every family, and how the grid measures their blocks."""

import numpy as np
import pytest

from latency.builder.grid import (
    COPIES,
    MAX_BEFORE,
    Grid,
    block_in_context,
    network_targets,
    other_targets,
    space_targets,
)
from latency.builder.random_networks import SPACE, VARIANTS, bounds, random_networks
from latency.engines.null import block_s
from latency.table.family_fit import widths_of
from latency.table.interpolate import Interpolator, family_of
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.block import Block, BlockBatch
from space.zoo.catalog import shelf_networks
from space.zoo.families import mobilenet_v2, shufflenet_v1

SMALL = Grid("small", stem=4, first=5, rest=5, head=4, relaxed=3, variants=1)
SMALL_SPACE = ShuffleNetV2Space(height=64, width=64)


@pytest.mark.parametrize("family", [SPACE, *VARIANTS])
def test_networks_are_seeded_and_differ(family):
    one, two, other = (random_networks(family, 5, seed, SMALL_SPACE) for seed in (1, 1, 2))
    assert [n.blocks for n in one] == [n.blocks for n in two] != [n.blocks for n in other]
    assert len({n.blocks for n in one}) == 5
    assert all(network.input_shape == (3, 64, 64) for network in one)


@pytest.mark.parametrize("family", VARIANTS)
def test_random_networks_lie_between_the_bounds(family):
    """Block by block and width by width, so that a table that holds the bounds covers them."""
    low, high = bounds(family, SMALL_SPACE)
    for network in random_networks(family, 30, 3, SMALL_SPACE):
        blocks = zip(low.blocks, network.blocks, high.blocks, strict=True)
        for trio in blocks:
            a, b, c = (widths_of(BlockBatch.of(block))[0] for block in trio)
            assert (a <= b).all() and (b <= c).all()
            assert len({family_of(block) for block in trio}) == 1


def test_units_are_as_in_the_papers():
    """Kinds and sizes, block by block, as in the networks that the papers print."""

    def frame(network):
        return [(b.kind, b.height, b.out_shape[1]) for b in network.blocks]

    assert frame(random_networks("shufflenet_v1", 1, 0)[0]) == frame(shufflenet_v1("1.0"))
    assert frame(random_networks("mobilenet_v2", 1, 0)[0]) == frame(mobilenet_v2(1.0))


def test_an_unknown_family_lists_the_known():
    with pytest.raises(ValueError, match=r"of shufflenet_v2, shufflenet_v1, .*; got 'vgg'"):
        random_networks("vgg", 1, 0)
    with pytest.raises(ValueError, match="--relax needs --family shufflenet_v2"):
        random_networks("xception", 1, 0, relax=["g1"])


def test_blocks_of_networks_follow_their_neighbours():
    network = shufflenet_v1("1.0")
    targets = {target.block: target for target in network_targets([network, network])}
    assert set(targets) == set(network.blocks)
    assert targets[network.blocks[0]].before == ()
    assert targets[network.blocks[1]].before == network.blocks[:1]
    unit = network.blocks[2]
    assert targets[unit].before == (unit,) and targets[unit].copies == COPIES
    assert targets[network.blocks[-1]].before == network.blocks[-2:-1]
    head = mobilenet_v2(1.0).blocks[-1]
    before = {t.block: t.before for t in network_targets([mobilenet_v2(1.0)])}[head]
    assert len(before) == MAX_BEFORE


def test_a_heavy_block_has_fewer_copies():
    light, heavy = (
        Block("shufflenet_v2", 28, 28, c_in=c, c_out=c, branch=c // 2) for c in (64, 512)
    )
    assert light.flops < 60e6 < heavy.flops
    assert [block_in_context(block).copies for block in (light, heavy)] == [COPIES, 2]


def test_the_small_networks_of_the_paper_are_in_the_grid():
    blocks = {target.block for target in other_targets(SMALL, ShuffleNetV2Space())}
    assert set(shufflenet_v1("2.0").blocks) <= blocks
    assert set(mobilenet_v2(0.4, 160, 160).blocks) <= blocks
    assert not other_targets(Grid("none", stem=1, first=1, rest=1, head=1), ShuffleNetV2Space())


def test_networks_off_the_shelf_are_in_the_grid():
    """Those of up to 700M FLOPs, on the images of their published top-1 alone."""
    blocks = {target.block for target in other_targets(SMALL, ShuffleNetV2Space())}
    for name, network in shelf_only():
        assert (set(network.blocks) <= blocks) == (network.flops <= 700_000_000), name
    smaller = ShuffleNetV2Space(height=160, width=160)
    some = {target.block for target in other_targets(SMALL, smaller)}
    assert not {"lcnet", "uib", "mbconv"} & {block.kind for block in some}
    classes = {target.block for target in other_targets(SMALL, ShuffleNetV2Space(classes=10))}
    assert not {"lcnet", "uib", "mbconv"} & {block.kind for block in classes}


def test_a_head_of_two_layers_follows_a_part_of_its_network():
    (network,) = (net for name, net in shelf_only() if name == "PP-LCNet 1.0")
    before = {t.block: t.before for t in network_targets([network])}
    assert before[network.blocks[-1]] == network.blocks[-1 - MAX_BEFORE : -1]


def shelf_only():
    """(name, network) of each that the paper does not have."""
    known = shelf_networks().items()
    return [(name, entry.network()) for name, entry in known if not entry.of_paper]


@pytest.mark.slow
@pytest.mark.parametrize(
    "guideline, field, values",
    [
        ("g2", "groups", {1, 2, 4, 8}),
        ("g3", "fragments", {1, 2, 4}),
        ("g4", "residual", {0, 1}),
    ],
)
def test_relaxed_units_are_in_the_grid(guideline, field, values):
    space = ShuffleNetV2Space()
    plain = {t.block for t in space_targets(SMALL, space)}
    found = {t.block for t in space_targets(SMALL, space.relaxed([guideline]))}
    units = [b for b in found if b.kind == "shufflenet_v2"]
    assert plain <= found and {b[field] for b in units} == values
    assert len([b for b in found if b.kind != "shufflenet_v2"]) == len(
        [b for b in plain if b.kind != "shufflenet_v2"]
    )


@pytest.mark.slow
def test_bottlenecks_of_any_width_are_one_family():
    """`mid` is a width: g1's units are interpolated over it."""
    space = ShuffleNetV2Space().relaxed(["g1"])
    grid = Grid("g1", stem=4, first=60, rest=80, head=20, relaxed=30)
    known = {t.block: block_s(t.block) for t in space_targets(grid, space)}
    batch = space.segments(space.variants()[2])[4].batch
    rows = np.random.default_rng(0).choice(len(batch), 100, replace=False)
    found = Interpolator(known).predict(batch)[rows]
    exact = np.array([block_s(batch.block(int(row))) for row in rows])
    assert np.abs(found / exact - 1).mean() < 0.02
