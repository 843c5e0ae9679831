"""latency.estimate: the published networks, the model, the table; and the shipped tables."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from latency import estimate
from latency.builder.grid import Grid
from latency.emulator import run
from latency.emulator.check import (
    FITTED,
    benchmark_request,
    chosen_networks,
    compare_with_published,
    format_check,
    published_path,
    published_seconds,
)
from latency.emulator.cores import CORES, get_core
from latency.emulator.counter import CountRequest
from latency.emulator.estimator import Work
from latency.emulator.model import (
    CycleModel,
    Terms,
    fit_cycle_model,
    left_out_seconds,
    relative_errors,
)
from latency.emulator.ncnn_benchmark import NETWORKS, benchmark_network
from latency.emulator.ncnn_text import NetworkText
from latency.emulator.table import EXACT, block_work, chain_request, make_table, plan_estimate
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.errors import MissingDataError
from space.common.files import locked
from space.network.block import Block
from tests.helpers.hostile import examples, mutated_csv

# Multiply-adds in millions as their papers state them, or torchvision's documentation ("GFLOPS")
# where the paper has no figure; SqueezeNet here sees 227 pixels and pads its last convolution.
STATED = {
    "mobilenet": 569, "mobilenet_v2": 300, "mnasnet": 315, "proxylessnasnet": 320,
    "efficientnet_b0": 390, "efficientnetv2_b0": 720, "regnety_400m": 400, "resnet18": 1814,
    "resnet50": 3800, "alexnet": 720, "vgg16": 15470, "googlenet": 1550, "shufflenet": 130,
}  # fmt: skip
TINY = Grid("tiny", stem=8, first=9, rest=9, head=9)
A76 = get_core("cortex-a76")
ROWS = """device,threads,network,min_ms,max_ms,avg_ms
rpi4,1,squeezenet,73.35,75.10,73.96
rpi5,1,squeezenet,21.05,21.36,21.15
rpi5,1,vgg16,291.60,295.38,293.04
"""


@pytest.mark.parametrize("name", STATED)
def test_multiply_adds_are_the_stated_ones(name: str) -> None:
    assert benchmark_network(name).flops == pytest.approx(STATED[name] * 1e6, rel=0.06)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_param_file_that_ncnn_can_read(name: str) -> None:
    lines = benchmark_network(name).text().splitlines()
    layers = [line.split() for line in lines[2:]]
    assert lines[0] == "7767517"
    made: list[str] = []
    read: Counter[str] = Counter()
    for _, _, reads, makes, *words in layers:
        inputs = words[: int(reads)]
        assert set(inputs) <= set(made)
        read.update(inputs)
        made += words[int(reads) : int(reads) + int(makes)]
    assert lines[1] == f"{len(layers)} {len(made)}"
    assert len(set(made)) == len(made)
    unread = [value for value in made if read[value] != 1]  # each once: others get a Split
    assert unread == ["out0"]


def test_sizes_of_layers() -> None:
    net = NetworkText()
    x = net.conv(net.input(3, 227), 64, 3, 2, pad=0)
    assert x.size == 113
    assert net.pool(x, "max", 3, 2).size == 56
    assert net.pool(x, "max", 2, 2, full=False).size == 56
    assert net.conv(x, 8, 5, 2).size == 57
    assert net.flops == 113 * 113 * 64 * 27 + 57 * 57 * 8 * 64 * 25


def some_works(count: int = 9) -> tuple[list[Work], np.ndarray]:
    """Networks whose seconds follow a known model exactly."""
    rng = np.random.default_rng(0)
    high = np.array([2e8, 1e8, 1e8, 4e6, 2e6, 1e6, 1e6])
    works = [Work(*rng.uniform(high / 100, high)) for _ in range(count)]
    truth = CycleModel("cycles", 0.8, (0.0, 3.0, 20.0))
    return works, np.array([truth.seconds(work, A76) for work in works])


def test_seconds_by_hand() -> None:
    work = Work(1000, 500, l1_misses=10, l2_misses=4, l3_misses=2)
    model = CycleModel("cycles", 2.0, (1.0, 5.0, 10.0))
    assert model.seconds(work, A76) == pytest.approx(2 * (500 + 10 + 20 + 20) / 2.4e9)
    assert CycleModel("instructions").seconds(work, A76) == pytest.approx(1000 / 2.4e9)


def test_the_fit_finds_the_model() -> None:
    works, seconds = some_works()
    found = fit_cycle_model(works, seconds, A76, Terms("cycles", (2, 3)))
    assert found.factor == pytest.approx(0.8)
    assert found.waits == pytest.approx((0.0, 3.0, 20.0))
    assert left_out_seconds(works, seconds, A76, Terms("cycles", (2, 3))) == pytest.approx(seconds)


def test_a_left_out_network_has_no_part_in_its_own_prediction() -> None:
    works, seconds = some_works()
    spoiled = seconds.copy()
    spoiled[0] *= 2
    predicted = left_out_seconds(works, spoiled, A76, Terms("cycles", (2, 3)))
    assert predicted[0] == pytest.approx(seconds[0])
    assert predicted[1:] != pytest.approx(seconds[1:])


def test_a_factor_is_never_zero() -> None:
    works = [Work(1e6, 1e3, l3_misses=k) for k in (1e6, 2e6, 3e6)]
    found = fit_cycle_model(works, np.array([1.0, 2.0, 3.0]), A76, Terms("cycles", (3,)))
    assert found.factor == pytest.approx(0.1)


def test_relative_errors() -> None:
    found = relative_errors(np.array([1.1, 0.8, 1.0]), np.ones(3))
    assert found == {
        "median_abs_error": 0.1, "mean_abs_error": 0.1, "max_abs_error": 0.2, "bias": -0.0333,
    }  # fmt: skip


def rule(request: CountRequest) -> Work:
    """A stand-in for the emulator: work by multiply-adds and lines of text."""
    lines = len(request.param.splitlines())
    return Work(request.flops / 2 + 1e4 * lines, request.flops / 4 + 5e3 * lines, l3_misses=lines)


def count(requests: Sequence[CountRequest]) -> list[Work]:
    return [rule(request) for request in requests]


FAKE = SimpleNamespace(
    core=A76, engine="ncnn", engine_version="1.0", versions={"ncnn": "1.0", "qemu": "7.2"}
)


def compared(chosen: dict[str, float]) -> dict[str, Any]:
    works = count([benchmark_request(name) for name in chosen])
    return compare_with_published(FAKE, chosen, works)  # type: ignore[arg-type]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    rows = ["device,threads,network,min_ms,max_ms,avg_ms"]
    for name in NETWORKS:
        seconds = CycleModel("cycles", 1.5, (0.0, 0.0, 9.0)).seconds(
            rule(benchmark_request(name)), A76
        )
        rows.append(f"rpi5,1,{name},{seconds * 1e3},9,9")
        rows.append(f"rpi4,1,{name},1,1,1")
    path = tmp_path / "published.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_published_rows_of_the_board(published: Path) -> None:
    assert set(published_seconds(get_core("cortex-a72"), published).values()) == {1e-3}
    assert published_seconds(A76, published).keys() == NETWORKS.keys()


def test_the_published_benchmark_is_named_by_the_user(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("G4NAS_DATA", raising=False)
    assert published_path(published) == published
    with pytest.raises(MissingDataError, match=r"--published FILE, or the folder .* G4NAS_DATA"):
        published_path(None)
    with pytest.raises(MissingDataError, match=r"the published benchmark must be at .*nothing"):
        published_path(tmp_path / "nothing.csv")
    monkeypatch.setenv("G4NAS_DATA", str(tmp_path))
    with pytest.raises(MissingDataError, match=f"must be at {tmp_path}/arm/ncnn_rpi_1thread.csv"):
        published_path(None)
    (tmp_path / "arm").mkdir()
    published.rename(tmp_path / "arm" / "ncnn_rpi_1thread.csv")
    assert published_seconds(A76, published_path(None)).keys() == NETWORKS.keys()


def test_the_comparison_finds_what_the_rows_were_made_by(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FITTED, "cortex-a76", Terms("cycles", (3,)))
    chosen = chosen_networks(A76, [], published)
    found = compared(chosen)
    assert found["model"]["factor"] == pytest.approx(1.5)
    assert found["model"]["waits"][2] == pytest.approx(9.0)
    assert found["network_error"]["max_abs_error"] < 1e-3
    assert found["errors"]["unfitted"]["bias"] == pytest.approx(-1 / 3, abs=0.01)
    text = format_check(found)
    assert all(f"\n{name:20}" in text for name in NETWORKS)


def test_a_few_networks_are_compared_without_a_fit(published: Path) -> None:
    chosen = chosen_networks(A76, ["vgg16"], published)
    found = compared(chosen)
    assert list(found["errors"]) == ["unfitted"]
    assert found["model"]["factor"] == 1.0


def test_an_unknown_network_lists_the_known(published: Path) -> None:
    with pytest.raises(ValueError, match=r"one of squeezenet, .*; got 'shufflenet_v3'"):
        chosen_networks(A76, ["shufflenet_v3"], published)


def test_what_a_block_adds() -> None:
    unit = Block.parse("shufflenet_v2@28x28 c_in=32 c_out=32 branch=16")
    every = plan_estimate(TINY).targets
    target = next(t for t in every if t.block.kind == "stem")
    assert block_work([target], {target.long: Work(7, 8)}) == {target.block: Work(7, 8)}
    targets = [t for t in every if t.before == (t.block,)]
    works = {(t.block,) * n: Work(100 * n + 5, 10 * n) for t in targets for n in (1, 2)}
    assert set(block_work(targets, works).values()) == {Work(100, 10)}
    assert chain_request((unit, unit)).flops == 2 * unit.flops


def test_caches_are_overwritten_before_a_chain_and_after_a_large_network() -> None:
    assert chain_request((Block.parse("conv@8x8 c_in=4 c_out=4"),)).evict
    assert benchmark_request("vgg16").evict
    assert not benchmark_request("squeezenet").evict


@pytest.fixture(scope="module")
def made() -> LatencyTable:
    plan = plan_estimate(TINY)
    works = {chain: rule(chain_request(chain)) for chain in plan.chains}
    model = {"base": "cycles", "factor": 0.9, "waits": (0.0, 0.0, 25.0), "how": "by hand"}
    comparison = {"model": model, "network_error": {"networks": 3}}
    return make_table(FAKE, comparison, plan, works, "a command")  # type: ignore[arg-type]


def test_the_header_of_an_estimated_table(made: LatencyTable, tmp_path: Path) -> None:
    header = made.header
    assert (header.source, header.target, header.command) == ("estimated", "rpi5", "a command")
    assert header.label.startswith("estimated: Raspberry Pi 5 (Cortex-A76 2.4 GHz), estimated")
    assert header.scale == {"factor": 0.9, "how": "by hand"}
    facts = header.extra["estimate"]
    assert (facts["base"], facts["waits"]) == ("cycles", [0.0, 0.0, 25.0])
    assert header.network_error["networks"] == 3
    assert header.network_error["sum_of_blocks"]["networks"] >= len(EXACT)
    again = load_table(made.save(tmp_path / "board"))
    assert isinstance(again, LatencyTable)
    assert again.entries == made.entries
    assert again.header.extra == header.extra


def test_rows_are_seconds_before_the_factor(made: LatencyTable) -> None:
    block = next(b for b in made.entries if b.kind == "shufflenet_v2" and b["stride"] == 1)
    work = rule(chain_request((block, block))) - rule(chain_request((block,)))
    seconds = (work.cycles + 25 * work.l3_misses) / 2.4e9
    assert made.entries[block].median_s == pytest.approx(seconds)
    assert made.block_s(block) == pytest.approx(0.9 * seconds)


def test_the_papers_networks_are_in_a_table_exactly(made: LatencyTable) -> None:
    space = ShuffleNetV2Space()
    for text in EXACT:
        assert set(space.lower(space.parse(text)).blocks) <= made.entries.keys()


class TestCommand:
    def test_networks_go_with_check(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert estimate.main(["--networks", "vgg16"]) == 2
        assert "--networks goes with --check" in capsys.readouterr().err

    def test_mistakes_are_found_before_anything_is_fetched(
        self, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        where = ["--published", str(published)]
        assert estimate.main(["--check", "--networks", "x", *where]) == 2
        assert estimate.main(["--check", "--engine", "tensorflow", *where]) == 2
        assert estimate.main(["--check", "--published", str(tmp_path / "none")]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 3
        assert "network must be one of" in lines[0]
        assert "engine must be one of ncnn; got 'tensorflow'" in lines[1]
        assert "published benchmark must be at" in lines[2]

    def test_no_published_benchmark_is_one_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("G4NAS_DATA", raising=False)
        assert estimate.main([]) == 2
        line = capsys.readouterr().err
        assert "--published FILE" in line and "G4NAS_DATA" in line and line.count("\n") == 1

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "line 1: must have the columns device, network, min_ms; it lacks device"),
            ("device,network,min_ms\n", "must have rows of the device rpi5; it has none"),
            ("device,network\nrpi5,vgg16\n", "it lacks min_ms"),
            ("device,network,min_ms\nrpi5,vgg16\n", "line 2: `min_ms` must be a number"),
            ("device,network,min_ms\nrpi5,vgg16,nan\n", "line 2: `min_ms` must be a number"),
            ("device,network,min_ms\nrpi5,vgg16,-1\n", "from 0.001 to 1e+06; got '-1'"),
            ("device,network,min_ms\nrpi5,vgg16,1e300\n", "got '1e300'"),
            ("device,network,min_ms\nrpi5,a,1\nrpi5,a,2\n", "line 3: a second row of 'a'"),
            ('device,network,min_ms\nrpi5,"' + "x" * 200_000, "field larger than field limit"),
        ],
    )  # fmt: skip
    def test_a_damaged_benchmark_is_one_line(
        self, text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "published.csv"
        path.write_text(text)
        assert estimate.main(["--check", "--published", str(path)]) == 2
        line = capsys.readouterr().err
        assert told in line and str(path) in line and line.count("\n") == 1

    @pytest.mark.parametrize(
        ("option", "kind"),
        [(o, k) for o in ("--published", "--out") for k in ("pipe", "folder")]
        + [("--published", "device")],
    )
    def test_what_is_no_file_is_refused_at_once(
        self, option: str, kind: str, published: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        monkeypatch.setattr(run, "Estimator", None)  # nothing is counted
        path = tmp_path / "x.json"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path = Path("/dev/zero")
        words = [] if option == "--published" else ["--published", str(published)]
        assert estimate.main([*words, option, str(path)]) == 2
        line = capsys.readouterr().err
        assert f"{path}: must be a file; it is a {kind}" in line and line.count("\n") == 1

    def test_two_at_once_into_one_table(
        self, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with locked(tmp_path / "rpi5.json", "estimate"):
            words = ["--published", str(published), "--out", str(tmp_path)]
            assert estimate.main(words) == 2
        line = capsys.readouterr().err
        assert "another estimate is running in" in line and line.count("\n") == 1

    @examples(30)
    @given(data=mutated_csv(ROWS))
    def test_property_a_benchmark_is_read_or_one_line(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes
    ) -> None:
        path = tmp_path_factory.mktemp("published") / "rows.csv"
        path.write_bytes(data)
        try:
            found = published_seconds(A76, path)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:
            assert found and all(1e-6 <= seconds <= 1e3 for seconds in found.values())

    def test_check_prints_and_a_table_is_saved(
        self,
        published: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(run, "Estimator", lambda *_: nullcontext(FakeEstimator()))
        monkeypatch.setattr(run, "GRID", TINY)
        words = ["--published", str(published), "--format", "json"]
        assert estimate.main(["--check", "--networks", "vgg16", *words]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["network_error"]["rows"][0]["network"] == "vgg16"
        assert "1 of 1 networks to run under the emulator, about 2 min of" in err
        assert estimate.main([*words, "--out", str(tmp_path)]) == 0
        out, err = capsys.readouterr()
        header = json.loads(out)
        saved = json.loads((tmp_path / "rpi5.json").read_text())
        assert {**header, "csv_sha256": saved["csv_sha256"]} == saved
        assert header["command"].startswith("python -m latency.estimate --published")
        assert f"written: {tmp_path / 'rpi5.json'}, rpi5.csv" in err
        assert estimate.main([*words[:2], "--out", str(tmp_path / "other.json")]) == 0
        assert capsys.readouterr().out == ""
        assert (tmp_path / "other.csv").is_file()


class FakeEstimator(SimpleNamespace):
    """Counts by `rule`."""

    def __init__(self) -> None:
        super().__init__(**vars(FAKE))

    def missing(self, requests: Sequence[CountRequest]) -> Sequence[CountRequest]:
        return requests

    def expected_s(self, requests: Sequence[CountRequest]) -> float:
        return 100.0

    def work(
        self, requests: Sequence[CountRequest], report: Callable[[int, int], object]
    ) -> list[Work]:
        report(len(requests), len(requests))
        return count(requests)


@pytest.mark.parametrize("name", ["rpi5", "rpi4"])
class TestShipped:
    """The headers of the shipped tables, recomputed from their rows."""

    def test_source(self, name: str) -> None:
        header = load_table(name).header
        assert (header.source, header.engine, header.threads) == ("estimated", "ncnn", 1)
        assert {"qemu", "llvm", "ncnn"} <= header.versions.keys()
        assert header.label.startswith("estimated: Raspberry Pi")

    def test_errors_are_those_of_the_rows(self, name: str) -> None:
        error = load_table(name).header.network_error
        rows = error["rows"]
        measured = np.array([row["published_s"] for row in rows])
        assert len(rows) == error["networks"] >= 10
        for kind in ("unfitted", "one factor", "model"):
            predicted = np.array([row[f"{kind}_s"] for row in rows])
            for key, value in relative_errors(predicted, measured).items():
                assert error["by_model"][kind][key] == pytest.approx(value, abs=2e-4)
                if kind == "model":
                    assert error[key] == error["by_model"][kind][key]

    def test_goal(self, name: str) -> None:
        assert load_table(name).header.network_error["median_abs_error"] <= 0.05

    def test_published_seconds_are_the_published(self, name: str, shared: Path) -> None:
        table = load_table(name)
        core = next(c for c in map(get_core, CORES) if c.device == name)
        known = published_seconds(core, shared / "data" / "arm" / "ncnn_rpi_1thread.csv")
        for row in table.header.network_error["rows"]:
            assert row["published_s"] == known[row["network"]]

    def test_shufflenet_is_in_it(self, name: str) -> None:
        table = load_table(name)
        assert isinstance(table, LatencyTable)
        space = ShuffleNetV2Space()
        half, full = (table.network_s(space.lower(space.parse(t)).blocks) for t in EXACT)
        assert 0 < half < full < 0.1
        assert json.loads(table.header.to_json())["estimate"]["core"].startswith("cortex-a7")
