"""One network has one audit: as a module, a .pt2 file, and an ONNX file of both exporters."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from latency.audit.analysis import Audit, analyze, audit_model
from latency.audit.lowering import lower
from latency.audit.torch_reader import export, read_program
from tests.helpers.hostile import examples
from tests.helpers.random_networks import Grown, networks

SIZE = 16


def of_module(model: nn.Module, size: int = SIZE) -> Audit:
    source = read_program(export(model, (3, size, size)))
    return analyze(source, lower(source))


def of_file(model: nn.Module, suffix: str, size: int = SIZE, **options: Any) -> Audit:
    """The audit of a .pt2 or an ONNX file of a network."""
    image = torch.zeros(1, 3, size, size)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = str(Path(folder) / f"net{suffix}")
        if suffix == ".pt2":
            torch.export.save(torch.export.export(model.eval(), (image,)), path)
        else:
            torch.onnx.export(model.eval(), (image,), path, verbose=False, **options)
        return audit_model(path)


def legacy(model: nn.Module) -> Audit:
    """That of an ONNX file that keeps its batch norms, and has no module paths."""
    mode = torch.onnx.TrainingMode.PRESERVE
    return of_file(model, ".onnx", dynamo=False, training=mode, do_constant_folding=False)


def dynamo(model: nn.Module) -> Audit:
    return of_file(model, ".onnx", dynamo=True, external_data=False)


def same(one: Audit, other: Audit, *, params: bool = True) -> None:
    a, b = one.network.numbers, other.network.numbers
    assert (one.unknown, other.unknown) == ((), ())
    assert (a.flops, a.traffic, a.elementwise) == (b.flops, b.traffic, b.elementwise)
    assert (a.values, a.g2_all) == (b.values, b.g2_all)
    if params:
        assert (a.params, one.held_params) == (b.params, other.held_params)


def check_counts(model: nn.Module, found: Audit) -> None:
    """Against torch's counter and the parameters, each once."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, SIZE, SIZE))
    assert found.network.numbers.flops == counter.get_total_flops() // 2
    params = sum(p.numel() for p in set(model.parameters()))
    assert (found.network.numbers.params, found.held_params) == (params, params)
    assert found.network.numbers.values.g3 == max(row.numbers.values.g3 for row in found.units)


@examples(4)
@given(networks())
def test_property_module_and_program_agree(model: nn.Module) -> None:
    found = of_module(model)
    check_counts(model, found)
    same(found, of_file(model, ".pt2"))


@examples(8)
@given(networks())
def test_property_module_and_legacy_export_agree(model: nn.Module) -> None:
    found = of_module(model)
    check_counts(model, found)
    same(found, legacy(model))


@pytest.mark.slow
@settings(examples(4), phases=(Phase.generate,))
@given(networks())
def test_property_module_and_dynamo_export_agree(model: nn.Module) -> None:
    """But for parameters: this exporter folds batch norms."""
    same(of_module(model), dynamo(model), params=False)


class Expand(nn.Module):
    """Two kernels on one map, concatenated, as in SqueezeNet."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.small = nn.Conv2d(c_in, c_out, 1)
        self.large = nn.Conv2d(c_in, c_out, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((self.small(x), self.large(x)), 1).relu()


class Fire(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.expand = Expand(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.expand(self.squeeze(x).relu())
        return y


class Ghost(nn.Module):
    """Two modules that concatenate, and a shortcut around both."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(8, 8, 1), Grown(nn.Conv2d(8, 8, 3, 1, 1, groups=8)))
        self.down = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.narrow = nn.Sequential(nn.Conv2d(16, 4, 1), Grown(nn.Conv2d(4, 4, 3, 1, 1, groups=4)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.narrow(self.down(self.wide(x)))
        return x + y


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.narrow(self.wide(x).relu())
        return y


def test_a_block_has_one_g3() -> None:
    """By hand: a chain leads one value on after each layer; Fire joins two; Ghost joins five."""
    expected = {Chain: 1, Fire: 2, Ghost: 5}
    for block, g3 in expected.items():
        model = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), block()).eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        found, file = of_module(model), legacy(model)
        assert [a.network.numbers.values.g3 for a in (found, file)] == [g3, g3], block
        assert (found.rule, file.rule) == ("modules", "graph")
        assert {row.name for row in found.units} >= {"0"}


def test_modules_that_share_a_region_are_one_unit() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), Ghost(), Ghost()).eval()
    found = of_module(model)
    assert [(row.name, row.numbers.values.g3) for row in found.units] == [
        ("0", 1),
        ("1", 5),
        ("2", 5),
    ]
    assert [len(row.layers) for row in found.units] == [1, 8, 8]


def test_tied_weights_count_once() -> None:
    """A module that stands twice, and two modules with one weight: by hand."""
    one, other = nn.Conv2d(3, 3, 3, 1, 1), nn.Conv2d(3, 3, 3, 1, 1, bias=False)
    other.weight = one.weight
    norm = nn.BatchNorm2d(3)
    model = nn.Sequential(one, norm, nn.ReLU(), one, norm, other).eval()
    for found in (of_module(model), of_file(model, ".pt2")):
        numbers = found.network.numbers
        assert numbers.flops == 3 * 81 * SIZE * SIZE
        assert (numbers.params, found.held_params) == (81 + 3 + 6, 81 + 3 + 6)


@pytest.mark.parametrize("batch", [4, "free"])
def test_a_program_of_many_images_counts_one(batch: int | str, tmp_path: Path) -> None:
    """Of a fixed batch and of one that is left open; positions in the first axis too."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.head(self.conv(x).permute(0, 2, 3, 1).reshape(-1, 8))
            return y

    model = Net().eval()
    dims = {0: torch.export.Dim.DYNAMIC} if batch == "free" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            model, (torch.zeros(4, 3, SIZE, SIZE),), dynamic_shapes={"x": dims}
        )
        torch.export.save(program, tmp_path / "net.pt2")
    found = audit_model(str(tmp_path / "net.pt2"))
    assert found.network.numbers.flops == (216 + 40) * (SIZE // 2) ** 2
    same(found, of_module(model))
