"""The networks of the public tables as torch modules, so that a proxy can be run on them.

Both are rebuilt from their papers' descriptions and the tables' `params` and FLOPs columns, which
they meet exactly (tested); for Accel-NASBench, whose MACs also count batch-norm, only `params`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from evaluator.trained import ACCEL_STRIDES, ACCEL_WIDTHS, Trained


def network(table: Trained, row: int, *, seed: int = 0) -> nn.Module:
    """Row `row` of `table`, with torch's own initial weights from `seed`; global RNG untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if table.name == "nats-sss":
            return nats_sss(table.widths[row].tolist())
        return accel_nasbench(
            expansions=table.splits[row].tolist(),
            kernels=table.kernels[row].tolist(),
            depths=table.depths[row].tolist(),
            se=table.se[row].tolist(),
        )


def nats_sss(widths: Sequence[int], *, classes: int = 10) -> nn.Module:
    """A network of NATS-Bench's size space: cells at widths 1, 3, 5, residual blocks at 2, 4."""
    a, b, c, d, e = widths
    return nn.Sequential(
        nn.Conv2d(3, a, 3, padding=1, bias=False),
        nn.BatchNorm2d(a),
        Cell(a, a),
        Downsample(a, b),
        Cell(b, c),
        Downsample(c, d),
        Cell(d, e),
        nn.BatchNorm2d(e),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(e, classes),
    )


def _relu_conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(c_out),
    )


class Cell(nn.Module):
    """The size space's one genotype: four nodes, five 3x3 convolutions and a skip from 0 to 3."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.from_0_to_1 = _relu_conv(c_in, c_out)
        self.from_0_to_2 = _relu_conv(c_in, c_out)
        self.from_1_to_2 = _relu_conv(c_out, c_out)
        self.from_0_to_3 = nn.Identity() if c_in == c_out else _relu_conv(c_in, c_out, kernel=1)
        self.from_1_to_3 = _relu_conv(c_out, c_out)
        self.from_2_to_3 = _relu_conv(c_out, c_out)

    def forward(self, x: Tensor) -> Tensor:
        first = self.from_0_to_1(x)
        second = self.from_0_to_2(x) + self.from_1_to_2(first)
        return self.from_0_to_3(x) + self.from_1_to_3(first) + self.from_2_to_3(second)


class Downsample(nn.Module):
    """A basic residual block of stride 2, its shortcut pooled and projected."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_relu_conv(c_in, c_out, stride=2), _relu_conv(c_out, c_out))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


def accel_nasbench(
    *,
    expansions: Sequence[int],
    kernels: Sequence[int],
    depths: Sequence[int],
    se: Sequence[int],
    classes: int = 1000,
) -> nn.Module:
    """A network of Accel-NASBench's space: seven stages of inverted residuals."""
    layers = [_conv(3, 32, 3, stride=2)]
    c_in = 32
    for stage, (width, stride) in enumerate(zip(ACCEL_WIDTHS, ACCEL_STRIDES, strict=True)):
        for unit in range(depths[stage]):
            layers.append(
                InvertedResidual(
                    c_in,
                    width,
                    expansion=expansions[stage],
                    kernel=kernels[stage],
                    stride=stride if unit == 0 else 1,
                    se=bool(se[stage]),
                )
            )
            c_in = width
    layers += [_conv(c_in, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(1280, classes))


def _conv(
    c_in: int, c_out: int, kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Module:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.SiLU() if act else nn.Identity())


class InvertedResidual(nn.Module):
    """Expand, depthwise, squeeze-and-excite, project; the shortcut where the shapes agree."""

    def __init__(
        self, c_in: int, c_out: int, *, expansion: int, kernel: int, stride: int, se: bool
    ) -> None:
        super().__init__()
        hidden = c_in * expansion
        self.expand = _conv(c_in, hidden, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _conv(hidden, hidden, kernel, stride=stride, groups=hidden)
        self.excite = nn.Identity() if not se else SqueezeExcite(hidden, c_in // 4)
        self.project = _conv(hidden, c_out, 1, act=False)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.excite(self.depthwise(self.expand(x))))
        return x + y if self.residual else y


class SqueezeExcite(nn.Module):
    """Channel weights from the mean over pixels; linear layers, so no proxy sees 1x1 maps."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, squeezed),
            nn.SiLU(),
            nn.Linear(squeezed, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x)[:, :, None, None]
