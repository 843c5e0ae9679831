"""Audits of torchvision models and ONNX files, against torch's counts and our own lowering."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from latency.audit.analysis import Audit, analyze, audit_model
from latency.audit.factory import build_factory
from latency.audit.lowering import lower
from space.cost.guidelines import PAPER_LIMITS, Guidelines
from space.zoo.families import shufflenet_v2

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# What each breaks as a network.
MODELS = {
    "mobilenet_v3_large": {"g1", "g4"},
    "regnet_y_400mf": {"g2"},
    "efficientnet_b0": {"g1", "g4"},
    "resnext50_32x4d": {"g2"},
    "shufflenet_v2_x1_0": set(),
    "googlenet": {"g1", "g3"},
    "mobilenet_v2": {"g1", "g4"},
    "resnet50": {"g1"},
}


@cache
def audited(model: str) -> Audit:
    return audit_model(model)


def torch_counts(model: nn.Module) -> tuple[int, int]:
    """Multiply-adds by torch's counter, and the parameters of the modules that run."""
    ran: set[nn.Module] = set()
    hooks = [m.register_forward_hook(lambda m, *_: ran.add(m)) for m in model.modules()]  # type: ignore[misc]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    params = {p for m in ran for p in m.parameters(recurse=False)}
    return counter.get_total_flops() // 2, sum(p.numel() for p in params)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_counts_are_torchs(name: str) -> None:
    found = audited(f"torchvision.models:{name}")
    flops, params = torch_counts(build_factory(f"torchvision.models:{name}"))
    assert (found.network.numbers.flops, found.network.numbers.params) == (flops, params)
    assert found.unknown == ()
    assert found.rule == "modules"
    assert set(found.network.numbers.over) == MODELS[name]


@pytest.mark.slow
def test_shufflenet_as_we_lower_it() -> None:
    """torchvision's network and our own lowering of the paper's are the same ops."""
    network = shufflenet_v2("1.0")
    found = audited("torchvision.models:shufflenet_v2_x1_0")
    assert found.network.numbers.values == Guidelines.of(network.blocks)
    theirs = [str(row.op) for row in found.layers]
    assert sorted(theirs) == sorted(str(op) for block in network.blocks for op in block.ops)


@pytest.mark.slow
def test_where_guidelines_are_broken() -> None:
    inception = next(
        u for u in audited("torchvision.models:googlenet").units if u.name == "inception3a"
    )
    assert inception.numbers.over["g3"] == 2
    blocks = {u.name: u.numbers.over for u in audited("torchvision.models:resnext50_32x4d").units}
    assert all("g2" in blocks[f"layer1.{i}"] for i in range(3))
    assert "g2" not in blocks["fc"]
    units = {u.name: u.numbers for u in audited("torchvision.models:mobilenet_v2").units}
    assert {"g1", "g4"} <= set(units["features.2"].over)
    assert units["features.2"].total_excess == max(n.total_excess for n in units.values())


def test_caffe2s_resnet_is_torchvisions() -> None:
    """The ONNX package ships networks that Caffe2 exported."""
    found = audited(str(LIGHT / "light_resnet50.onnx"))
    n = found.network.numbers
    assert (n.flops, n.params, found.rule) == (4_089_184_256, 25_557_032, "graph")
    assert [(u.source, len(u.where)) for u in found.unknown] == [("Softmax", 1)]
    fragments = [int(u.numbers.values.g3) for u in found.units]
    assert fragments == [1, 1, 4, 3, 3, 4, 3, 3, 3, 4, 3, 3, 3, 3, 3, 4, 3, 3, 0, 0]


@pytest.mark.slow
def test_caffe2s_resnet_has_the_numbers_of_torchvisions() -> None:
    theirs = audited(str(LIGHT / "light_resnet50.onnx")).network.numbers
    ours = audited("torchvision.models:resnet50").network.numbers
    assert theirs == ours


@pytest.mark.parametrize(
    ("name", "broken", "unknown"),
    [
        ("light_inception_v1", {"g1", "g3"}, {"LRN": 2, "Softmax": 1}),
        ("light_shufflenet", {"g2", "g4"}, {"Softmax": 1}),
        ("light_vgg19", set(), {"Softmax": 1}),
        ("light_squeezenet", {"g1"}, {"Softmax": 1}),
    ],
)
def test_other_files_of_caffe2(name: str, broken: set[str], unknown: dict[str, int]) -> None:
    found = audited(str(LIGHT / f"{name}.onnx"))
    assert set(found.network.numbers.over) == broken
    assert {u.source: len(u.where) for u in found.unknown} == unknown


class Mixed(nn.Module):
    """A bit of everything: SE, hard swish, SiLU, ReLU6, shuffle, split, concat, pools."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.down = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.up = nn.Conv2d(8, 8, 1, groups=2)
        self.squeeze = nn.Conv2d(16, 4, 1)
        self.excite = nn.Conv2d(4, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.stem(x))
        x = nn.functional.silu(self.down(x)) + x
        a, b = x.chunk(2, dim=1)
        x = torch.cat((a, nn.functional.relu6(self.up(b))), dim=1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        gate = nn.functional.relu(self.squeeze(nn.functional.adaptive_avg_pool2d(x, 1)))
        x = x * nn.functional.hardsigmoid(self.excite(gate))
        return self.head(nn.functional.avg_pool2d(x, 2).mean((2, 3)))


def exported(model: nn.Module, path: Path, size: int) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (torch.zeros(1, 3, size, size),),
            str(path),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return path


def same_numbers(one: Audit, other: Audit) -> None:
    """Parameters aside: an exporter folds batch norms into biases."""
    a, b = one.network.numbers, other.network.numbers
    assert (a.values, a.g2_all, a.over, a.excess) == (b.values, b.g2_all, b.over, b.excess)
    assert (a.flops, a.traffic, a.elementwise) == (b.flops, b.traffic, b.elementwise)
    assert [r.numbers.over for r in one.rows] == [r.numbers.over for r in other.rows]


def of_module(model: nn.Module, size: int) -> Audit:
    from latency.audit.torch_reader import export, read_program

    source = read_program(export(model, (3, size, size)))
    return analyze(source, lower(source))


@pytest.mark.slow
def test_torch_and_onnx_agree(tmp_path: Path) -> None:
    model = Mixed()
    ours = of_module(model, 32)
    theirs = audited(str(exported(model, tmp_path / "mixed.onnx", 32)))
    same_numbers(ours, theirs)
    assert [layer.op.kind for layer in ours.layers if layer.op] == [
        layer.op.kind for layer in theirs.layers if layer.op
    ]
    assert [layer.act for layer in ours.layers] == [layer.act for layer in theirs.layers]
    assert ours.unknown == theirs.unknown == ()


@pytest.mark.slow
def test_torch_and_onnx_agree_on_mobilenet_v3(tmp_path: Path) -> None:
    model = torchvision.models.mobilenet_v3_small()
    ours = of_module(model, 64)
    theirs = audited(str(exported(model, tmp_path / "small.onnx", 64)))
    same_numbers(ours, theirs)
    assert [u.name for u in ours.units] == [u.name for u in theirs.units]


@pytest.mark.slow
def test_core_aten_programs_agree(tmp_path: Path) -> None:
    """A .pt2 file after decompositions: other operators, the same layers."""
    model = Mixed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(model.eval(), (torch.zeros(1, 3, 32, 32),))
        torch.export.save(program.run_decompositions(), tmp_path / "mixed.pt2")
    found = audited(str(tmp_path / "mixed.pt2"))
    same_numbers(of_module(model, 32), found)
    assert found.network.numbers.params == sum(p.numel() for p in model.parameters())


def test_limits_are_the_papers() -> None:
    kwargs: dict[str, Any] = {"g1": 1.05, "g2": 1.05, "g3": 5, "g4": 0.48}
    assert Guidelines(**kwargs) == PAPER_LIMITS
