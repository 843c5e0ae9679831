"""Audits of published networks against what runs in them, counted another way."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import sqrt
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from latency.audit.analysis import analyze
from latency.audit.lowering import lower
from latency.audit.torch_reader import export, read_program

TORCHVISION = (
    "mobilenet_v2", "squeezenet1_1", "densenet121", "regnet_x_400mf", "mnasnet0_5",
    "shufflenet_v2_x0_5", "efficientnet_b0",
)  # fmt: skip
TIMM = (
    "ghostnet_100", "tf_efficientnet_lite0", "hardcorenas_a", "tinynet_e", "rexnet_100",
    "selecsls42", "vovnet39a", "dla34", "resnest14d",
)  # fmt: skip
# Blocks counted by hand from the sources: Fire's two kernels side by side, a dense layer, the
# stride-2 unit of ShuffleNet, the two Ghost modules and the shortcut of a bottleneck.
G3 = {"squeezenet1_1": 2, "densenet121": 2, "shufflenet_v2_x0_5": 5, "ghostnet_100": 7}


@dataclass
class Sums:
    """Memory access of 1x1 convolutions (G1) and of convolutions with groups or without (G2)."""

    access: float = 0
    bound: float = 0
    of_all: float = 0
    ungrouped: float = 0

    def add(self, conv: nn.Conv2d, taken: torch.Size, given: torch.Size) -> None:
        if conv.groups == taken[1] > 1:  # depthwise
            return
        if tuple(taken[2:]) == (1, 1) == conv.kernel_size and conv.groups == 1:  # linear
            return
        inside, outside, weights = taken[1:].numel(), given[1:].numel(), conv.weight.numel()
        self.of_all += inside + outside + weights
        self.ungrouped += inside + outside / conv.groups + weights
        if conv.kernel_size == (1, 1):
            self.access += inside + outside + weights
            self.bound += 2 * sqrt(inside * outside) + weights


def check(model: nn.Module, g3: int | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = read_program(export(model, (3, 224, 224)))
    found = analyze(source, lower(source))
    ran: set[nn.Module] = set()
    sums = Sums()

    def hook(module: nn.Module, taken: Any, given: Any) -> None:
        ran.add(module)
        if isinstance(module, nn.Conv2d):
            sums.add(module, taken[0].shape, given.shape)

    for module in model.modules():
        module.register_forward_hook(hook)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, 224, 224))
    params = {p for module in ran for p in module.parameters(recurse=False)}
    n = found.network.numbers
    assert n.flops == counter.get_total_flops() // 2
    assert n.flops == sum(row.numbers.flops for row in found.units)
    assert n.params == sum(p.numel() for p in params)
    assert found.held_params == sum(p.numel() for p in set(model.parameters()))
    assert n.values.g1 == pytest.approx(sums.access / sums.bound)
    assert n.g2_all == pytest.approx(sums.of_all / sums.ungrouped)
    assert n.values.g3 == max(row.numbers.values.g3 for row in found.units)
    assert g3 in (None, n.values.g3)


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name: str) -> None:
    check(torchvision.models.get_model(name, weights=None).eval(), G3.get(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_timm(name: str) -> None:
    timm = pytest.importorskip("timm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = timm.create_model(name, pretrained=False).eval()
    check(model, G3.get(name))
