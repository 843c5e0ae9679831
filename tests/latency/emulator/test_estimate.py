"""latency.estimate: the published networks, the model, the table; and the shipped tables."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from latency import estimate
from latency.builder.grid import Grid
from latency.emulator.check import FITTED, check, check_lines, published_seconds, request
from latency.emulator.cores import get_core
from latency.emulator.estimator import Estimator, Request, Work
from latency.emulator.model import CycleModel, Terms, fit, left_out, relative_errors
from latency.emulator.ncnn_benchmark import NETWORKS, published_network
from latency.emulator.ncnn_text import NetworkText
from latency.emulator.table import (
    EXACT,
    block_work,
    chain_request,
    chains_of,
    make_table,
    model_of,
    targets_of,
    whole_networks,
)
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.block import Block

# Multiply-adds in millions as their papers state them, or torchvision's documentation ("GFLOPS")
# where the paper has no figure; SqueezeNet here sees 227 pixels and pads its last convolution.
STATED = {
    "mobilenet": 569, "mobilenet_v2": 300, "mnasnet": 315, "proxylessnasnet": 320,
    "efficientnet_b0": 390, "efficientnetv2_b0": 720, "regnety_400m": 400, "resnet18": 1814,
    "resnet50": 3800, "alexnet": 720, "vgg16": 15470, "googlenet": 1550, "shufflenet": 130,
}  # fmt: skip
TINY = Grid("tiny", stem=8, first=9, rest=9, head=9)
A76 = get_core("cortex-a76")


@pytest.mark.parametrize("name", STATED)
def test_multiply_adds_are_the_stated_ones(name: str) -> None:
    assert published_network(name).flops == pytest.approx(STATED[name] * 1e6, rel=0.06)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_param_file_that_ncnn_can_read(name: str) -> None:
    lines = published_network(name).text().splitlines()
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
    found = fit(works, seconds, A76, Terms("cycles", (2, 3)))
    assert found.factor == pytest.approx(0.8)
    assert found.waits == pytest.approx((0.0, 3.0, 20.0))
    assert left_out(works, seconds, A76, Terms("cycles", (2, 3))) == pytest.approx(seconds)


def test_a_left_out_network_does_not_tell_its_own_seconds() -> None:
    works, seconds = some_works()
    spoiled = seconds.copy()
    spoiled[0] *= 2
    told = left_out(works, spoiled, A76, Terms("cycles", (2, 3)))
    assert told[0] == pytest.approx(seconds[0])
    assert told[1:] != pytest.approx(seconds[1:])


def test_a_factor_is_never_zero() -> None:
    works = [Work(1e6, 1e3, l3_misses=k) for k in (1e6, 2e6, 3e6)]
    found = fit(works, np.array([1.0, 2.0, 3.0]), A76, Terms("cycles", (3,)))
    assert found.factor == pytest.approx(0.1)


def test_relative_errors() -> None:
    found = relative_errors(np.array([1.1, 0.8, 1.0]), np.ones(3))
    assert found == {
        "median_abs_error": 0.1, "mean_abs_error": 0.1, "max_abs_error": 0.2, "bias": -0.0333,
    }  # fmt: skip


def rule(request: Request) -> Work:
    """A stand-in for the emulator: work by multiply-adds and lines of text."""
    lines = len(request.job.param.splitlines())
    return Work(request.flops / 2 + 1e4 * lines, request.flops / 4 + 5e3 * lines, l3_misses=lines)


def count(estimator: Estimator, requests: list[Request]) -> list[Work]:
    return [rule(request) for request in requests]


FAKE = SimpleNamespace(
    core=A76, engine="ncnn", engine_version="1.0", versions={"ncnn": "1.0", "qemu": "7.2"}
)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    rows = ["device,threads,network,min_ms,max_ms,avg_ms"]
    for name in NETWORKS:
        seconds = CycleModel("cycles", 1.5, (0.0, 0.0, 9.0)).seconds(rule(request(name)), A76)
        rows.append(f"rpi5,1,{name},{seconds * 1e3},9,9")
        rows.append(f"rpi4,1,{name},1,1,1")
    path = tmp_path / "published.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_published_rows_of_the_board(published: Path) -> None:
    assert set(published_seconds(get_core("cortex-a72"), published).values()) == {1e-3}
    assert published_seconds(A76, published).keys() == NETWORKS.keys()


def test_no_published_rows(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the published benchmark must be at"):
        published_seconds(A76, tmp_path / "nothing.csv")


def test_the_check_finds_what_the_rows_were_made_by(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FITTED, "cortex-a76", Terms("cycles", (3,)))
    found = check(FAKE, [], count, published)  # type: ignore[arg-type]
    assert found["model"]["factor"] == pytest.approx(1.5)
    assert found["model"]["waits"][2] == pytest.approx(9.0)
    assert found["network_error"]["max_abs_error"] < 1e-3
    assert found["errors"]["unfitted"]["bias"] == pytest.approx(-1 / 3, abs=0.01)
    text = check_lines(found)
    assert all(f"\n{name:20}" in text for name in NETWORKS)


def test_an_unknown_network_lists_the_known(published: Path) -> None:
    with pytest.raises(ValueError, match=r"one of squeezenet, .*; got 'shufflenet_v3'"):
        check(FAKE, ["shufflenet_v3"], count, published)  # type: ignore[arg-type]


def test_what_a_block_adds() -> None:
    unit = Block.parse("shufflenet_v2@28x28 c_in=32 c_out=32 branch=16")
    (target,) = [t for t in targets_of(TINY, ShuffleNetV2Space()) if t.block.kind == "stem"][:1]
    alone = {target.long: Work(7, 8)}
    assert block_work([target], alone) == {target.block: Work(7, 8)}
    targets = [t for t in targets_of(TINY, ShuffleNetV2Space()) if t.before == (t.block,)]
    works = {(t.block,) * n: Work(100 * n + 5, 10 * n) for t in targets for n in (1, 2)}
    assert set(block_work(targets, works).values()) == {Work(100, 10)}
    assert chain_request((unit, unit)).flops == 2 * unit.flops


def test_float32_is_asked_of_the_engine() -> None:
    unit = Block.parse("shufflenet_v2@28x28 c_in=32 c_out=32 branch=16")
    assert chain_request((unit,)).job.options == {}
    asked = chain_request((unit,), float32=True).job.options
    assert asked["use_fp16_arithmetic"] is False


@pytest.fixture(scope="module")
def made() -> LatencyTable:
    space = ShuffleNetV2Space()
    targets, whole = targets_of(TINY, space), whole_networks(space, 0)
    chains = [*chains_of(targets), *(network.blocks for network in whole)]
    works = {chain: rule(chain_request(chain)) for chain in chains}
    model = CycleModel("cycles", 0.9, (0.0, 0.0, 25.0))
    return make_table(
        FAKE, model, targets, works, whole, target="board", grid=TINY,  # type: ignore[arg-type]
        network_error={"networks": 3}, how="by hand", command="a command", seed=0,
    )  # fmt: skip


def test_a_table_says_that_it_is_estimated(made: LatencyTable, tmp_path: Path) -> None:
    header = made.header
    assert header.source == "estimated"
    assert header.label.startswith("estimated: Raspberry Pi 5 (Cortex-A76 2.4 GHz), estimated")
    assert header.scale == {"factor": 0.9, "how": "by hand"}
    assert model_of(header) == CycleModel("cycles", 0.9, (0.0, 0.0, 25.0))
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
        assert all(made.exact(block) for block in space.lower(space.parse(text)).blocks)


class TestCommand:
    def test_networks_go_with_check(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert estimate.main(["--networks", "vgg16"]) == 2
        assert "--networks goes with --check" in capsys.readouterr().err

    def test_mistakes_are_told_before_anything_is_fetched(
        self, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        where = ["--published", str(published)]
        assert estimate.main(["--check", "--networks", "x", *where]) == 2
        assert estimate.main(["--check", "--engine", "tensorflow", *where]) == 2
        assert estimate.main(["--check", "--published", str(tmp_path / "none")]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 3
        assert "network must be one of" in lines[0]
        assert "engine must be one of ncnn; got 'tensorflow'" in lines[1]
        assert "published benchmark must be at" in lines[2]


@pytest.mark.parametrize("name", ["rpi5", "rpi4"])
class TestShipped:
    """What the shipped tables say about themselves, told again from their own rows."""

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
            told = np.array([row[f"{kind}_s"] for row in rows])
            for key, value in relative_errors(told, measured).items():
                assert error["by_model"][kind][key] == pytest.approx(value, abs=2e-4)
                if kind == "model":
                    assert error[key] == error["by_model"][kind][key]

    def test_goal(self, name: str) -> None:
        assert load_table(name).header.network_error["median_abs_error"] <= 0.05

    def test_published_seconds_are_the_published(self, name: str) -> None:
        table = load_table(name)
        core = next(c for c in map(get_core, estimate.CORES) if c.device == name)
        try:
            known = published_seconds(core)
        except OSError as error:
            pytest.skip(str(error))
        for row in table.header.network_error["rows"]:
            assert row["published_s"] == known[row["network"]]

    def test_shufflenet_is_told(self, name: str) -> None:
        table = load_table(name)
        assert isinstance(table, LatencyTable)
        space = ShuffleNetV2Space()
        half, full = (table.network_s(space.lower(space.parse(t)).blocks) for t in EXACT)
        assert 0 < half < full < 0.1
        assert json.loads(table.header.to_json())["estimate"]["core"].startswith("cortex-a7")
