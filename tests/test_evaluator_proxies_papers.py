"""Each training-free score against the slow route of its paper."""

import itertools
import math

import numpy as np
import pytest
import torch
from modules import small_network
from proxy_references import REFERENCES
from torch import nn

from evaluator.proxies import PROXIES, random_input, score
from evaluator.proxies.zen import zen
from evaluator.proxies.zico import zico
from evaluator.rebuilt import accel_nasbench
from space.build import build
from space.shufflenet_v2 import ShuffleNetV2Space


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Watching operations makes torch import much that it had put off."""
    score(small_network(), random_input(size=12, batch=4), names=["flops"])


def test_naswot_by_counting_bits():
    """Codes, Hamming distances and the determinant by hand: a sum over permutations."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU6())
    x = random_input(size=2, batch=4, seed=1)
    weights = [p.detach().numpy().astype(float) for p in module.parameters()]
    codes = []
    for item in x.numpy().reshape(4, -1).astype(float):
        first = weights[0] @ item + weights[1]
        second = weights[2] @ np.maximum(first, 0) + weights[3]
        codes.append([int(v > 0) for v in [*first, *second]])
    kernel = [[16 - sum(a != b for a, b in zip(p, q, strict=True)) for q in codes] for p in codes]
    determinant = 0
    for order in itertools.permutations(range(4)):
        swaps = sum(a > b for a, b in itertools.combinations(order, 2))
        determinant += (-1) ** swaps * math.prod(kernel[i][j] for i, j in enumerate(order))
    found = PROXIES["naswot"].function(module, x)
    assert found == pytest.approx(math.log(determinant), rel=1e-9)


def test_naswot_refuses_what_it_cannot_tell_apart():
    function, x = PROXIES["naswot"].function, random_input(size=12, batch=1)
    with pytest.raises(ValueError, match="at least 2; got 1"):
        function(small_network(), x)
    with pytest.raises(ValueError, match="two items of `x` switch every activation alike"):
        function(small_network(), torch.cat([x, x]))
    with pytest.raises(ValueError, match="needs activations such as ReLU; none ran"):
        function(nn.Conv2d(3, 3, 1), torch.cat([x, x]))


def test_zico_of_a_linear_layer_by_its_closed_gradient():
    """Gradient of the cross entropy: mean over items of (softmax - one-hot) times the input."""
    torch.manual_seed(0)
    module, x = (
        nn.Sequential(nn.Flatten(), nn.Linear(3, 4, bias=False)),
        random_input(size=1, batch=6),
    )
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    weight = module[1].weight.detach().numpy().astype(float)
    gradients = []
    for part in (range(3), range(3, 6)):
        total = np.zeros_like(weight)
        for i in part:
            item = x[i].flatten().numpy().astype(float)
            exp = np.exp(weight @ item)
            for c in range(4):
                error = exp[c] / exp.sum() - (labels[i] == c).item()
                total[c] += error * item / 3
        gradients.append(total)
    ratio = 0.0
    for a, b in zip(gradients[0].ravel(), gradients[1].ravel(), strict=True):
        mean = (abs(a) + abs(b)) / 2
        deviation = math.sqrt(((abs(a) - mean) ** 2 + (abs(b) - mean) ** 2) / 2)
        ratio += mean / deviation
    assert zico(module, x, labels=labels) == pytest.approx(math.log(ratio), rel=1e-3)


def test_zico_of_three_batches_equals_its_reference_and_of_equal_batches_is_zero():
    module, x = small_network(), random_input(size=12, batch=6)
    expected = REFERENCES["zico"](module, x, batches=3)
    assert zico(module, x, batches=3) == pytest.approx(expected, rel=1e-5)
    labels = torch.tensor([1, 2, 3] * 2)
    assert zico(module, torch.cat([x[:3], x[:3]]), labels=labels) == 0.0


def test_zico_refuses_what_it_cannot_use():
    x = random_input(size=12, batch=4)
    with pytest.raises(ValueError, match=r"at least 2 items each; got 2 for 3 items"):
        zico(small_network(), x[:3])
    with pytest.raises(ValueError, match=r"`labels` must be \[4\]; got shape \(3,\)"):
        zico(small_network(), x, labels=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"must return \[batch, classes\] = \[2, classes\]"):
        zico(nn.Conv2d(3, 3, 1), x)
    with pytest.raises(ValueError, match="needs convolutions or linear layers"):
        zico(nn.Flatten(), x)


def test_synflow_sums_over_every_path():
    """Two linear layers: each layer's flow is the sum over paths of the product of |weights|."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False)
    )
    first, second = (p.detach().abs().double().numpy() for p in module.parameters())
    paths = sum(first[j, i] * second[k, j] for i in range(3) for j in range(4) for k in range(2))
    found = PROXIES["synflow"].function(module, random_input(size=1))
    assert found == pytest.approx(2 * paths, rel=1e-12)


def test_synflow_does_not_see_batch_norm_and_survives_great_depth():
    function, x = PROXIES["synflow"].function, random_input(size=4)
    module = small_network()
    before = function(module, random_input(size=12))
    with torch.no_grad():
        module[1].weight.mul_(7)
        module[1].running_mean.add_(3)
    assert function(module, random_input(size=12)) == before
    deep = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(100)))
    with torch.no_grad():
        for p in deep.parameters():
            p.fill_(1.0)
    assert 1e100 < function(deep, x) < math.inf
    with pytest.raises(ValueError, match="needs convolutions or linear layers"):
        function(nn.ReLU(), x)


def test_zen_of_one_convolution_by_slow_loops():
    """Without batch norm f is linear: the score is the log of how far alpha e is moved."""
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.zeros(2, 2, 4, 4)
    generator = torch.Generator().manual_seed(7)
    weight, _, step = (
        torch.randn(shape, generator=generator).numpy().astype(float)
        for shape in ((3, 2, 3, 3), x.shape, x.shape)
    )
    moved = 0.0
    for item, c, i, j in itertools.product(range(2), range(3), range(2), range(2)):
        moved += abs((step[item, :, i : i + 3, j : j + 3] * weight[c]).sum()) * 0.5
    found = zen(module, x, seed=7, draws=1, alpha=0.5)
    assert found == pytest.approx(math.log(moved / 2), rel=1e-5)


def test_zen_does_not_read_the_weights_and_averages_its_draws():
    x = random_input(size=12, batch=4)
    assert zen(small_network(0), x) == zen(small_network(1), x)
    assert zen(small_network(), x, draws=1) != zen(small_network(), x, draws=2)


def test_zen_is_blind_to_a_scale_that_batch_norm_takes_out():
    """Twice the input to the first batch norm: the features stay, its log variance grows."""

    class Doubled(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network[1:](2 * self.network[0](x))

    x = random_input(size=12, batch=4)
    plain, doubled = zen(small_network(), x), zen(Doubled(small_network()), x)
    assert doubled - plain == pytest.approx(math.log(2), abs=1e-3)


def test_zen_refuses_what_does_not_move():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), 3)

    with pytest.raises(ValueError, match="features must depend on the input"):
        zen(Constant(), random_input(size=4, batch=2))
    with pytest.raises(ValueError, match="`draws` must be >= 1"):
        zen(small_network(), random_input(size=4, batch=2), draws=0)


def test_flops_and_params_of_the_papers_network():
    """Table 5 of the paper, as counted by hand elsewhere in this project."""
    space = ShuffleNetV2Space()
    module = build(space.lower(space.point((116, 232, 464))))
    found = score(module, torch.zeros(1, 3, 224, 224), names=["params", "flops"])
    assert found == {"params": 2_278_604, "flops": 144_907_992}


def test_squeeze_and_excite_pools_before_the_last_pooling():
    """Zen's features are those before the classifier, not a gate's."""
    module = accel_nasbench(
        expansions=[1] * 7, kernels=[3] * 7, depths=[1] * 7, se=[1] * 7, classes=10
    )
    x = random_input(size=64, batch=2)
    assert zen(module, x, seed=1) == pytest.approx(REFERENCES["zen"](module, x, seed=1), rel=1e-5)
