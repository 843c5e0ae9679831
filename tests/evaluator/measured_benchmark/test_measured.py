"""The measured benchmark: its plan, its file, and trainings that go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evaluator import measured, measured_report
from evaluator.measured_benchmark import plan, trainer
from evaluator.measured_benchmark.plan import (
    PlannedNetwork,
    PlannedRun,
    band_flops,
    pattern_networks,
    planned_runs,
    random_candidates,
)
from evaluator.measured_benchmark.rows import (
    header_path,
    read_header,
    read_rows,
    write_header,
    write_rows,
)
from evaluator.training.loop import Training
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.errors import NoAnswerError
from space.network.resize import on_input
from tests.helpers.images import image_folder
from tests.helpers.measured_rows import ROW

PLAN_SIZES = {"band 1": 32, "band 2": 32, "band 3": 32, "paper": 14, "pattern": 13}


@pytest.fixture(scope="module")
def runs() -> list[PlannedRun]:
    return list(planned_runs())


@pytest.mark.slow
def test_plan(runs: list[PlannedRun]) -> None:
    """At least 100 networks in three bands, two seeds for a third, none twice."""
    assert len({run.key for run in runs}) == len(runs)
    groups = Counter(run.entry.group for run in {r.entry.name: r for r in runs}.values())
    assert groups == PLAN_SIZES
    seeds = Counter(run.entry.name for run in runs if run.recipe == "short")
    assert sum(n > 1 for n in seeds.values()) >= len(seeds) / 3
    long = [run.entry for run in runs if run.recipe == "long"]
    assert len(long) == 32
    assert {entry.group for entry in long} == {"band 1"}


@pytest.mark.slow
def test_bands_hold(runs: list[PlannedRun]) -> None:
    for run in runs:
        if run.entry.group.startswith("band"):
            target = band_flops()[int(run.entry.group[-1]) - 1]
            assert abs(run.entry.network().flops / target - 1) <= 0.03


@pytest.mark.slow
def test_every_part_of_the_plan_is_balanced(runs: list[PlannedRun]) -> None:
    rounds = [run for run in runs if run.recipe == "short"]
    assert all(run.recipe == "long" for run in runs[-24:])  # after the rounds
    for stop in range(10, len(rounds)):
        counts = Counter(run.entry.group for run in rounds[:stop])
        in_bands = [counts[f"band {band}"] for band in (1, 2, 3)]
        assert max(in_bands) - min(in_bands) <= 1


@pytest.mark.slow
def test_fewer_networks_are_the_first_ones() -> None:
    few, more = random_candidates(1), random_candidates(3)
    assert [band[0] for band in few] == [band[0] for band in more]


def test_bands_are_the_papers() -> None:
    small, middle, large = band_flops()
    assert (small, large) == (40_476_448, 144_907_992)
    assert middle / small == pytest.approx(large / middle)


def test_patterns_change_one_thing_at_equal_flops() -> None:
    space = ShuffleNetV2Space()
    usual = space.parse(
        "shufflenet_v2 stem=24 width=48,96,192 depth=4,8,4 split=1/2,1/2,1/2 "
        "kernel=3,3,3 head=1024"
    )
    for entry in pattern_networks():
        arch = space.parse(entry.architecture)
        changed = {
            parameter.name.rstrip("234")
            for parameter in space.parameters
            if space.value(arch, parameter.name) != space.value(usual, parameter.name)
        }
        own = {"split": "split", "depths": "depth", "growth": "width"}[entry.name.split()[0]]
        assert own in changed
        assert changed <= {own, "width"}
        assert entry.network().flops == pytest.approx(band_flops()[0], rel=0.04)
    splits = [e.name for e in pattern_networks() if e.name.startswith("split")]
    assert splits == ["split 1/4", "split 3/8", "split 5/8", "split 3/4"]


def test_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    rows = [ROW, replace(ROW, name='b, "c"', seed=1, loss=float("inf"))]
    write_rows(path, rows)
    assert read_rows(path) == rows
    write_header(path, {"planned": 3})
    assert read_header(path)["planned"] == 3


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    write_rows(path, [ROW])
    with pytest.raises(ValueError, match=r"must have its header m\.json beside it"):
        read_header(path)
    header_path(path).write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"m\.json: line 1: not JSON"):
        read_header(path)
    header_path(path).write_text('{"schema": 99}', encoding="utf-8")
    with pytest.raises(ValueError, match="header of schema 1"):
        read_header(path)
    path.write_text(path.read_text().replace("50.25", "much"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"m\.csv, line 2 is damaged: .*much"):
        read_rows(path)
    path.write_text("a,b\n", encoding="utf-8")
    with pytest.raises(ValueError, match="it is no benchmark"):
        read_rows(path)


@pytest.fixture
def tiny_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two small networks in place of the plan."""
    text = (
        "shufflenet_v2 stem=8 width=24,48,96 depth=2,2,2 split=1/2,1/2,1/2 kernel=3,3,3 head=256"
    )
    entries = [
        PlannedNetwork("one", "band 1", text),
        PlannedNetwork("two", "band 2", text.replace("8 w", "12 w")),
    ]
    runs = [
        PlannedRun(entries[0], 0),
        PlannedRun(entries[1], 0),
        PlannedRun(entries[0], 1),
        PlannedRun(entries[0], 0, "long"),
    ]
    monkeypatch.setattr(plan, "planned_runs", lambda _: iter(runs))
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plan")
def test_two_processes_give_the_rows_of_one(tmp_path: Path) -> None:
    words = ["--data", str(image_folder(tmp_path / "images", each=64))]
    for jobs in ("1", "2"):
        out = str(tmp_path / jobs / "m.csv")
        assert measured.main([*words, "--out", out, "--jobs", jobs]) == 0
    one, two = (read_rows(tmp_path / jobs / "m.csv") for jobs in ("1", "2"))
    assert [(r.key, r.accuracy, r.loss) for r in one] == [(r.key, r.accuracy, r.loss) for r in two]


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plan")
def test_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same rows, whether stopped or not; nothing is trained twice."""
    data = str(image_folder(tmp_path / "images", each=64))
    words = ["--data", data, "--threads", "1"]
    assert measured.main([*words, "--out", str(tmp_path / "a" / "m.csv")]) == 0
    path = tmp_path / "b" / "m.csv"
    assert measured.main([*words, "--out", str(path), "--runs", "1"]) == 0
    first = path.read_text()
    assert len(read_rows(path)) == 1
    assert measured.main([*words, "--out", str(path)]) == 0
    assert path.read_text().startswith(first)
    ours, theirs = read_rows(path), read_rows(tmp_path / "a" / "m.csv")
    assert [(r.key, r.accuracy, r.loss) for r in ours] == [
        (r.key, r.accuracy, r.loss) for r in theirs
    ]
    assert [r.key[1:] for r in ours] == [("short", 0), ("short", 0), ("short", 1), ("long", 0)]
    network = on_input(
        PlannedNetwork("", "", ours[0].architecture).network(), 32, 32, classes=3, drop=1
    )
    assert (ours[0].flops, ours[0].params) == (network.flops, network.params)
    header = read_header(path)
    assert (header["rows"], header["planned"]) == (4, 4)
    assert header["recipes"]["long"]["epochs"] == 4 * header["recipes"]["short"]["epochs"]
    capsys.readouterr()
    assert measured.main([*words, "--out", str(path), "--epochs", "2"]) == 2
    assert "holds a benchmark with other recipes. Choose another --out" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.usefixtures("tiny_plan")
def test_a_killed_training_resumes_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: str
) -> None:
    """Stopped in the middle of the second training; the rows of a benchmark that never stopped,
    and only the missing steps are trained."""
    data = str(image_folder(tmp_path / "images", each=64))
    words = ["--data", data, "--threads", "1", "--epochs", "3"]
    assert measured.main([*words, "--out", str(tmp_path / "a" / "m.csv")]) == 0
    steps: list[int] = []
    run = Training.run

    def interrupted(self: Training) -> Iterator[int]:
        for step in run(self):
            yield step
            if "stem=12" in self.network.name and step == 2:
                raise KeyboardInterrupt

    def counted(self: Training) -> Iterator[int]:
        for step in run(self):
            steps.append(step)
            yield step

    out = tmp_path / "b" / "m.csv"
    monkeypatch.setattr(Training, "run", interrupted)
    assert measured.main([*words, "--out", str(out)]) == 130
    assert len(read_rows(out)) == 1
    (checkpoint,) = out.parent.glob(".m-*.pt")
    assert torch.load(checkpoint, weights_only=True)["step"] == 2
    monkeypatch.setattr(Training, "run", counted)
    assert measured.main([*words, "--out", str(out), "--jobs", jobs]) == 0
    resumed, whole = read_rows(out), read_rows(tmp_path / "a" / "m.csv")
    assert [(r.key, r.accuracy, r.loss, r.validation) for r in resumed] == [
        (r.key, r.accuracy, r.loss, r.validation) for r in whole
    ]
    if jobs == "1":
        assert steps[0] == 3
    assert not list(out.parent.glob(".m-*.pt"))


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(tmp_path), "--out", str(tmp_path / "m.csv")]
    assert measured.main([*words, "--threads", "0"]) == 2
    assert measured.main([*words, "--per-band", "99"]) == 2
    told = capsys.readouterr().err
    assert "--threads must be from 1 to 1024; got 0" in told
    assert "--per-band must be from 1 to 32; got 99" in told
    write_rows(tmp_path / "m.csv", [])
    write_header(tmp_path / "m.csv", {"planned": 1})
    assert measured_report.main([str(tmp_path / "m.csv")]) == 2
    assert "has no rows yet" in capsys.readouterr().err


def test_a_killed_process_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pool says of a worker that the system killed, with what to do."""

    class Killed:
        def __init__(self, *_: object, **__: object) -> None: ...

        def submit(self, *_: object) -> Future[None]:
            future: Future[None] = Future()
            future.set_exception(BrokenProcessPool())
            return future

        def shutdown(self, **_: object) -> None: ...

    monkeypatch.setattr(trainer, "ProcessPoolExecutor", Killed)
    runs = [PlannedRun(PlannedNetwork("one", "band 1", "x"), seed) for seed in range(2)]
    config = plan.BenchmarkConfig(data="", out=Path("m.csv"), jobs=2)
    each = trainer.BenchmarkTrainer(config=config, parts=[], data="", classes=())
    with pytest.raises(NoAnswerError, match="lower --jobs"):
        list(each.rows(runs))
