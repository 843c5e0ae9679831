"""The contract of every training-free score, and each against the slow route of its paper."""

import itertools
import math

import numpy as np
import pytest
import torch
from proxy_references import REFERENCES
from torch import nn
from torch.nn import functional

from evaluator.proxies import PROXIES, random_input, score, score_each
from evaluator.proxies.registry import proxy
from evaluator.proxies.zen import zen
from evaluator.proxies.zico import zico
from evaluator.rebuilt import accel_nasbench, nats_sss
from space.build import build
from space.shufflenet_v2 import ShuffleNetV2Space

COUNTS = {"params", "flops"}


def small_network(seed=0, activation=nn.ReLU):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        activation(),
        nn.Conv2d(12, 10, 3, stride=2, bias=False),
        nn.BatchNorm2d(10),
        activation(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(10, 5),
    )


class Functional(nn.Module):
    """The small network with its activations and its pooling as functions."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        first, norm, _, second, renorm, _, drop, _, _, linear = self.layers
        x = functional.relu(norm(first(x)), inplace=True)
        x = torch.relu(renorm(second(x)))
        return linear(drop(x).mean((2, 3)))


class Poison(nn.Module):
    """Hands on NaN."""

    def forward(self, x):
        return x * torch.nan


@pytest.fixture(params=list(PROXIES))
def each(request):
    return PROXIES[request.param]


@pytest.fixture(params=[name for name in PROXIES if name not in COUNTS])
def numeric(request):
    """Those that compute with the numbers in a network."""
    return PROXIES[request.param]


@pytest.fixture(params=[name for name in PROXIES if name not in COUNTS | {"zen"}])
def reading(request):
    """Those that read its weights."""
    return PROXIES[request.param]


@pytest.fixture(params=[name for name in PROXIES if name != "params"])
def looking(request):
    """Those that look at the input."""
    return PROXIES[request.param]


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Watching operations makes torch import much that it had put off."""
    score(small_network(), random_input(size=12, batch=4), names=["flops"])


def test_every_proxy_has_a_reference_and_a_source():
    assert set(REFERENCES) == set(PROXIES)
    assert all(p.paper and p.title for p in PROXIES.values())


class TestContract:
    """What every score keeps to."""

    def snapshot(self, module):
        return (
            {key: (value.data_ptr(), value.clone()) for key, value in module.state_dict().items()},
            [m.training for m in module.modules()],
            [
                (p.requires_grad, None if p.grad is None else p.grad.clone())
                for p in module.parameters()
            ],
            [dict(m._forward_hooks) | dict(m._forward_pre_hooks) for m in module.modules()],
        )

    def assert_same(self, before, after):
        for key, (pointer, value) in before[0].items():
            assert after[0][key][0] == pointer and torch.equal(after[0][key][1], value), key
        assert before[1] == after[1] and before[3] == after[3]
        for (asked, old), (asks, new) in zip(before[2], after[2], strict=True):
            assert asked == asks
            assert (old is None and new is None) or torch.equal(old, new)

    @pytest.mark.parametrize("training", [True, False])
    def test_module_comes_back_as_it_was(self, each, training):
        module = small_network().train(training)
        module[1].train(not training)
        module[0].weight.grad = torch.ones_like(module[0].weight)
        module[3].weight.requires_grad_(False)
        module[2].register_forward_hook(lambda m, i, o: None)
        before, x = self.snapshot(module), random_input(size=12, batch=4)
        given = x.clone()
        each.function(module, x)
        self.assert_same(before, self.snapshot(module))
        assert torch.equal(x, given) and not x.requires_grad and torch.is_grad_enabled()

    def test_module_comes_back_as_it_was_after_an_error(self, numeric):
        module = small_network()
        module[2] = Poison()
        before = self.snapshot(module)
        with pytest.raises(ValueError, match="of layer '2' holds NaN or infinity"):
            numeric.function(module, random_input(size=12, batch=4))
        self.assert_same(before, self.snapshot(module))

    def test_nan_in_a_weight_names_its_layer(self, reading):
        module = small_network()
        with torch.no_grad():
            module[3].weight[2] = torch.nan
        with pytest.raises(ValueError, match="of layer '3' holds NaN or infinity"):
            reading.function(module, random_input(size=12, batch=4))

    def test_same_seed_same_bytes_and_global_generator_untouched(self, each):
        module, x = small_network(), random_input(size=12, batch=4)
        state = torch.get_rng_state()
        scores = [each.function(module, x, seed=seed) for seed in (3, 3)]
        assert scores[0].hex() == scores[1].hex() and math.isfinite(scores[0])
        assert torch.equal(torch.get_rng_state(), state)

    def test_mode_gradients_and_no_grad_around_do_not_matter(self, each):
        module, x = small_network(), random_input(size=12, batch=4)
        expected = each.function(module.train(), x)
        with torch.no_grad():
            assert each.function(module.eval(), x) == expected
        assert each.function(module.requires_grad_(False), x.requires_grad_()) == expected

    def test_agrees_with_its_reference(self, each):
        x = random_input(size=32, batch=8, seed=2)
        for network in (
            small_network(4),
            small_network(5, nn.SiLU),
            nats_sss([8, 16, 24, 8, 16]),
        ):
            found = each.function(network, x, seed=5)
            expected = REFERENCES[each.name](network, x, seed=5)
            assert found == pytest.approx(expected, rel=2e-5)

    def test_functions_count_like_layers(self, each):
        module, x = small_network(), random_input(size=12, batch=4)
        assert each.function(Functional(module), x) == pytest.approx(each.function(module, x))

    def test_networks_of_the_space_and_in_float64(self, each):
        space = ShuffleNetV2Space(height=64, width=64, classes=10)
        arch = space.point((24, 48, 96), depths=(2, 2, 2))
        torch.manual_seed(0)
        module, x = build(space.lower(arch)), random_input(size=64, batch=4)
        found = each.function(module, x)
        if each.name in COUNTS:
            assert found == getattr(space.lower(arch), each.name)
        close = 0.2 if each.name == "zico" else 1e-3  # ZiCo divides by what nearly cancels
        assert each.function(module.double(), x.double()) == pytest.approx(found, rel=close)

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (torch.zeros(3, 4, 4), r"\[batch, channels, height, width\]; got \(3, 4, 4\)"),
            (torch.zeros(1, 3, 4, 4, dtype=torch.int64), "must be a float tensor"),
            ("picture", "must be a float tensor .* got str"),
            (torch.full((4, 3, 4, 4), torch.nan), "`x` must be finite"),
        ],
    )
    def test_bad_input_is_refused(self, looking, x, message):
        with pytest.raises(ValueError, match=message):
            looking.function(small_network(), x)


def test_score_is_each_function_by_name_and_score_each_goes_over_modules():
    modules, x = [small_network(seed) for seed in range(3)], random_input(size=12, batch=4)
    one = score(modules[1], x, seed=2)
    assert list(one) == list(PROXIES)
    assert one == {name: p.function(modules[1], x, seed=2) for name, p in PROXIES.items()}
    some = list(score_each(iter(modules), x, names=["zen", "params"], seed=2))
    assert some[1] == {"zen": one["zen"], "params": one["params"]} and len(some) == 3


@pytest.mark.parametrize("names", [["meco", "nasswot"], []])
def test_unknown_names_are_refused_with_the_known_ones(names):
    with pytest.raises(ValueError, match=r"must be one of meco, .*zico; got (nasswot|none)"):
        score(small_network(), random_input(size=12, batch=4), names=names)


def test_a_second_proxy_of_one_name_is_refused():
    with pytest.raises(ValueError, match="must be new; got 'zen' twice"):
        proxy("zen", "", "", logarithm=False)(zen)


def test_random_input_is_seeded_and_a_larger_batch_begins_alike():
    one, two = (random_input(size=5, batch=batch, seed=3) for batch in (2, 4))
    assert torch.equal(one, two[:2]) and not torch.equal(one[0], one[1])
    assert not torch.equal(one, random_input(size=5, batch=2, seed=4))


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
