"""The training loop: one step by hand, averaged weights by a loop, the state, and divergence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from evaluator.training.loop import Training
from evaluator.training.recipes.recipe import SHORT, Recipe
from evaluator.training.source import read_network
from space.common.errors import DivergedError
from space.network.network import Network
from space.network.resize import on_input
from space.network.torch_module import build_module
from tests.helpers.batches import FixedBatches
from tests.helpers.images import TINY

RECIPE = SHORT.changed(input=16, batch=8, epochs=2.0, clip=0.0)
IMAGES = 32


@pytest.fixture(scope="module")
def network() -> Network:
    return on_input(read_network(TINY), 16, 16, classes=3)


def training(network: Network, recipe: Recipe = RECIPE, **options: Any) -> Training:
    return Training(network, recipe, IMAGES, FixedBatches(), FixedBatches(), **options)


def run(each: Training, steps: int | None = None) -> Training:
    for _ in each.run(steps=steps):
        pass
    return each


def weights(each: Training) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in each.module.state_dict().items()}


@pytest.mark.parametrize("nesterov", [False, True])
def test_two_steps_by_hand(network: Network, nesterov: bool) -> None:
    """SGD with momentum as Sutskever writes it, weight decay on weights alone, rising rate."""
    used = RECIPE.changed(nesterov=nesterov, warmup=0.5, label_smoothing=0.1)
    each = run(training(network, used, seed=4), steps=2)
    module = build_module(network, 4).train()
    velocity = [torch.zeros_like(p) for p in module.parameters()]
    for step in range(2):
        x, labels = FixedBatches().batch(step)
        log = functional.log_softmax(module(x), 1)
        target = functional.one_hot(labels, 3) * 0.9 + 0.1 / 3
        module.zero_grad()
        (-(target * log).sum(1).mean()).backward()
        rate = used.lr * (step + 1) / 4  # 8 steps in all, 4 of them rising
        with torch.no_grad():
            for p, v in zip(module.parameters(), velocity, strict=True):
                assert p.grad is not None
                slope = p.grad + (used.weight_decay * p if p.ndim > 1 else 0)
                v.mul_(0.9).add_(slope)
                p -= rate * (slope + 0.9 * v if nesterov else v)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(each.module.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_clipped_by_hand(network: Network) -> None:
    """One step is the step of the whole gradient scaled down to the largest norm."""
    free, held = (run(training(network, RECIPE.changed(clip=c)), steps=1) for c in (0.0, 0.01))
    start = build_module(network, 0)
    moves = [
        torch.cat([(p - q).flatten() for p, q in _others(each.module, start)])
        for each in (free, held)
    ]
    x, labels = FixedBatches().batch(0)
    module = build_module(network, 0).train()
    functional.cross_entropy(module(x), labels).backward()
    norm = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]).norm()
    torch.testing.assert_close(moves[0] * 0.01 / norm, moves[1], rtol=1e-2, atol=1e-7)


def _others(a: torch.nn.Module, b: torch.nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Parameters without weight decay, in pairs."""
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        if p.ndim <= 1:
            yield p.detach(), q.detach()


def test_decay_of_norms(network: Network) -> None:
    each = training(network, RECIPE.changed(decay_norm=True))
    assert [group["weight_decay"] for group in each.optimizer.param_groups] == [5e-4, 5e-4]


def test_epochs(network: Network) -> None:
    each = run(training(network))
    assert [(e.epoch, e.step) for e in each.history] == [(1, 4), (2, 8)]
    assert each.history[-1].lr == pytest.approx(RECIPE.lr / (8 - round(0.2 * 8)))
    logits, labels = [], []
    each.module.eval()
    with torch.no_grad():
        for x, y in FixedBatches().test():
            logits.append(each.module(x))
            labels.append(y)
    both, truth = torch.cat(logits), torch.cat(labels)
    right = sum(int(row.argmax()) == int(y) for row, y in zip(both, truth, strict=True))
    assert each.history[-1].test_accuracy == pytest.approx(100 * right / 16)
    expected = float(functional.cross_entropy(both, truth))
    assert each.history[-1].test_loss == pytest.approx(expected, rel=1e-5)


def test_part_of_an_epoch_is_evaluated_at_the_end(network: Network) -> None:
    each = run(training(network, RECIPE.changed(epochs=1.5)))
    assert [(e.epoch, e.step) for e in each.history] == [(1, 4), (2, 6)]


def test_averaged_weights_by_a_loop(network: Network) -> None:
    used = RECIPE.changed(ema=0.6)
    each = training(network, used)
    expected = weights(each)
    for step in each.run():
        decay = min(0.6, step / (9 + step))
        for name, value in each.module.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
            else:
                expected[name] = value.clone()
    for name, value in each.weights().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    plain = run(training(network))
    assert not torch.equal(
        each.weights()["blocks.0.0.conv.weight"], plain.weights()["blocks.0.0.conv.weight"]
    )
    # evaluated with the averaged weights, trained with the others
    assert all(torch.equal(a, b) for a, b in zip(*map(_values, (each, plain)), strict=True))
    assert each.history[-1].test_loss != plain.history[-1].test_loss


def _values(each: Training) -> list[Tensor]:
    return list(each.module.state_dict().values())


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("stop", [1, 4, 6])
def test_state_goes_on_to_the_same_bits(network: Network, ema: float, stop: int) -> None:
    used = RECIPE.changed(ema=ema)
    whole = run(training(network, used))
    first = run(training(network, used), steps=stop)
    second = training(network, used, seed=99)  # its own weights are replaced
    second.load(first.state())
    run(second)
    for a, b in zip(_values(whole), _values(second), strict=True):
        assert torch.equal(a, b)
    for name, value in whole.best.items():
        assert torch.equal(value, second.best[name])
    facts = [[(e.step, e.train_loss, e.test_loss) for e in t.history] for t in (whole, second)]
    assert facts[0] == facts[1]


def test_seed_decides(network: Network) -> None:
    runs = [run(training(network, seed=seed), steps=2) for seed in (0, 0, 1)]
    a, b, c = (weights(each)["blocks.0.0.conv.weight"] for each in runs)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_half_precision(network: Network) -> None:
    """bfloat16 has 8 bits: the loss of the first step is near, and not the same."""
    half, plain = (run(training(network, amp=amp), steps=1) for amp in (True, False))
    assert half.losses[0] == pytest.approx(plain.losses[0], rel=0.02)
    assert half.losses[0] != plain.losses[0]
    assert all(v.dtype != torch.bfloat16 for v in _values(half))


def test_divergence(network: Network) -> None:
    each = Training(network, RECIPE, IMAGES, FixedBatches(float("nan")), FixedBatches())
    with pytest.raises(DivergedError, match=r"the loss is nan at step 1 of 8, .*: lower --lr"):
        run(each)
    assert each.step == 0
    with torch.no_grad():
        next(each.module.parameters())[0] = float("inf")
    assert not each.finite()
    assert training(network).finite()
