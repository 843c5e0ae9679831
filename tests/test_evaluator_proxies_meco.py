"""MeCo against a slow computation in numpy, and what it may not leave behind."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from evaluator.proxies import random_input
from evaluator.proxies.meco import meco
from space.build import build
from space.shufflenet_v2 import ShuffleNetV2Space


def smallest_eigenvalue(maps):
    """lambda_min of the Pearson correlation of the rows of `maps`, [channels, pixels]."""
    return np.linalg.eigvalsh(np.corrcoef(maps))[0]


def small_network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3, stride=2, bias=False),
        nn.Dropout(0.5),
    )


def slow_convolution(x, weight, bias, stride, pad):
    """Loops over every output value. `x`: [c, h, w]."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    c_out, _, k, _ = weight.shape
    size = (x.shape[1] - k) // stride + 1
    out = np.zeros((c_out, size, size))
    for c, i, j in np.ndindex(*out.shape):
        window = x[:, i * stride : i * stride + k, j * stride : j * stride + k]
        out[c, i, j] = (window * weight[c]).sum() + bias[c]
    return out


def test_small_network_equals_slow_numpy():
    """Both layers have fewer than 8 channels, so nothing is drawn: MeCo itself."""
    network, x = small_network(), random_input(size=9, seed=3)
    weights = [p.detach().numpy().astype(float) for p in network.parameters()]
    first = slow_convolution(x[0].numpy().astype(float), weights[0], weights[1], 1, 1)
    mean, var = first.mean(axis=(1, 2), keepdims=True), first.var(axis=(1, 2), keepdims=True)
    normed = np.maximum((first - mean) / np.sqrt(var + network[1].eps), 0)
    second = slow_convolution(normed, weights[4], np.zeros(4), 2, 0)
    expected = sum(smallest_eigenvalue(maps.reshape(len(maps), -1)) for maps in (first, second))
    assert meco(network, x) == pytest.approx(expected, rel=1e-5)
    assert expected > 0.01


def test_wide_layer_averages_draws_of_eight_times_their_share():
    """24 independent channels: every draw is of the true maps, so the mean is near the mean of
    many draws made here by another generator."""
    network = nn.Sequential(nn.Conv2d(3, 24, 3, bias=False))
    x = random_input(size=16, seed=1)
    with torch.no_grad():
        maps = network(x)[0].flatten(1).double().numpy()
    rng = np.random.default_rng(0)
    each = [smallest_eigenvalue(maps[rng.permutation(24)[:8]]) * 24 / 8 for _ in range(500)]
    many = meco(network, x, draws=500)
    assert many == pytest.approx(np.mean(each), abs=5 * np.std(each) / np.sqrt(250))
    one = meco(network, x, draws=1)
    assert min(each) * 0.5 < one < max(each) * 2


def test_repeated_channel_scores_zero_and_constant_channel_too():
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    with torch.no_grad():
        network[0].weight[1] = network[0].weight[0]
    assert meco(network, random_input(size=8)) == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        network[0].weight[1] = 0
    assert meco(network, random_input(size=8)) == 0


def test_same_seed_same_score_and_global_generator_untouched():
    network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3))
    x = random_input(size=16)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    scores = [meco(network, x, seed=seed) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(random_input(size=4, seed=5), random_input(size=4, seed=5))


def test_only_the_first_item_counts():
    network, x = small_network(), random_input(size=9)
    other = torch.cat([x, random_input(size=9, seed=8)])
    assert meco(network, other) == meco(network, x)


@pytest.mark.parametrize("training", [True, False])
def test_module_comes_back_as_it_was(training):
    network = small_network().train(training)
    network[4].train(not training)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    meco(network, random_input(size=9))
    assert [m.training for m in network] == [training] * 4 + [not training]
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert not any(m._forward_hooks for m in network.modules())


def test_module_comes_back_as_it_was_after_an_error():
    network = small_network()
    with torch.no_grad():
        network[3].weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="output of layer '3' holds NaN or infinity"):
        meco(network, random_input(size=9))
    assert all(m.training for m in network.modules())
    assert network[1].num_batches_tracked == 0
    assert not any(m._forward_hooks for m in network.modules())


@pytest.mark.parametrize(
    ("module", "x", "message"),
    [
        (nn.Linear(3, 3), torch.zeros(1, 3, 4, 4), "module has no Conv2d"),
        (nn.Conv2d(3, 3, 1), torch.zeros(3, 4, 4), r"\[batch, channels, height, width\]; got"),
        (nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4, dtype=torch.int64), "must be a float"),
        (nn.Conv2d(3, 3, 1), "picture", "must be a float tensor .* got str"),
        (nn.Conv2d(3, 3, 1), torch.full((1, 3, 4, 4), torch.nan), "`x` must be finite"),
    ],
)
def test_bad_input_is_refused(module, x, message):
    with pytest.raises(ValueError, match=message):
        meco(module, x)


@pytest.mark.parametrize(("channels", "draws"), [(1, 8), (8, 0)])
def test_bad_options_are_refused(channels, draws):
    with pytest.raises(ValueError, match="`channels` must be >= 2 and `draws` >= 1"):
        meco(nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4), channels=channels, draws=draws)


def test_convolutions_that_never_run_are_refused():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return x

    with pytest.raises(ValueError, match="none of the module's ran"):
        meco(Unused(), torch.ones(1, 3, 4, 4))


@pytest.mark.slow
def test_torchvision_shufflenet_equals_slow_sum_over_its_layers():
    """All channels of every convolution, by numpy, on torchvision's own network."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    network = torchvision.models.shufflenet_v2_x0_5()
    x = random_input(size=64)
    maps = []
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    handles = [
        m.register_forward_hook(lambda m, i, o: maps.append(o[0].flatten(1).numpy().copy()))
        for m in convolutions
    ]
    network.train()
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    expected = 0.0
    for layer in maps:
        centred = layer.astype(float) - layer.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(centred, axis=1, keepdims=True)
        unit = centred / np.where(norm > 0, norm, 1)
        expected += max(np.linalg.eigvalsh(unit @ unit.T)[0], 0)
    assert len(maps) == len(convolutions) == 56
    assert meco(network, x, channels=1024, draws=1) == pytest.approx(expected, rel=1e-3)
    sampled = meco(network, x)
    assert sampled == meco(network, x) > expected


@pytest.mark.slow
def test_meco_has_no_best_depth_which_is_why_it_is_not_in_the_score():
    """At equal FLOPs it ranks 12 units per stage over 6 over 2, the deepest of the space first."""
    space = ShuffleNetV2Space()
    scores = []
    for depth, width in ((2, 156), (6, 108), (12, 84)):
        chosen = {"stem": 24, "head": 1024}
        for stage, times in ((2, 1), (3, 2), (4, 4)):
            names = (f"width{stage}", f"depth{stage}", f"split{stage}", f"kernel{stage}")
            chosen |= zip(names, (width * times, depth, Fraction(1, 2), 3), strict=True)
        genes = [s.choices.index(chosen[s.name]) if s.name in chosen else 0 for s in space.slots]
        network = space.lower(space.architecture(genes))
        assert network.flops == pytest.approx(143e6, rel=0.05)
        scores.append(meco(build(network), random_input()))
    assert scores[2] > 1.2 * scores[1] > 1.2**2 * scores[0] > 0
