"""The contract every engine keeps, and what the null one adds."""

import sys

import pytest

from latency.engines import ENGINES, Entry, get_engine
from latency.engines.null import RUN_S, block_s
from space.block import Block

X = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)


@pytest.mark.parametrize("name", list(ENGINES))
class TestEngineContract:
    def test_names_itself(self, name):
        engine = get_engine(name, threads=2)
        assert engine.name == name and engine.version and engine.threads == 2
        assert all(isinstance(v, str) for v in engine.versions.values())

    def test_runs_take_time_on_its_clock(self, name):
        engine = get_engine(name)
        run = engine.prepare([X])
        before = engine.clock()
        run.run()
        assert engine.clock() > before

    def test_batch_and_chain(self, name):
        engine = get_engine(name)
        engine.prepare([X, X], batch=3).run()

    def test_a_longer_chain_takes_longer(self, name):
        engine = get_engine(name)
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


def test_unknown_engine_lists_the_known():
    with pytest.raises(ValueError, match="onnxruntime, null; got 'tvm'"):
        get_engine("tvm")


def test_threads_from_one():
    with pytest.raises(ValueError, match="`threads` must be at least 1; got 0"):
        get_engine("null", threads=0)


def test_unknown_dtype_lists_the_known():
    with pytest.raises(ValueError, match="dtype of null must be one of float32; got 'int4'"):
        get_engine("null", dtype="int4")


def test_writing_a_model_needs_no_runner(monkeypatch):
    monkeypatch.setitem(sys.modules, "latency.runners.null", None)
    model = get_engine("null", here=False).write([X], batch=2)
    assert model.shape == (2, 8, 6, 6) and list(model.files) == ["model.json"]
    with pytest.raises(ImportError, match="engine 'null' needs packages"):
        get_engine("null")


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(ENGINES, "gone", Entry("latency.engines.no_such", "no-such-package"))
    with pytest.raises(ImportError, match="pip install no-such-package"):
        get_engine("gone")


def test_null_engine_is_exact():
    engine = get_engine("null")
    run = engine.prepare([X] * 3)
    run.run()
    run.run()
    assert engine.clock() == pytest.approx(2 * (RUN_S + 3 * block_s(X)))


def test_onnxruntime_gives_finite_numbers():
    import numpy as np

    session = get_engine("onnxruntime").prepare([Block("head", 4, 4, c_in=8, c_out=8)])
    session.run()
    (out,) = session.outputs()
    assert out.shape == (1, 1000) and np.isfinite(out).all() and np.ptp(out) > 0
