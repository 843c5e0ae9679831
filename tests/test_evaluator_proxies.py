"""The contract of every training-free score, and how they are called."""

import math

import pytest
import torch
from modules import small_network
from proxy_references import REFERENCES
from torch import nn
from torch.nn import functional

from evaluator.proxies import PROXIES, random_input, score, score_each
from evaluator.proxies.registry import proxy
from evaluator.proxies.zen import zen
from evaluator.rebuilt import nats_sss
from space.build import build
from space.shufflenet_v2 import ShuffleNetV2Space

COUNTS = {"params", "flops"}


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
