"""What runs ncnn's models: what it sets and refuses. Outputs are in the contract of engines."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ncnn")

from latency.engines.registry import get_engine
from latency.engines.weights import random_weights
from latency.ondevice.runners import ncnn as runner
from space.network.block import Block

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)


def outputs(dtype: str, block: Block) -> np.ndarray:
    run: Any = get_engine("ncnn", dtype=dtype).prepare([block], 1, random_weights(0))
    run.run()
    (found,) = run.outputs()
    return found


def test_options_are_those_of_the_dtype() -> None:
    """ncnn's own defaults have half floats and int8 on."""
    names = {dtype: runner.options_of(dtype) for dtype in ("float32", "float16", "int8")}
    on = {dtype: {name for name, value in o.items() if value} for dtype, o in names.items()}
    half = {"use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"}
    assert on["float16"] - on["float32"] == half
    assert {name[:8] for name in on["int8"] - on["float16"]} == {"use_int8"}
    for dtype, wanted in names.items():
        session: Any = get_engine("ncnn", dtype=dtype, threads=2).prepare([UNIT])
        found = session._net.opt
        assert {name: getattr(found, name) for name in wanted} == wanted
        assert found.num_threads == 2


def test_the_header_says_what_was_on() -> None:
    versions = get_engine("ncnn", dtype="float16").versions
    assert versions["ncnn"] and "use_packing_layout" in versions["ncnn options"]
    assert f"half floats here: {runner.half_floats()}" in versions["ncnn options"]
    assert "use_fp16" not in get_engine("ncnn").versions["ncnn options"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="half floats do more elsewhere")
def test_half_floats_on_x86_are_weights_of_linear_layers() -> None:
    assert np.array_equal(outputs("float32", UNIT), outputs("float16", UNIT))
    head = Block("head", 4, 4, c_in=8, c_out=16, classes=10)
    assert not np.array_equal(outputs("float32", head), outputs("float16", head))


def test_a_batch_is_its_images() -> None:
    """The first images of a batch of three are those of a batch of two."""
    results = []
    for batch in (2, 3):
        run: Any = get_engine("ncnn").prepare([UNIT], batch, random_weights(0))
        run.run()
        results.append(run.outputs()[0])
    assert np.array_equal(results[0], results[1][:2])
    assert not np.array_equal(results[0][0], results[0][1])


def test_an_old_ncnn_has_no_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = get_engine("ncnn").write([UNIT], 2)  # type: ignore[attr-defined]
    monkeypatch.delattr(runner.ncnn.Mat, "batch")
    with pytest.raises(ValueError, match=r"batch must be 1 with ncnn .*; got 2: newer releases"):
        runner.open_runner(1, "float32").load(model.files, model.shape)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("model.param", b"no param file\n", "does not read this .param file"),
        ("model.bin", b"\0\0\0\0abc", "does not read this .bin file"),
    ],
)
def test_a_damaged_model_is_refused(
    name: str, content: bytes, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model = get_engine("ncnn").write([UNIT])  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=message):
        runner.open_runner(1, "float32").load({**model.files, name: content}, model.shape)


def test_nothing_to_show_before_a_run() -> None:
    session: Any = get_engine("ncnn").prepare([UNIT])
    with pytest.raises(ValueError, match="no output before a run"):
        session.outputs()


def test_sessions_may_go_in_any_order() -> None:
    """ncnn aborts the process where a pool goes before what lies in it."""
    engine = get_engine("ncnn")
    for _ in range(3):
        engine.prepare([UNIT], 2).run()
    several: list[Any] = [engine.prepare([UNIT]) for _ in range(3)]
    for session in several:
        session.run()
    kept = several[1].outputs()[0]
    del several[0], session, several
    assert np.isfinite(kept).all()
