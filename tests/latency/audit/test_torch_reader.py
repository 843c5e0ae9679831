"""What torch's modules do that a plain network does not: each counted, or listed as unknown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from latency.audit.analysis import Audit, analyze, audit_model
from latency.audit.lowering import lower
from latency.audit.torch_reader import export, read_program
from space.common.errors import AuditError

PIXELS = 32 * 32
CONV = 216 * PIXELS  # multiply-adds of conv(3, 8), kernel 3
Forward = Callable[..., object]


class Net(nn.Module):
    """A forward with the modules `a` and `b`."""

    def __init__(self, forward: Forward, a: nn.Module, b: nn.Module | None = None) -> None:
        super().__init__()
        self.run, self.a, self.b = forward, a, b

    def forward(self, x: torch.Tensor) -> object:
        return self.run(self, x)


def conv(c_in: int = 3, c_out: int = 8, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2)


def audited(model: nn.Module) -> Audit:
    source = read_program(export(model, (3, 32, 32)))
    return analyze(source, lower(source))


def hooked() -> nn.Module:
    model = conv()
    model.register_forward_hook(lambda module, taken, out: out.repeat(1, 1, 1, 1) * 2)
    return model


def product(s: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.mm(x.view(3 * 32, 32), s.a.weight.t())  # type: ignore[union-attr, operator]


KNOWN: dict[str, tuple[nn.Module, int]] = {
    "a dictionary": (Net(lambda s, x: {"out": s.a(x), "n": 3, "none": None}, conv()), CONV),
    "nested outputs": (Net(lambda s, x: (s.a(x), [s.b(x)]), conv(), conv()), 2 * CONV),
    "double": (conv().double(), CONV),
    "half": (nn.Sequential(conv(), nn.BatchNorm2d(8)).half(), CONV),
    "meta": (nn.Sequential(conv(), nn.BatchNorm2d(8), nn.ReLU()).to("meta"), CONV),
    "lazy": (nn.Sequential(nn.LazyConv2d(8, 3, padding=1), nn.LazyBatchNorm2d()), CONV),
    "training": (nn.Sequential(conv(), nn.BatchNorm2d(8), nn.Dropout()).train(), CONV),
    "no gradient": (Net(lambda s, x: torch.no_grad()(s.a)(x), conv()), CONV),
    "weight norm": (nn.utils.parametrizations.weight_norm(conv()), CONV),
    "parallel": (nn.DataParallel(conv()), CONV),
    "in place": (Net(lambda s, x: s.a(x).add_(1).relu_().mul_(2), conv()), CONV),
    "padding": (Net(lambda s, x: s.a(functional.pad(x, (1, 1, 1, 1))), nn.Conv2d(3, 8, 3)), CONV),
    "same padding": (nn.Conv2d(3, 8, 3, padding="same"), CONV),
    "a loop": (Net(lambda s, x: s.a(s.a(s.a(x))), conv(3, 3)), 3 * 81 * PIXELS),
    "a product": (Net(product, nn.Linear(32, 5)), 3 * 32 * 32 * 5),
    "simulated int8": (
        Net(lambda s, x: torch.fake_quantize_per_tensor_affine(s.a(x), 0.1, 0, 0, 255), conv()),
        CONV,
    ),
    "resized to its own size": (
        Net(lambda s, x: functional.interpolate(s.a(x), size=(32, 32)), conv()),
        CONV,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_counted(name: str) -> None:
    model, flops = KNOWN[name]
    found = audited(model)
    assert (found.network.numbers.flops, found.unknown, found.lacks) == (flops, (), "")


def branch(s: Net, x: torch.Tensor) -> object:
    return torch.cond(x.sum() > 0, lambda y: s.a(y), lambda y: s.b(y), (x,))  # type: ignore[misc]


def from_content(s: Net, x: torch.Tensor) -> object:
    """A constant map whose number is read from the image: no constant."""
    return s.a(torch.full((1, 3, 32, 32), x.sum().item()))


def reversed_product(s: Net, x: torch.Tensor) -> object:
    return torch.mm(s.a.weight, x.view(32, 96))  # type: ignore[arg-type]


UNKNOWN: dict[str, tuple[nn.Module, int, str]] = {
    "a branch": (Net(branch, conv(), conv()), 0, "cond"),
    "content": (Net(from_content, conv()), CONV, "aten.item.default"),
    "weights on the left": (
        Net(lambda s, x: (s.b(x), reversed_product(s, x)), nn.Linear(32, 5), conv()),
        CONV,
        "aten.mm.default",
    ),
    "transposed": (nn.Sequential(conv(), nn.ConvTranspose2d(8, 8, 2, 2)), CONV, "aten.conv_tr"),
    "batch statistics": (
        nn.Sequential(conv(), nn.BatchNorm2d(8, track_running_stats=False)),
        CONV,
        "aten.batch_norm.default",
    ),
    "circular padding": (
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"),
        CONV,
        "aten.pad.default",
    ),
    "padding that others read": (
        Net(lambda s, x: (lambda p: (s.a(p), p))(functional.pad(x, (1,) * 4)), nn.Conv2d(3, 8, 3)),
        CONV,
        "aten.pad.default",
    ),
    "part replaced": (
        Net(lambda s, x: torch.slice_scatter(s.a(x), s.b(x), 1, 0, 8), conv(), conv()),
        2 * CONV,
        "aten.slice_scatter.default",
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_listed(name: str) -> None:
    model, flops, op = UNKNOWN[name]
    source = read_program(export(model, (3, 32, 32)))
    found = analyze(source, lower(source))
    assert found.network.numbers.flops == flops
    assert any(kind.source.startswith(op) for kind in found.unknown)
    assert found.network.unknown == sum(len(kind.where) for kind in found.unknown)
    assert found.lacks.startswith(f"{found.network.unknown} unknown ops (")


def test_nothing_to_count() -> None:
    with pytest.raises(AuditError, match=r"torch\.nn:Identity runs no op on its input"):
        audit_model("torch.nn:Identity", (3, 8, 8))


def test_a_global_pooling_by_its_kernel() -> None:
    (pool,) = audited(nn.AvgPool2d(32)).layers
    assert pool.op is not None
    assert pool.op.kind == "globalpool"
