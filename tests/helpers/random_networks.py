"""Small random networks of torch, drawn by hypothesis: convolutions, batch norms, activations,
concatenations, splits, shuffles, additions, gates and tied layers, in modules that nest."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

ACTS = (nn.Identity, nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.Sigmoid)


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(x)
        return x + y


class Joined(nn.Module):
    """The outputs of two bodies on one input, concatenated."""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((self.one(x), self.other(x)), 1)


class Grown(nn.Module):
    """A map and what a body makes of it, concatenated, as in GhostNet."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x, self.body(x)), 1)


class Split(nn.Module):
    """Half of the channels through a body, then a shuffle, as in ShuffleNet v2."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, worked = x.chunk(2, 1)
        x = torch.cat((kept, self.body(worked)), 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Twice(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(self.body(x))
        return y


class Gated(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = functional.relu(self.down(functional.adaptive_avg_pool2d(x, 1)))
        return x * self.up(gate).sigmoid()


class Padded(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(functional.pad(x, (1, 1, 0, 2)))
        return y


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """A network of 3x16x16 images in eval mode whose parameters all differ."""
    torch.manual_seed(0)
    parts: list[nn.Module] = [nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU()]
    channels, size = 8, 16
    for _ in range(draw(st.integers(1, 3))):
        part, channels, size = draw(_parts(channels, size, 2))
        parts.append(part)
    parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)]
    network = nn.Sequential(*parts).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network


@st.composite
def _parts(draw: st.DrawFn, channels: int, size: int, depth: int) -> tuple[nn.Module, int, int]:
    """A module, the channels that it gives, and the size of its map."""
    kind = draw(st.sampled_from(_LEAVES + (_NESTS if depth else ())))
    if kind == "conv":
        c_out, groups = draw(st.sampled_from((8, 16))), draw(st.sampled_from((1, 1, 2, 8)))
        stride = draw(st.sampled_from((1, 1, 2))) if size > 4 else 1
        conv = _conv(draw, channels, c_out, stride, groups)
        return conv, c_out, (size - 1) // stride + 1
    if kind == "pool" and size > 4:
        pool = draw(st.sampled_from((nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.MaxPool2d(2))))
        return pool, channels, size // 2
    if kind == "tied":
        return Twice(_body(draw, channels, 0)), channels, size
    leaves: dict[str, Any] = {"norm": nn.BatchNorm2d, "gate": Gated, "pad": Padded}
    if kind in leaves:
        return leaves[kind](channels), channels, size
    if kind == "residual":
        return Residual(_body(draw, channels, depth)), channels, size
    if kind == "grown" and channels <= 32:
        return Grown(_body(draw, channels, depth)), 2 * channels, size
    if kind == "joined" and channels <= 32:
        one, other = _body(draw, channels, depth), _body(draw, channels, depth)
        return Joined(one, other), 2 * channels, size
    if kind == "split" and channels % 16 == 0:
        return Split(_body(draw, channels // 2, depth)), channels, size
    return nn.ReLU(), channels, size


_LEAVES: tuple[str, ...] = ("conv", "conv", "pool", "norm", "act", "tied", "gate", "pad")
_NESTS: tuple[str, ...] = ("residual", "grown", "joined", "split") * 2


def _conv(draw: st.DrawFn, c_in: int, c_out: int, stride: int, groups: int) -> nn.Module:
    kernel = draw(st.sampled_from((1, 3, 5)))
    bias, act = draw(st.booleans()), draw(st.sampled_from(ACTS))
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=bias)
    return nn.Sequential(conv, *([] if bias else [nn.BatchNorm2d(c_out)]), act())


def _body(draw: st.DrawFn, channels: int, depth: int) -> nn.Module:
    """A chain that keeps channels and size; a concatenation in it is projected back."""
    parts: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 2))):
        nest = draw(st.sampled_from(("conv", "conv", "grown", "residual"))) if depth else "conv"
        if nest == "grown":
            parts += [
                Grown(_body(draw, channels, depth - 1)),
                nn.Conv2d(2 * channels, channels, 1),
            ]
        elif nest == "residual":
            parts.append(Residual(_body(draw, channels, depth - 1)))
        else:
            parts.append(
                _conv(draw, channels, channels, 1, draw(st.sampled_from((1, 2, channels))))
            )
    return nn.Sequential(*parts)
