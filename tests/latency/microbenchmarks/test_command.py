"""The command `python -m latency.guidelines`: measured with the null engine, and published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from latency import guidelines
from latency.devices.open import open_session
from latency.engines.null import block_s
from latency.microbenchmarks.limits import load_limits
from latency.microbenchmarks.passes import plan_passes
from latency.microbenchmarks.run import measure_device
from latency.microbenchmarks.timing import MicrobenchmarkConfig, time_cases
from latency.ondevice import host
from latency.paper_model.cases import make_cases
from latency.table.load import load_table
from latency.table.op_model import OpCostModel


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, str]:
    """(folder, document, text) of one run of the null engine."""
    out = tmp_path_factory.mktemp("guidelines")
    config = MicrobenchmarkConfig(engine="null", rounds=4, out=out)
    found, text = measure_device(config)
    return out, found, text


def test_times_are_those_of_ten_blocks() -> None:
    """Whatever stands before the blocks and starts the run cancels."""
    cases = make_cases("arm")[::5]
    with open_session("cpu", "null") as session:
        times, _ = time_cases(cases, session, plan_passes(2))
    assert times.shape == (len(cases), 2, 1)
    for case, own in zip(cases, times, strict=True):
        expected = case.repeats * sum(block_s(block) for block in case.unit)
        assert own == pytest.approx(expected)


def test_progress_counts_every_job() -> None:
    cases = make_cases("arm")
    seen: list[tuple[int, int]] = []
    with open_session("cpu", "null") as session:
        _, jobs = time_cases(cases, session, plan_passes(2), report=lambda *now: seen.append(now))
    assert len(jobs) == 24
    assert seen == [(i, 24) for i in range(1, 25)]  # 2 passes, 4 tables, 3 widths


@pytest.mark.slow
def test_document_and_files(measured: tuple[Path, dict, str]) -> None:
    out, found, text = measured
    names = ["guidelines.json", "guidelines.png", "guidelines.samples.jsonl"]
    assert sorted(path.name for path in out.iterdir()) == names  # and no temporary file
    assert json.loads((out / "guidelines.json").read_text()) == found
    for name in ("device", "engine", "versions", "date", "noise", "rule", "host", "threads"):
        assert found[name]
    assert len(found["rows"]) == 51 and len(found["slowdowns"]) == 17
    assert len(found["aligned_rows"]) == 22 and len(found["aligned_slowdowns"]) == 11
    assert all("paper_s" not in row for row in found["aligned_rows"])
    limits = load_limits(out / "guidelines.json")
    assert found["limits"]["g1"] == limits.g1 and limits.g3 == 5
    assert (out / "guidelines.png").read_bytes().startswith(b"\x89PNG")
    for table in range(1, 5):
        assert f"Table {table}. G{table}" in text and found["verdicts"][f"g{table}"] in text
    assert "G1 at multiples of 16 holds: 1:16 is 1.21x slower than 1:1 (1.21 to 1.21)\n" in text
    assert "G4 holds: ReLU and shortcut are 1.52x slower than neither" in text


@pytest.mark.slow
def test_samples_are_raw(measured: tuple[Path, dict, str]) -> None:
    out, found, _ = measured
    samples = (out / "guidelines.samples.jsonl").read_text()
    lines = [json.loads(line) for line in samples.splitlines()]
    assert [line["in_paper"] for line in lines] == [True] * 51 + [False] * 22
    first = lines[0]
    conv = "conv@56x56 c_in=32 c_out=32"
    assert (first["long"], first["before"]) == (f"25 x {conv}", f"5 x {conv}")
    assert len(first["times"]) == 4 and len(first["times"][0]) == 1
    assert first["times"][0][0] == pytest.approx(found["rows"][0]["measured_s"], rel=1e-4)


@pytest.mark.slow
def test_json_goes_to_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--engine", "null", "--rounds", "2", "--format", "json", "--out", str(tmp_path)]
    assert guidelines.main(words) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["command"].startswith("python -m latency.guidelines --engine null")
    assert said.err.splitlines()[0].startswith(
        "146 chains, of Tables 1-4 and at aligned widths, on "
    )


@pytest.mark.slow
@pytest.mark.parametrize("device", ["arm", "gpu"])
def test_published_devices(
    device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--published", device, "--format", "json", "--out", str(tmp_path)]
    assert guidelines.main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["limits"] == {"g1": 1.05, "g2": 1.05, "g3": 5.0, "g4": 0.48}
    assert found["source"] == "published"
    assert [path.name for path in tmp_path.iterdir()] == ["guidelines.png"]
    assert {"arm": "1.39x", "gpu": "1.82x"}[device] in found["verdicts"]["g1"]
    # The fit's own error on Tables 1 and 3; Table 2's 180 channels stand otherwise there.
    model = load_table(device)
    assert isinstance(model, OpCostModel)
    known = model.header.extra["model"]["fit_error"]
    for table in (1, 3):
        errors = [abs(row["error"]) for row in found["rows"] if row["table"] == table]
        assert sum(errors) / len(errors) == pytest.approx(known[str(table)]["fitted"], abs=2e-4)


def test_published_text_names_the_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert guidelines.main(["--published", "arm"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("published: Snapdragon 810")
    assert "model: mean error" in text and "not fitted to this table" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--device tpu", "`--device` must be one of cpu, gpu, ssh://user@host[:port], adb"),
        ("--device arm", "got 'arm'; the paper's columns are --published arm"),
        ("--device usb://x", "a device must be cpu, gpu, ssh://user@host[:port] or adb"),
        ("--device gpu --engine null", "--device gpu needs an engine that runs there"),
        ("--device cpu --engine torch-cuda", "--device cpu needs an engine that runs there"),
        ("--published gpu --rounds 3", "--published measures nothing: leave out --rounds"),
        ("--published arm --device cpu", "--published measures nothing: leave out --device"),
        ("--published arm --dtype int8 --batch 2", "nothing: leave out --batch, --dtype"),
        ("--dtype float16", "dtype of onnxruntime must be one of float32, int8; got 'float16'"),
        ("--device gpu --dtype int8", "dtype of torch-cuda must be one of float32, tf32, float16"),
        ("--engine tvm", "null; got 'tvm'"),
        ("--engine null --columns x", "`columns` must be one of arm, gpu; got 'x'"),
        ("--engine null --batch 0", "--batch must be from 1 to 65536; got 0"),
        ("--engine null --rounds 1", "--rounds must be from 2 to 10000; got 1"),
        ("--engine null --threads 0", "--threads must be from 1 to 1024; got 0"),
        ("--engine null --threads 100000", "--threads must be from 1 to 1024; got 100000"),
        ("--engine null --batch 100000000", "--batch must be from 1 to 65536; got 100000000"),
        ("--engine null --rounds 10000000", "--rounds must be from 2 to 10000; got 10000000"),
        ("--batch 65536", "--batch 65536 needs about"),
    ],
)
def test_mistakes_are_one_line(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guidelines.main(words.split()) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and said.out == ""


def test_a_bad_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        guidelines.main(["--rounds", "many"])
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        guidelines.main(["--published", "tpu"])
    said = capsys.readouterr().err
    assert "--published" in said and "'arm', 'gpu'" in said and said.count("\n") == 1


def test_an_unwritable_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert guidelines.main(["--engine", "null", "--out", str(tmp_path / "file")]) == 2
    line = f"latency.guidelines: --out must be a folder, or a new one; got {tmp_path / 'file'}\n"
    assert capsys.readouterr().err == line


def test_an_emulated_host_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "emulation", lambda: "it was started so")
    assert guidelines.main(["--out", str(tmp_path)]) == 2
    assert (
        "is emulated (it was started so): its wall time is not latency" in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())
