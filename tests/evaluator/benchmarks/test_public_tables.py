"""Public tables: what is read, against hand counts of published networks."""

import lzma
import os
import re
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.benchmark import main as benchmark_main
from evaluator.benchmarks import DATASETS
from evaluator.benchmarks.public_tables import READERS, SOURCES, halves, read_table
from evaluator.predictor.__main__ import main as predictor_main
from space.common.errors import MissingDataError
from tests.helpers.hostile import examples, mutated_csv, run_hostile
from tests.helpers.small_tables import write_table


class Layer(NamedTuple):
    """A convolution of a public network; `stage` None: stem, head or shortcut."""

    stage: int | None
    c_in: int
    c_out: int
    kernel: int
    size: int = 0
    groups: int = 1
    norm: bool = True

    @property
    def fan_in(self) -> int:
        return self.c_in // self.groups * self.kernel**2

    @property
    def params(self) -> int:
        return self.fan_in * self.c_out + (2 * self.c_out if self.norm else 0)


def nats_layers(widths: tuple[int, ...]) -> list[Layer]:
    """Dong et al., Section 3.2: a stem, then cells of the one genotype (nodes 0 to 3;
    3x3 convolutions 0-1, 0-2, 1-2, 1-3, 2-3 and a skip 0-3) with a residual block of stride 2
    after the first and the second. A skip between other widths is a 1x1 convolution."""
    c1, c2, c3, c4, c5 = widths
    layers = [Layer(None, 3, c1, 3, 32)]
    for stage, c_in, c_out, size in ((0, c1, c1, 32), (2, c2, c3, 16), (4, c4, c5, 8)):
        layers += [Layer(stage, c_in, c_out, 3, size)] * 2
        layers += [Layer(stage, c_out, c_out, 3, size)] * 3
        if c_in != c_out:
            layers.append(Layer(None, c_in, c_out, 1, size))
    for stage, c_in, c_out, size in ((1, c1, c2, 16), (3, c3, c4, 8)):
        layers += [Layer(stage, c_in, c_out, 3, size), Layer(stage, c_out, c_out, 3, size)]
        layers.append(Layer(None, c_in, c_out, 1, size, norm=False))
    return layers


def accel_layers(row: dict[str, int]) -> list[Layer]:
    """Ahmad et al., "Accel-NASBench": the seven stages of EfficientNet-B0, without
    squeeze-and-excite here, between a stem of 32 and a head of 1280."""
    layers, c_in = [Layer(None, 3, 32, 3)], 32
    for stage, c_out in enumerate((16, 24, 40, 80, 112, 192, 320)):
        e, k, depth = (row[f"block{stage}_{key}"] for key in "ekl")
        for _ in range(depth):
            hidden = c_in * e
            if e > 1:
                layers.append(Layer(stage, c_in, hidden, 1))
            layers.append(Layer(stage, hidden, hidden, k, groups=hidden))
            layers.append(Layer(stage, hidden, c_out, 1))
            c_in = c_out
    return [*layers, Layer(None, c_in, 1280, 1)]


def sums(layers: list[Layer], stages: int) -> tuple[float, list[float]]:
    """Log output widths over the convolutions of stages, and log fan-in in each stage."""
    inside = [layer for layer in layers if layer.stage is not None]
    fan_in = [sum(log(x.fan_in) for x in inside if x.stage == s) for s in range(stages)]
    return sum(log(layer.c_out) for layer in inside), fan_in


@pytest.mark.parametrize(
    ("widths", "params", "flops"),
    [  # rows of the table
        ((8, 8, 8, 8, 8), 11_714, 4_481_104),
        ((8, 8, 8, 8, 16), 18_386, 4_894_880),
        ((16, 24, 32, 40, 64), 252_026, 37_294_720),
        ((24, 8, 40, 16, 56), 190_962, 47_526_448),
    ],
)
def test_layer_sums_of_a_size_space_network_by_hand(tmp_path, widths, params, flops):
    layers, last = nats_layers(widths), widths[-1]
    assert sum(x.params for x in layers) + 2 * last + 10 * last + 10 == params
    assert sum(x.fan_in * x.c_out * x.size**2 for x in layers) + 10 * last == flops
    row = {f"width{i}": [width] for i, width in enumerate(widths, 1)}
    tops = {"cifar10_top1": [90.0], "cifar100_top1": [70.0], "imagenet16_top1": [40.0]}
    counts = {"params": [params], "flops": [flops]}
    table = read_table("nats-sss", write_table(tmp_path, "nats_sss", row | tops | counts))
    width_sum, fan_in = sums(layers, 5)
    assert table.log_width_layers.tolist() == pytest.approx([width_sum])
    assert table.fan_in_layers[0].tolist() == pytest.approx(fan_in)
    assert table.widths.tolist() == [list(widths)] and table.flops.tolist() == [flops]
    assert {name: value.tolist() for name, value in table.accuracy.items()} == {
        "CIFAR-10": [90.0],
        "CIFAR-100": [70.0],
        "ImageNet16-120": [40.0],
    }


def test_layer_sums_of_an_accelerator_network_by_hand(tmp_path):
    """The table's first row, which has no squeeze-and-excite."""
    choices = {"e": (6, 4, 6, 6, 6, 1, 1), "k": (3, 5, 3, 5, 5, 3, 3), "l": (1, 2, 3, 3, 2, 2, 2)}
    row = {f"block{i}_{key}": v for key, each in choices.items() for i, v in enumerate(each)}
    layers = accel_layers(row)
    assert sum(x.params for x in layers) + 1280 * 1000 + 1000 == 2_501_160
    counts = {"val_top1": 59.368, "macs": 415.361072, "params": 2.50116}
    se = {f"block{i}_se": i == 3 for i in range(7)}
    columns = {name: [value] for name, value in (row | se | counts).items()}
    table = read_table("accel-nasbench", write_table(tmp_path, "accel_nasbench", columns))
    width_sum, fan_in = sums(layers, 7)
    assert table.log_width_layers.tolist() == pytest.approx([width_sum])
    assert table.fan_in_layers[0].tolist() == pytest.approx(fan_in)
    assert table.splits.tolist() == [list(choices["e"])]
    assert table.depths.tolist() == [list(choices["l"])]
    assert table.se.tolist() == [[0, 0, 0, 1, 0, 0, 0]]
    assert table.levels.tolist() == [0, 1, 2, 3, 3, 4, 4]
    assert table.params[0] == pytest.approx(2_501_160) and table.flops[0] == 415_361_072
    assert table.accuracy["ImageNet"].tolist() == [59.368]


def test_tables_have_the_published_number_of_networks(public_data):
    assert [len(read_table(name).flops) for name in DATASETS] == [32_768, 5_138]


def test_a_folder_that_nobody_names_is_missing_data(monkeypatch):
    monkeypatch.delenv("G4NAS_DATA", raising=False)
    with pytest.raises(
        MissingDataError, match=r"^--data or \$G4NAS_DATA must name .*; got none\."
    ):
        read_table("nats-sss")
    with pytest.raises(MissingDataError, match=r"docs/guide/predictor\.md says .*Accel-NASBench$"):
        read_table("accel-nasbench")


def test_an_argument_wins_over_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("G4NAS_DATA", str(tmp_path / "variable"))
    with pytest.raises(MissingDataError, match=r"no .*variable/nats_sss/nats_sss\.csv\.xz\. It"):
        read_table("nats-sss")
    with pytest.raises(MissingDataError, match=r"no .*argument/nats_sss/nats_sss\.csv\.xz\. It"):
        read_table("nats-sss", tmp_path / "argument")


def test_unknown_tables_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must be one of nats-sss, accel-nasbench; got 'nb201'"):
        read_table("nb201", tmp_path)


def test_halves_are_disjoint_and_the_same_every_time():
    first, second = halves(101)
    assert sorted([*first, *second]) == list(range(101))
    assert np.array_equal(first, halves(101)[0])


TOPS = ("cifar10_top1", "cifar100_top1", "imagenet16_top1")
COLUMNS = [*(f"width{i}" for i in range(1, 6)), *TOPS, "params", "flops"]
NATS = "\n".join(
    [
        ",".join(COLUMNS),
        *(
            f"{8 + 8 * (i % 7)},8,16,{8 + 8 * (i % 3)},8,{60 + i % 31}.5,{10 + i}.25,{5 + i},"
            f"{9000 + i},{10**6 + 7 * i}"
            for i in range(80)
        ),
        "",
    ]
)


def packed(folder: Path, text: str | bytes, name: str = "nats_sss") -> Path:
    """`folder`, with this text as a table."""
    (folder / name).mkdir(parents=True)
    data = text.encode() if isinstance(text, str) else text
    (folder / name / f"{name}.csv.xz").write_bytes(lzma.compress(data))
    return folder


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width3", "width9", "must have the column 'width3' once; its columns are"),
        ("flops", "width1", "must have the column 'width1' once"),
        ("60.5", "much", "line 2: `cifar10_top1` must be a number from 0 to 100; got 'much'"),
        ("60.5", "", "line 2: `cifar10_top1` must be a number from 0 to 100; got ''"),
        ("60.5", "nan", "line 2: `cifar10_top1` must be a number from 0 to 100; got 'nan'"),
        ("60.5", "160.5", "line 2: `cifar10_top1` must be a number from 0 to 100; got '160.5'"),
        ("8,8,16", "8,0,16", "line 2: `width2` must be an integer from 1 to 10000; got '0'"),
        ("8,8,16", "8,8.5,16", "line 2: `width2` must be an integer from 1 to 10000; got '8.5'"),
        ("60.5", "60.5,1", "line 2: must have 10 fields; got 11"),
        ("60.5", "x" * 200_000, "line 2: field larger than field limit"),
    ],
)
def test_a_table_of_a_wrong_kind_is_one_line(tmp_path, capsys, old, new, message):
    path = packed(tmp_path, NATS.replace(old, new, 1))
    assert benchmark_main(["nats-sss", "--data", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert (
        err.startswith(f"evaluator.benchmark: {tmp_path}/nats_sss/nats_sss.csv.xz")
        and message in err
    )


def test_a_file_that_is_no_table_is_one_line(tmp_path, capsys):
    folder = packed(tmp_path, NATS)
    path = folder / "nats_sss" / "nats_sss.csv.xz"
    whole = path.read_bytes()
    header = NATS.splitlines()[0]
    contents = [b"", NATS.encode(), whole[:-5], whole[: len(whole) // 2], lzma.compress(b"\xff")]
    for content in (*contents, lzma.compress(b""), lzma.compress(header.encode())):
        path.write_bytes(content)
        assert benchmark_main(["nats-sss", "--data", str(folder)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and err.startswith(f"evaluator.benchmark: {path}: must ")
    path.unlink()
    os.mkfifo(path)
    assert benchmark_main(["nats-sss", "--data", str(folder)]) == 2
    assert "must be a file; it is a pipe" in capsys.readouterr().err


def test_a_mark_and_other_line_ends_change_nothing(tmp_path):
    plain = read_table("nats-sss", packed(tmp_path / "a", NATS))
    marked = "\ufeff" + NATS.replace("\n", "\r\n")
    other = read_table("nats-sss", packed(tmp_path / "b", marked))
    assert np.array_equal(plain.widths, other.widths) and np.array_equal(plain.flops, other.flops)


def test_the_page_says_where_each_table_comes_from():
    page = Path("docs/guide/predictor.md").read_text(encoding="utf-8")
    for name, source in SOURCES.items():
        assert source.split("github.com/")[1].strip(")") in page
        for column in READERS[name][1]:
            known = re.sub(r"^(width)\d$", "width1", re.sub(r"^block\d", "block0", column))
            assert f"`{known}`" in page


@examples(12)
@given(content=mutated_csv(NATS), command=st.sampled_from(("benchmark", "predictor")))
def test_property_public_tables(content, command, tmp_path_factory):
    folder = packed(tmp_path_factory.mktemp("tables"), content)
    words = ["nats-sss", "--data", str(folder)]
    if command == "benchmark":
        run_hostile(benchmark_main, words, name="evaluator.benchmark")
    else:
        run_hostile(
            predictor_main, [*words, "--labels", "10", "--draws", "1"], name="evaluator.predictor"
        )
