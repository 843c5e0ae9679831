"""FLOPs and parameters of networks of torchvision and timm, by torch's own counter, to the digit:
read as a module, from a file of torch's older ONNX exporter, and from one of the newer."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from latency.audit.analysis import Audit, analyze
from latency.audit.graph import Source
from latency.audit.lowering import lower
from latency.audit.onnx_reader import read_file
from latency.audit.torch_reader import export, read_program

# Names of torchvision and timm, and the height and width of the image.
TORCHVISION = {
    "squeezenet1_1": 64,
    "shufflenet_v2_x0_5": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "mnasnet0_5": 64,
    "resnet18": 32,
    "regnet_y_400mf": 32,
    "efficientnet_b0": 32,
    "DenseNet": 32,
    "googlenet": 64,
}
TIMM = {
    "lcnet_035": 32,
    "tinynet_e": 32,
    "ghostnet_050": 32,
    "mobilenetv3_small_050": 32,
    "mobilenetv4_conv_small": 32,
    "regnetx_002": 32,
    "repvgg_a0": 32,
    "mixnet_s": 32,
    "selecsls42": 32,
    "dla34": 32,
    "fbnetc_100": 32,
    "cspresnet50": 32,
    "tf_efficientnet_lite0": 32,
    "ese_vovnet19b_dw": 32,
    "fasternet_t0": 32,
}
NETWORKS = TORCHVISION | TIMM
OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "DenseNet": {"block_config": (2, 2, 2, 2)},
}
FAST = ("squeezenet1_1", "lcnet_035")


def build(name: str) -> Any:
    """The network with parameters that all differ: exporters store equal tensors once."""
    torch.manual_seed(0)
    if name in TIMM:
        timm = pytest.importorskip("timm", reason="the test extra has it")
        model = timm.create_model(name)
    else:
        import torchvision

        model = getattr(torchvision.models, name)(**OPTIONS.get(name, {}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.1, 0.1)
    return model.eval()


def by_torch(model: Any, size: int) -> tuple[int, int]:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() // 2, sum(p.numel() for p in model.parameters())


def read(source: Source) -> Audit:
    found = analyze(source, lower(source))
    assert found.unknown == ()
    assert found.held_params == found.network.numbers.params
    return found


def counts(source: Source) -> tuple[int, int]:
    numbers = read(source).network.numbers
    return numbers.flops, numbers.params


def quietly(work: Callable[[], object]) -> None:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        work()


def stored(path: Path) -> int:
    """The floats that a file stores for its nodes, without means and variances of batch norms
    and single numbers: what the newer exporter leaves of the parameters once it has folded batch
    norms into convolutions."""
    graph = onnx.load(str(path)).graph
    norms = [node for node in graph.node if node.op_type == "BatchNormalization"]
    left_out = {name for node in norms for name in node.input[3:5]}
    kept = [t for t in graph.initializer if t.data_type == 1 and t.name not in left_out]
    return sum(prod(t.dims) for t in kept if prod(t.dims) > 1)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FAST else pytest.mark.slow) for n in NETWORKS]
)
def test_counts_of_module_and_older_exporter(name: str, tmp_path: Path) -> None:
    """The older exporter as it is told to keep batch norms, and with any batch."""
    size, model = NETWORKS[name], build(name)
    expected = by_torch(model, size)
    assert counts(read_program(export(model, (3, size, size)))) == expected
    path, image = tmp_path / "net.onnx", torch.zeros(1, 3, size, size)
    options: dict[str, Any] = {"dynamo": False, "opset_version": 13, "input_names": ["x"]}
    options |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    options |= {"dynamic_axes": {"x": {0: "batch"}}}
    quietly(partial(torch.onnx.export, model, (image,), str(path), **options))
    assert counts(read_file(path, None)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_counts_of_newer_exporter(name: str, tmp_path: Path) -> None:
    size, model = NETWORKS[name], build(name)
    flops, params = by_torch(model, size)
    path, image = tmp_path / "net.onnx", torch.zeros(1, 3, size, size)
    options: dict[str, Any] = {"dynamo": True, "external_data": False, "verbose": False}
    quietly(partial(torch.onnx.export, model, (image,), str(path), **options))
    found = counts(read_file(path, None))
    assert found == (flops, stored(path))
    assert found[1] <= params


@pytest.mark.slow
@pytest.mark.parametrize("opset", [9, 11, 14, 17, 20])
def test_counts_of_opsets(opset: int, tmp_path: Path) -> None:
    """Sizes as the older exporter computes them, for a network that splits and shuffles and one
    that pads (the exporter cannot pad before opset 11); with batch norms folded."""
    for name in ("shufflenet_v2_x0_5", "tf_efficientnet_lite0")[: 2 if opset > 9 else 1]:
        model, size = build(name), NETWORKS[name]
        path, image = tmp_path / "net.onnx", torch.zeros(2, 3, size, size)
        options: dict[str, Any] = {"dynamo": False, "opset_version": opset, "input_names": ["x"]}
        if name.startswith("shuffle"):
            free = {0: "n", 2: "h", 3: "w"} if opset > 9 else {0: "n"}
            options |= {"dynamic_axes": {"x": free}}
        quietly(partial(torch.onnx.export, model, (image,), str(path), **options))
        found = counts(read_file(path, (3, size, size)))
        assert found == (by_torch(model, size)[0], stored(path))
