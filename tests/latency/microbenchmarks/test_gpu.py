"""The microbenchmarks on this host's GPU: without one, so with stand-ins for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latency import guidelines
from latency.builder.memory import needed_bytes
from latency.devices.open import open_session
from latency.devices.session import Session, Timed
from latency.engines.null import block_s
from latency.engines.torch import cuda as torch_cuda
from latency.microbenchmarks import run
from latency.microbenchmarks.limits import load_limits
from latency.microbenchmarks.passes import PassPlan
from latency.microbenchmarks.timing import job_chains, time_cases
from latency.paper_model.cases import make_aligned, make_cases
from tests.helpers.fake_gpu import use_fake_gpu

FACTS = {"name": "Chip", "sm_clock_mhz": 1980, "persistence": "enabled"}


def stand_in(
    monkeypatch: pytest.MonkeyPatch,
    facts: dict[str, Any],
    times: Callable[..., Timed] | None = None,
) -> list[tuple[str, str, str]]:
    """Sessions are of the null engine, with a GPU's facts; the (device, engine, dtype) of each."""
    opened: list[tuple[str, str, str]] = []

    def open_null(device: str, engine: str, *, dtype: str, **options: Any) -> Session:
        opened.append((device, engine, dtype))
        session = open_session("cpu", "null")
        session.engine, session.chip, session.dtype = engine, "Chip", dtype
        session.host_info = {**session.host_info, "accelerator": facts, "governor": ""}
        own = session.time

        def time(*args: Any, **words: Any) -> Timed:
            timed = own(*args, **words)
            kept = {name: value for name, value in facts.items() if name != "name"}
            return Timed(timed.times, timed.wall_s, 0.1 * timed.wall_s, timed.prepare_s, kept)

        monkeypatch.setattr(session, "time", times or time)
        return session

    monkeypatch.setattr(run, "open_session", open_null)
    return opened


@pytest.mark.slow
def test_both_dtypes_into_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = stand_in(monkeypatch, FACTS)
    said = {}
    for dtype in ("float16", "float32"):
        assert guidelines.main(
            ["--device", "gpu", "--dtype", dtype, "--out", str(tmp_path)]
        ) == 0  # fmt: skip
        said[dtype] = capsys.readouterr()
    assert opened == [("gpu", "torch-cuda", "float16"), ("gpu", "torch-cuda", "float32")]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "guidelines-float16.json", "guidelines-float16.png", "guidelines-float16.samples.jsonl",
        "guidelines.json", "guidelines.png", "guidelines.samples.jsonl",
    ]  # fmt: skip
    half, full = (
        json.loads((tmp_path / f"{name}.json").read_text())
        for name in ("guidelines-float16", "guidelines")
    )
    assert (half["dtype"], full["dtype"]) == ("float16", "float32")
    assert half["columns"] == full["columns"] == "gpu" and half["device"] == "Chip"
    # Of a device without noise three passes are enough.
    noise = {name: half["noise"][name] for name in ("passes", "rounds", "stopped_by")}
    assert noise == {"passes": 3, "rounds": 10, "stopped_by": "precision"}
    assert "multiples of 32" in half["rule"] and "CUDA graph" in half["method"]
    assert load_limits(tmp_path / "guidelines-float16.json").g3 == 5
    out, err = said["float16"]
    assert out.startswith("measured: Chip, torch-cuda 1, float16, batch 1, ")
    assert "paper gpu, ms" in out and "G1 at multiples of 32 holds" in out and "thread" not in out
    assert "torch-cuda 1, float16, 3 to 6 x 10 rounds: about " in err
    assert "measured in " in err and ", 3 x 10 rounds; half of an interval is 0.0%" in err
    assert "warning" not in err  # that the processor waits for the GPU is none
    assert "torch-cuda 1, float32, batch 1" in said["float32"].out


@pytest.mark.slow
def test_another_width_than_the_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, FACTS)
    words = "--device gpu --columns arm --batch 8 --rounds 2 --format json --out"
    assert guidelines.main([*words.split(), str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["columns"], found["batch"], found["noise"]["passes"]) == ("arm", 8, 2)
    assert "multiples of 16" in found["rule"]


@pytest.mark.slow
def test_a_busy_gpu_is_named_once_and_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, {**FACTS, "busy_before": 0.5})
    assert guidelines.main(["--device", "gpu", "--rounds", "2", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().err.splitlines()
    busy = "warning: another program used the GPU for 50% of the time before this began"
    assert lines[0].startswith(busy)
    assert sum("another program" in line for line in lines) == 1


def test_a_batch_that_is_too_large_shows_before_the_first_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = job_chains((*make_cases("gpu"), *make_aligned("gpu")))
    largest = max(jobs, key=lambda job: needed_bytes(job, 4096))
    seen: list[int] = []

    def time(chains: Any, *, rounds: int, **words: Any) -> Timed:
        seen.append(len(chains))
        if list(chains) == largest:
            raise MemoryError("batch 4096 needs 9.00 GiB more than Chip has free: lower --batch")
        return Timed(np.ones((len(chains), rounds)), 0.1, 0.1, 0.05)

    stand_in(monkeypatch, FACTS, time)
    words = ["--device", "gpu", "--batch", "4096", "--out", str(tmp_path)]
    assert guidelines.main(words) == 1
    said = capsys.readouterr()
    assert "batch 4096 needs 9.00 GiB more than Chip has free" in said.err
    assert said.err.count("\n") == 1 and said.out == ""
    assert len(seen) < 10 and list(tmp_path.iterdir()) == []


def test_noise_above_the_blocks_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chains that all take as long, as where another program has the GPU."""

    def time(chains: Any, *, rounds: int, **words: Any) -> Timed:
        return Timed(np.ones((len(chains), rounds)), 0.0, 0.0, 0.0)

    stand_in(monkeypatch, FACTS, time)
    assert guidelines.main(["--device", "gpu", "--out", str(tmp_path)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "latency.guidelines: noise exceeds what ten blocks take (Table 1, 1:1, 128:128 channels)"
    )
    assert list(tmp_path.iterdir()) == []


def test_no_gpu_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert guidelines.main(["--device", "gpu", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "engine 'torch-cuda' needs an NVIDIA GPU" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_engine_itself_times_ten_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's own clock, graphs and chains, on a stand-in for torch.cuda; what a run takes is
    scripted."""
    use_fake_gpu(monkeypatch)
    prepare = torch_cuda.TorchCudaEngine.prepare

    def known(self: Any, blocks: Any, batch: int = 1, weights: Any = None) -> Any:
        found = prepare(self, blocks, batch, weights)
        taken_s = sum(block_s(block) for block in blocks)

        def run() -> None:
            self.now_s += taken_s

        monkeypatch.setattr(found, "run", run)
        return found

    monkeypatch.setattr(torch_cuda.TorchCudaEngine, "prepare", known)
    cases = [case for case in make_cases("arm") if case.scale == 1 and case.table == 4][-2:]
    with open_session("gpu", "torch-cuda") as session:
        times, _ = time_cases(cases, session, PassPlan(2, 2, 1))
    for case, own in zip(cases, times, strict=True):
        assert own == pytest.approx(10 * sum(block_s(block) for block in case.unit))
