from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import space.cost.lookup as space_costs
from space.architectures.search_space import Architecture, Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.guidelines import Guidelines
from space.cost.lookup import CostModel, Costs
from space.network.block import Block, BlockBatch
from space.zoo.families import SHUFFLENET_V2, shufflenet_v2

NAMES = ("flops", "params", "latency_s", "g1", "g2", "g3", "g4")
# Variants that open all axes at once; building the tables of one takes a while.
VARIANTS = [(1, 3, 4, 1, 1), (4, 2, 1, 1, 0)]


def slow(space: ShuffleNetV2Space, arch: Architecture) -> dict[str, float]:
    """The costs of one architecture, block by block."""
    network = space.lower(arch)
    numbers = Guidelines.of(network.blocks)
    return {
        "flops": sum(block.flops for block in network.blocks),
        "params": sum(block.params for block in network.blocks),
        "latency_s": 0.0,
        "g1": numbers.g1,
        "g2": numbers.g2,
        "g3": numbers.g3,
        "g4": numbers.g4,
    }


def genes_of(archs: list[Architecture]) -> Genes:
    return np.array([arch.genes for arch in archs], dtype=np.int16)


def draw(space: ShuffleNetV2Space, n: int, seed: int, variants: list | None = None) -> Genes:
    rng = np.random.default_rng(seed)
    genes = space.sample(n, rng)
    if variants:
        genes[:, space.variant_columns] = rng.choice(variants, size=n)
    return genes


def assert_equal(costs: Costs, space: ShuffleNetV2Space, genes: Genes) -> None:
    for index, row in enumerate(genes):
        expected = slow(space, space.architecture(row))
        got = costs.row(index)
        assert tuple(got) == NAMES
        for name in ("flops", "params", "g3"):
            assert got[name] == expected[name], f"{name} of row {index}"
        assert got == pytest.approx(expected, rel=1e-12), f"row {index}"


@pytest.fixture(scope="module")
def model(space: ShuffleNetV2Space) -> CostModel:
    return CostModel(space)


def test_the_papers_networks(space: ShuffleNetV2Space, model: CostModel) -> None:
    archs = [space.point(widths, head=head) for widths, head in SHUFFLENET_V2.values()]
    costs = model.costs(genes_of(archs))
    networks = [shufflenet_v2(size) for size in SHUFFLENET_V2]
    assert costs.flops.tolist() == [network.flops for network in networks]
    assert costs.params.tolist() == [network.params for network in networks]
    assert costs.flops[1] == 144_907_992
    assert costs.params[1] == 2_278_604
    assert costs.g3.tolist() == [5] * 4


def test_costs_equal_a_slow_loop(space: ShuffleNetV2Space, model: CostModel) -> None:
    genes = draw(space, 60, 0)
    assert_equal(model.costs(genes), space, genes)


def test_mixed_variants_equal_a_slow_loop(space: ShuffleNetV2Space, model: CostModel) -> None:
    genes = draw(space, 12, 9, [(0, 0, 0, 0, 0), VARIANTS[0]])
    assert len(np.unique(genes[:, space.variant_columns], axis=0)) == 2
    assert_equal(model.costs(genes), space, genes)


@pytest.mark.slow
def test_relaxed_costs_equal_a_slow_loop(space: ShuffleNetV2Space) -> None:
    genes = draw(space, 40, 1, [(0, 0, 0, 0, 0), *VARIANTS])
    assert_equal(CostModel(space).costs(genes), space, genes)


@pytest.mark.slow
def test_every_relaxed_choice_equals_a_slow_loop(space: ShuffleNetV2Space) -> None:
    base = space.point((116, 232, 464)).genes
    first = len(base) - len(VARIANTS[0])
    rows = []
    for column in range(first, len(base)):
        for gene in range(1, len(space.parameters[column].choices)):
            rows.append((*base[:column], gene, *base[column + 1 :]))
    genes = np.array(rows, dtype=np.int16)
    assert_equal(CostModel(space).costs(genes), space, genes)


@pytest.mark.slow
def test_other_input_and_classes_equal_a_slow_loop() -> None:
    space = ShuffleNetV2Space(height=225, width=161, classes=10)
    genes = draw(space, 20, 2, [(0, 0, 0, 0, 0), (0, 1, 0, 0, 0)])
    assert_equal(CostModel(space).costs(genes), space, genes)


def test_rows_do_not_depend_on_their_neighbours(
    space: ShuffleNetV2Space, model: CostModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of 7 and one of 16,384 give the same bytes, the last chunk included."""
    genes = draw(space, 24, 3)
    whole = model.costs(genes)
    monkeypatch.setattr(space_costs, "CHUNK", 7)
    chunked = model.costs(genes)
    singles = [model.costs(genes[index : index + 1]) for index in range(len(genes))]
    for name in NAMES:
        values = getattr(whole, name)
        assert getattr(chunked, name).tobytes() == values.tobytes()
        assert np.concatenate([getattr(s, name) for s in singles]).tobytes() == values.tobytes()


def test_more_rows_than_a_chunk(space: ShuffleNetV2Space, model: CostModel) -> None:
    n = space_costs.CHUNK + 3
    genes = draw(space, n, 4)
    costs = model.costs(genes)
    assert all(getattr(costs, name).shape == (n,) for name in NAMES)
    for index in (0, space_costs.CHUNK - 1, space_costs.CHUNK, n - 1):
        assert costs.row(index)["flops"] == slow(space, space.architecture(genes[index]))["flops"]


def test_no_rows(space: ShuffleNetV2Space, model: CostModel) -> None:
    costs = model.costs(space.sample(0, np.random.default_rng(0)))
    assert all(getattr(costs, name).shape == (0,) for name in NAMES)


def test_dtypes_of_genes_agree(space: ShuffleNetV2Space, model: CostModel) -> None:
    genes = draw(space, 10, 5)
    costs = model.costs(genes)
    for dtype in (np.int32, np.int64):
        assert model.costs(genes.astype(dtype)).flops.tolist() == costs.flops.tolist()
    strided = np.asfortranarray(genes)
    assert model.costs(strided).flops.tolist() == costs.flops.tolist()


def test_genes_are_left_alone(space: ShuffleNetV2Space, model: CostModel) -> None:
    genes = draw(space, 10, 6)
    before = genes.copy()
    model.costs(genes)
    assert (genes == before).all()


def fake_latency(batch: BlockBatch) -> np.ndarray:
    """Seconds that tell kind, size and widths apart and are exact sums in any order."""
    kind = {"stem": 1, "shufflenet_v2": 2, "head": 4}[batch.kind]
    return (kind * batch.column("c_in") + batch.column("c_out") * batch.height) / 1024


def fake_block_latency(block: Block) -> float:
    kind = {"stem": 1, "shufflenet_v2": 2, "head": 4}[block.kind]
    return (kind * block.c_in + block["c_out"] * block.height) / 1024


def test_latency_is_a_sum_over_blocks(space: ShuffleNetV2Space) -> None:
    genes = draw(space, 30, 7)
    costs = CostModel(space, fake_latency).costs(genes)
    for index, row in enumerate(genes):
        blocks = space.lower(space.architecture(row)).blocks
        assert costs.latency_s[index] == math.fsum(fake_block_latency(block) for block in blocks)


def test_latency_is_asked_once_per_segment(space: ShuffleNetV2Space) -> None:
    """Tables are built when their variant is first met and kept."""
    asked: list[str] = []

    def latency(batch: BlockBatch) -> np.ndarray:
        asked.append(batch.kind)
        return np.zeros(len(batch))

    model = CostModel(space, latency)
    assert asked == []
    for seed in (0, 1):
        model.costs(draw(space, 3, seed))
    assert asked == ["stem", *["shufflenet_v2"] * 6, "head"]


def test_errors_of_latency_are_not_swallowed(space: ShuffleNetV2Space) -> None:
    def latency(batch: BlockBatch) -> np.ndarray:
        raise LookupError(f"no {batch.kind}")

    with pytest.raises(LookupError, match="no stem"):
        CostModel(space, latency).costs(draw(space, 1, 0))


Sampler = Callable[[int, int], list[Architecture]]


def test_guidelines_of_closed_architectures(model: CostModel, samples: Sampler) -> None:
    """Without groups G2 is 1, no unit has more than 5 fragments, G1 is at least 1."""
    costs = model.costs(genes_of(samples(200, 8)[:200]))
    assert np.unique(costs.g2).tolist() == [1]
    assert np.unique(costs.g3).tolist() == [5]
    assert (costs.g1 >= 1).all()
    assert ((costs.g4 > 0) & (costs.g4 < 1)).all()
