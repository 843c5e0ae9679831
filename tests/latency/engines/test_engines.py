"""The contract every engine keeps, and what the null one adds."""

import sys
from functools import partial

import numpy as np
import pytest

from latency.engines.null import RUN_S, block_s
from latency.engines.registry import ENGINES, EngineSpec, get_engine
from space.network.block import Block, unit_kinds
from space.network.network import Network
from space.network.torch_module import build_module, folded_weights
from tests.helpers.torch_modules import randomised
from tests.helpers.unit_examples import UNITS

X = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
SLOW = ("torch-compile",)  # seconds a block
CASES = [
    pytest.param(name, dtype, marks=[pytest.mark.slow] if name in SLOW else [])
    for name, entry in ENGINES.items()
    for dtype in entry.dtypes
]
# Largest error, as a share of the largest output: rounding of the factors of one product (unit
# roundoff: float32 2^-24, float16 and tf32 2^-11) and some that add up over the products.
TOLERANCE = {"float32": 1e-4, "tf32": 2e-2, "float16": 2e-2}
# Values in 255 steps: the least correlation over the outputs of a small block.
INT8_CORRELATION = 0.99


def opened(name, dtype="float32", threads=1):
    """The engine; skips where its package or its device is not here."""
    try:
        return get_engine(name, threads=threads, dtype=dtype)
    except (ImportError, OSError) as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name, dtype", CASES)
class TestEngineContract:
    def test_names_itself(self, name, dtype):
        engine = opened(name, dtype, threads=2)
        assert engine.name == name and engine.version
        assert engine.threads == 2 and engine.dtype == dtype
        assert all(isinstance(v, str) for v in engine.versions.values())

    def test_runs_take_time_on_its_clock(self, name, dtype):
        engine = opened(name, dtype)
        run = engine.prepare([X])
        before = engine.clock()
        engine.evict()
        run.run()
        assert engine.clock() > before

    def test_batch_and_chain(self, name, dtype):
        engine = opened(name, dtype)
        engine.prepare([X, X], batch=3).run()

    def test_a_longer_chain_takes_longer(self, name, dtype):
        engine = opened(name, dtype)
        big = Block("shufflenet_v2", 28, 28, c_in=64, c_out=64, branch=32)
        runs = [engine.prepare([big] * n) for n in (1, 8)]
        times = []
        for run in runs:
            samples = []
            for _ in range(5):
                start = engine.clock()
                run.run()
                samples.append(engine.clock() - start)
            times.append(min(samples))
        assert times[1] > 2 * times[0]

    def test_outputs_agree_with_torch(self, name, dtype):
        """A small block of every unit kind, two images, batch norms that do something."""
        engine = opened(name, dtype)
        if name == "null":
            pytest.skip("computes no outputs")
        import torch

        units = [Block.parse(text) for text in UNITS]
        if name in SLOW:
            units = [X, Block.parse("head@4x3 c_in=6 c_out=8 classes=5")]
        wrong = {}
        for block in units:
            module = randomised(build_module(Network("one", (block,))))
            run = engine.prepare([block], 2, partial(folded, module))
            run.run()
            run.run()
            (got,) = run.outputs()
            shape = (2, block.c_in, block.height, block.width)
            x = np.random.default_rng(0).random(shape, dtype=np.float32)
            with torch.inference_mode():
                expected = module(torch.from_numpy(x)).numpy()
            assert got.shape == expected.shape
            error = np.abs(got - expected).max() / np.abs(expected).max()
            correlation = np.corrcoef(got.ravel(), expected.ravel())[0, 1]
            if dtype == "int8":
                agrees = correlation > INT8_CORRELATION and error < 0.5
            else:
                agrees = error < TOLERANCE[dtype]
            if not agrees:
                wrong[str(block)] = error, correlation
        assert not wrong


def folded(module, block, step, op):
    """Weights of a torch module, as engines take them."""
    return tuple(tensor.numpy() for tensor in folded_weights(module, block, step))


def test_every_unit_kind_is_compared():
    assert {Block.parse(text).kind for text in UNITS} == set(unit_kinds())


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
