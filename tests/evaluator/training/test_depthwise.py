"""The quick depthwise convolution gives what torch's own gives."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from evaluator.training.depthwise import LARGEST_MAP, quickened, weight_gradient  # noqa: E402


def _conv(channels: int, kernel: int, stride: int, **more: object) -> nn.Conv2d:
    options = {"padding": kernel // 2, "groups": channels, "bias": False, **more}
    return nn.Conv2d(channels, channels, kernel, stride, **options)  # type: ignore[arg-type]


def _learned(part: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, and the gradients of input and weight for a loss that weighs every output."""
    x = x.clone().requires_grad_()
    y = part(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    (y * weights).sum().backward()
    (weight,) = part.parameters()
    found = [y.detach(), x.grad, weight.grad]
    part.zero_grad()
    return found


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [5, 7])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (4, 4), (1, 1), (7, 5), (2, 9)])
def test_output_and_gradients_are_those_of_torch(
    kernel: int, stride: int, height: int, width: int
) -> None:
    torch.manual_seed(0)
    own = nn.Sequential(_conv(6, kernel, stride)).double()
    x = torch.randn(3, 6, height, width, dtype=torch.float64)
    expected = _learned(own, x)
    quick = quickened(own)
    assert type(quick[0]) is not nn.Conv2d
    for ours, theirs in zip(_learned(quick, x), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_weight_gradient_is_the_sum_written_out() -> None:
    torch.manual_seed(0)
    x, gradient = torch.randn(2, 3, 5, 5).double(), torch.randn(2, 3, 3, 3).double()
    found = weight_gradient(x, gradient, 5, 2)
    padded = nn.functional.pad(x, (2, 2, 2, 2))
    for c in range(3):
        for a in range(5):
            for b in range(5):
                total = sum(
                    float(padded[n, c, 2 * i + a, 2 * j + b] * gradient[n, c, i, j])
                    for n in range(2)
                    for i in range(3)
                    for j in range(3)
                )
                assert float(found[c, 0, a, b]) == pytest.approx(total)


def test_weights_are_the_same_and_keep_their_names() -> None:
    whole = nn.Sequential(_conv(4, 5, 1), nn.BatchNorm2d(4))
    before = dict(whole.named_parameters())
    after = dict(quickened(whole).named_parameters())
    assert list(before) == list(after)
    assert all(before[name] is after[name] for name in before)


@pytest.mark.parametrize(
    "other",
    [
        _conv(4, 3, 1),
        _conv(4, 5, 1, groups=2),
        _conv(4, 5, 1, bias=True),
        _conv(4, 5, 1, padding=1),
        _conv(4, 5, 1, dilation=2),
        nn.Conv2d(4, 4, (5, 7), padding=(2, 3), groups=4, bias=False),
        nn.Conv2d(4, 8, 5, padding=2, groups=4, bias=False),
    ],
)
def test_other_convolutions_are_left_alone(other: nn.Conv2d) -> None:
    assert type(quickened(nn.Sequential(other))[0]) is nn.Conv2d


@pytest.mark.parametrize("side", [4, int(LARGEST_MAP**0.5) + 1])
def test_under_autocast_and_on_large_maps_torch_does_it(side: int) -> None:
    torch.manual_seed(0)
    own, x = nn.Sequential(_conv(4, 5, 1)), torch.randn(2, 4, side, side)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=side == 4):
        expected = _learned(own, x)
        found = _learned(quickened(own), x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
