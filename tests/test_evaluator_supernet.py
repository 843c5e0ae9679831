"""The supernet: which weights a network uses, which networks a step draws, and its labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluator.data_batches import seeded
from evaluator.recipe import SHORT
from evaluator.supernet_judge import Judge, recalibrated
from evaluator.supernet_sample import Sampler, parse_flops, parse_limits
from evaluator.supernet_train import SupernetTraining, small_network
from evaluator.supernet_weights import SharedWeights, layers
from space.build import build
from space.costs import CostModel
from space.network import Network
from space.shufflenet_v2 import KERNELS, SPLITS, ShuffleNetV2Space

LIMITS = "stem=8-16 width2=24-32 width3=48-64 width4=96-128 depth=2-4 head=256,384"
SPACE = ShuffleNetV2Space()
SIDE, CLASSES, DROP = 16, 3, 1


def sampler(**options: object) -> Sampler:
    return Sampler(space=SPACE, limits=parse_limits(SPACE, LIMITS), **options)  # type: ignore[arg-type]


def lowered(genes: object) -> Network:
    return small_network(SPACE, np.asarray(genes, dtype=np.int16), SIDE, CLASSES, DROP)


@pytest.fixture(scope="module")
def draws() -> Sampler:
    return sampler()


@pytest.fixture(scope="module")
def shared(draws: Sampler) -> SharedWeights:
    return SharedWeights(lowered(draws.corner(-1)), 3)


class Fixed:
    """Batches that are a function of the step, and can be told apart."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        generator = seeded(7, step)
        labels = torch.randint(0, CLASSES, (8,), generator=generator)
        x = torch.randn(8, 3, SIDE, SIDE, generator=generator)
        x[torch.arange(8), labels] += 2
        return x, labels

    def train(self, first: int, last: int) -> Iterator[tuple[Tensor, Tensor]]:
        return (self.batch(step) for step in range(first, last))

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (self.batch(step) for step in (100, 101))


def by_hand(
    shared: SharedWeights, network: Network, depths: list[int], most: list[int]
) -> dict[str, Tensor]:
    """The slices by counting: blocks by stage and unit, channels and kernels from the end."""
    mine = build(network).state_dict()
    theirs = shared.net.state_dict()
    place = {0: 0, len(network.blocks) - 1: len(shared.network.blocks) - 1}
    ours, there = 1, 1
    for depth, longest in zip(depths, most, strict=True):
        place |= {ours + unit: there + unit for unit in range(depth)}
        ours, there = ours + depth, there + longest
    found = {}
    for name, value in mine.items():
        _, block, rest = name.split(".", 2)
        whole = theirs[f"blocks.{place[int(block)]}.{rest}"]
        if value.ndim == 0 or "running" in name:
            found[name] = value
            continue
        part = whole
        for axis in range(value.ndim):
            small, large = value.shape[axis], whole.shape[axis]
            start = (large - small) // 2 if axis > 1 else large - small
            part = part.narrow(axis, start, small)
        found[name] = part.clone()
    return found


@pytest.mark.slow
def test_slices_are_the_built_module(draws: Sampler, shared: SharedWeights) -> None:
    """Every split and kernel and random others, in training and with the same statistics."""
    rows = list(draws.draw(5, np.random.default_rng(0)))
    for name, count in (("split", len(SPLITS)), ("kernel", len(KERNELS))):
        for choice in range(count):
            row = draws.draw(1, np.random.default_rng(choice))[0]
            for stage in (2, 3, 4):
                row[SPACE.position(f"{name}{stage}")] = choice
            rows.append(row)
    x = torch.randn(4, 3, SIDE, SIDE, generator=seeded(1))
    for row in rows:
        network = lowered(row)
        arch = SPACE.architecture(row)
        depths = [int(SPACE.value(arch, f"depth{s}")) for s in (2, 3, 4)]
        built = build(network)
        built.load_state_dict(by_hand(shared, network, depths, [4, 4, 4]))
        assert torch.equal(built.train()(x), shared(x, network))
        cut = shared.cut(network)
        for module in (built, cut):
            recalibrated(module, [Fixed().batch(s) for s in range(2)])
        assert torch.equal(built(x), cut(x))


def test_last_channels_line_up() -> None:
    """Branch channel i from the end reaches input 2 i from the end, at every width and split."""
    from space.build import shuffle

    for width in (24, 60, 128):
        for share in SPLITS:
            branch = round(width * share / 2) * 2
            source = torch.cat([torch.full((width - branch,), -1), torch.arange(branch).flip(0)])
            arrived = shuffle(source[None, :, None, None], 2).flatten().flip(0)
            for i in range(min(branch, width // 2)):
                assert arrived[2 * i] == i


def test_gradients_reach_the_slices_alone(draws: Sampler, shared: SharedWeights) -> None:
    network = lowered(draws.corner(0))
    shared.zero_grad()
    shared(Fixed().batch(0)[0], network).sum().backward()
    _, theirs, op = layers(network, shared.network)[0]
    grad = shared.net.get_submodule(f"{theirs}.conv").weight.grad
    assert grad is not None and op.c_out == 8 and len(grad) == 16
    assert not grad[:8].any() and grad[8:].any()
    unused = shared.net.blocks[3]  # the third unit of stage 2: the smallest has two
    assert all(p.grad is None for p in unused.parameters())


@pytest.mark.slow
def test_kernel_transform_begins_as_the_centre(draws: Sampler, shared: SharedWeights) -> None:
    learned = SharedWeights(shared.network, 3, transform=True)
    network, x = lowered(draws.corner(0)), Fixed().batch(0)[0]
    assert torch.equal(learned(x, network), shared(x, network))
    with torch.no_grad():
        for matrix in learned.transforms.values():
            matrix.mul_(2)  # twice: from 7 to 5 to 3
    state = learned.weights(network)
    name = next(n for n, v in state.items() if v.ndim == 4 and v.shape[1:] == (1, 3, 3))
    torch.testing.assert_close(state[name], 4 * shared.weights(network)[name])


def test_larger_network_is_refused(shared: SharedWeights) -> None:
    wide = lowered(SPACE.point((36, 64, 128), (2, 2, 2), stem=8, head=256).genes)
    with pytest.raises(ValueError, match="is no part of"):
        shared.weights(wide)
    deep = lowered(SPACE.point((32, 64, 128), (5, 2, 2), stem=8, head=256).genes)
    with pytest.raises(ValueError, match="has more units"):
        shared.weights(deep)


def test_recalibration_changes_statistics_and_no_weight(
    draws: Sampler, shared: SharedWeights
) -> None:
    before = {k: v.clone() for k, v in shared.state_dict().items()}
    judge = Judge(shared, Fixed(), Fixed(), calibration=2)
    one, other = lowered(draws.corner(0)), lowered(draws.corner(-1))
    first = judge.one(one)
    judge.one(other)
    assert judge.one(one) == first  # whatever was judged between
    assert all(torch.equal(v, before[k]) for k, v in shared.state_dict().items())
    module = shared.cut(one)
    weights = {k: v.clone() for k, v in module.named_parameters()}
    stem = module.blocks[0].get_submodule("0")
    batches = [Fixed().batch(s) for s in range(2)]
    recalibrated(module, batches)
    assert all(torch.equal(v, weights[k]) for k, v in module.named_parameters())
    with torch.no_grad():
        means = [stem.conv(x).mean((0, 2, 3)) for x, _ in batches]
    torch.testing.assert_close(stem.bn.running_mean, torch.stack(means).mean(0))
    assert stem.bn.momentum == 0.1


def test_sandwich_has_its_ends(draws: Sampler) -> None:
    genes = draws.step(90, 100)
    assert len(genes) == 4
    assert (genes[0] == draws.corner(-1)).all() and (genes[1] == draws.corner(0)).all()
    for slot, column in zip(SPACE.slots, genes.T, strict=True):
        assert set(column) <= set(draws.limits.get(slot.name, range(slot.open_choices)))
    assert (draws.step(90, 100) == genes).all() and (draws.step(91, 100) != genes).any()
    assert len(sampler(sampling="single").step(90, 100)) == 1


def test_it_begins_with_the_largest_and_widens(draws: Sampler) -> None:
    assert (draws.step(0, 100) == draws.corner(-1)).all() and len(draws.step(9, 100)) == 1
    model = CostModel(SPACE)
    least = [
        min(model.costs(draws.step(s + i, 1000)).flops.min() for i in range(20))
        for s in (110, 300, 480, 600)
    ]
    assert least == sorted(least, reverse=True) and least[0] > least[-1]


def test_fair_draws_flatten_flops() -> None:
    model = CostModel(SPACE)
    spread = {}
    for fair in (True, False):
        each = sampler(fair=fair)
        flops = model.costs(each.draw(2000, np.random.default_rng(0))).flops
        _, every, _ = each._pool  # type: ignore[attr-defined]
        counts, _ = np.histogram(flops, 10, (every.min(), every.max()))
        spread[fair] = counts / counts.sum()
    assert np.abs(spread[True] - 0.1).max() < 0.03
    assert spread[False].max() > 0.15 and spread[False].min() < 0.04


def test_budget_bounds_every_network() -> None:
    each = sampler(flops=parse_flops("6M-10M"), warm=0.0, widened=0.0)
    genes = np.concatenate([each.step(step, 100) for step in range(20)])
    flops = CostModel(SPACE).costs(genes).flops
    assert 6e6 <= flops.min() and flops.max() <= 10e6
    assert flops[0] > flops[1]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: parse_limits(SPACE, "width2"), "must be like"),
        (lambda: parse_limits(SPACE, "girth=3"), "slot must be one of"),
        (lambda: parse_limits(SPACE, "width2=1-3"), "has no choice in"),
        (lambda: parse_limits(SPACE, "kernel=4"), "must be one of"),
        (lambda: parse_limits(SPACE, "groups=8"), "is closed"),
        (lambda: parse_flops("many"), "must be like"),
        (lambda: parse_flops("9M-3M"), "must be like"),
        (lambda: sampler(flops=(1.0, 2.0)), "no network of"),
        (lambda: sampler(warm=0.6), "warm <= widened"),
        (lambda: sampler(sampling="all"), "sandwich or single"),
    ],
)
def test_bad_settings_say_so(make: object, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluator.supernet_sample.MOST_DRAWN", 50_000)
    with pytest.raises(ValueError, match=match):
        make()  # type: ignore[operator]


def training(draws: Sampler) -> SupernetTraining:
    recipe = SHORT.changed(input=SIDE, batch=8, epochs=3.0, drop=DROP)
    network = lowered(draws.corner(-1))
    return SupernetTraining(
        network, recipe, 32, Fixed(), Fixed(), sampler=draws, classes=CLASSES, transform=True
    )


@pytest.mark.slow
def test_state_goes_on_to_the_same_bits(draws: Sampler) -> None:
    whole, first, second = training(draws), training(draws), training(draws)
    list(whole.run())
    list(first.run(steps=5))
    second.load(first.state())
    list(second.run())
    ours, theirs = whole.shared.state_dict(), second.shared.state_dict()
    assert whole.step == second.step == 12
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert [e.test_accuracy for e in whole.history] == [e.test_accuracy for e in second.history]
    fresh = training(draws).shared.state_dict()
    assert any(not torch.equal(value, fresh[name]) for name, value in ours.items())
