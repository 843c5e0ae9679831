"""Every engine keeps the contract; and what the null one adds."""

import sys

import numpy as np
import onnx
import pytest
import torch

from latency.engines.null import RUN_S, block_s
from latency.engines.registry import ENGINES, EngineSpec, get_engine
from latency.engines.testing import EXAMPLES, EngineContract
from latency.engines.torch.chain import build_chain
from space.network.block import Block
from space.units import unit_kinds

X = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
SLOW = ("torch-compile",)  # seconds a block


CASES = [
    pytest.param((name, dtype), id=f"{name}-{dtype}", marks=[pytest.mark.slow] * (name in SLOW))
    for name, spec in ENGINES.items()
    for dtype in spec.dtypes
]


class TestEngines(EngineContract):
    @pytest.fixture(autouse=True, params=CASES)
    def engine(self, request):
        self.name, self.dtype = request.param
        self.computes = self.name != "null"
        if self.name in SLOW:
            self.examples = (str(X), "head@4x3 c_in=6 c_out=8 classes=5")


def test_every_unit_kind_is_compared():
    assert {Block.parse(text).kind for text in EXAMPLES} == set(unit_kinds())


def test_unknown_engine_lists_the_known():
    with pytest.raises(ValueError, match=r"onnxruntime, .*null; got 'tvm'"):
        get_engine("tvm")


def test_threads_from_one():
    with pytest.raises(ValueError, match="`threads` must be at least 1; got 0"):
        get_engine("null", threads=0)


def test_unknown_dtype_lists_the_known():
    with pytest.raises(ValueError, match="dtype of null must be one of float32; got 'int4'"):
        get_engine("null", dtype="int4")


def test_writing_a_model_needs_no_runner(monkeypatch):
    monkeypatch.setitem(sys.modules, "latency.ondevice.runners.null", None)
    model = get_engine("null", here=False).write([X], batch=2)
    assert model.shape == (2, 8, 6, 6) and list(model.files) == ["model.json"]
    with pytest.raises(ImportError, match="engine 'null' needs packages"):
        get_engine("null")


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(ENGINES, "gone", EngineSpec("latency.engines.no_such", "no-such-package"))
    with pytest.raises(ImportError, match="pip install no-such-package"):
        get_engine("gone")


def test_null_engine_is_exact():
    engine = get_engine("null")
    run = engine.prepare([X] * 3)
    run.run()
    run.run()
    assert engine.clock() == pytest.approx(2 * (RUN_S + 3 * block_s(X)))


def test_onnxruntime_gives_finite_numbers():
    session = get_engine("onnxruntime").prepare([Block("head", 4, 4, c_in=8, c_out=8)])
    session.run()
    (out,) = session.outputs()
    assert out.shape == (1, 1000) and np.isfinite(out).all() and np.ptp(out) > 0


def test_no_engine_writes_a_batch_norm_of_epsilon_0():
    """Of torch, 2.10 and 2.11 refuse it, and cuDNN below 1e-5; other readers of files may."""
    lone = [Block("dense_layer", 5, 5, c_in=6, growth=4)]
    norms = [m for m in build_chain(lone).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for dtype in ENGINES["onnxruntime"].dtypes:
        files = get_engine("onnxruntime", dtype=dtype, here=False).write(lone).files
        nodes = onnx.load_from_string(files["model.onnx"]).graph.node
        (norm,) = (node for node in nodes if node.op_type == "BatchNormalization")
        norms += [a for a in norm.attribute if a.name == "epsilon"]
    assert len(norms) == 3 and all(getattr(n, "eps", getattr(n, "f", 0)) >= 1e-5 for n in norms)
    for dtype in ENGINES["ncnn"].dtypes:
        files = get_engine("ncnn", dtype=dtype, here=False).write(lone).files
        (text,) = (content.decode() for name, content in files.items() if name.endswith("param"))
        (line,) = (line.split() for line in text.splitlines() if line.startswith("BatchNorm "))
        assert float(next(word for word in line if word.startswith("1="))[2:]) >= 1e-5
