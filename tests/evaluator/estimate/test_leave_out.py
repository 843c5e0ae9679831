"""The command: the table on the public sources, and what a wrong file does."""

import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.benchmark import main
from evaluator.estimate.sources import OFA_RANGES, kernel_gain, read_once_for_all
from evaluator.estimate.stored import read_fitted
from evaluator.estimate.zoo import DEEPENED, depth_of_deepened, read_zoo, rows_of_recipes
from space.common.errors import MissingDataError
from tests.helpers.hostile import examples, mutated_csv, run_hostile


def ofa_text(rows: int = 80) -> str:
    rng = np.random.default_rng(0)
    lines = [",".join(OFA_RANGES)]
    for _ in range(rows):
        depth = rng.integers(2, 5, 5)
        kernel = np.where(np.arange(4) < depth[:, None], rng.choice([3, 5, 7], (5, 4)), 0)
        expansion = np.where(np.arange(4) < depth[:, None], rng.choice([3, 4, 6], (5, 4)), 0)
        top1 = 70 + np.log(expansion + 1).sum() / 10 + 0.01 * kernel.sum()
        numbers = [*depth, *kernel.ravel(), *expansion.ravel(), 10**8 + expansion.sum() * 10**6]
        lines.append(",".join(map(str, [*numbers, round(float(top1), 3)])))
    return "\n".join([*lines, ""])


OFA_TEXT = ofa_text()
LAYERS = "3,8,3,2,1,112;{c},{c},3,1,{c},14;{c},{c},3,1,{c},7;{c},1000,fc"
ZOO_COLUMNS = "name,source,group,act,recipe,licence,file,top1,macs,layers"


def zoo_text() -> str:
    rows = []
    for source, begin, count in (
        ("torchvision", "shufflenet_v2_x", 4),
        ("megvii", "ShuffleNetV2 ", 4),
        ("PaddleClas", "ShuffleNetV2_x", 4),
        ("imgclsmob", "ShuffleNetV2 x", 4),
        ("imgclsmob", "ShuffleNetV2b x", 4),
    ):
        for size in range(count):
            top1 = 60 + 5 * size - 0.5 * size**2 + 0.01 * (-1) ** size
            layers = LAYERS.format(c=8)
            rows.append(
                f'{begin}{size},{source},snv2,relu,r,MIT,f,{top1},{10**7 * 3**size},"{layers}"'
            )
    for name, c, units in zip(DEEPENED, (96, 106, 115, 134), (1, 2, 3, 1), strict=True):
        layers = ";".join([LAYERS.format(c=c)] + [f"{c},{c},3,1,{c},7"] * units)
        rows.append(f'{name},timm,mbv2,relu6,r,A,f,{c / 10 + 60 + units},1e8,"{layers}"')
    return "\n".join([ZOO_COLUMNS, *rows, ""])


ZOO_TEXT = zoo_text()


def nats_text(rows: int = 60) -> str:
    rng = np.random.default_rng(0)
    lines = [
        "width1,width2,width3,width4,width5,cifar10_top1,cifar100_top1,imagenet16_top1,params,flops"
    ]
    for _ in range(rows):
        widths = rng.choice([8, 16, 32, 64], 5)
        top1 = np.log(widths) @ [0.3, 0.5, 0.5, 1, 1] + rng.normal(0, 0.1, 3)
        flops = widths @ [5, 3, 3, 2, 1]
        numbers = [*widths, *np.add(top1, (70, 40, 20)).round(3), 9, flops]
        lines.append(",".join(map(str, numbers)))
    return "\n".join([*lines, ""])


def accel_text(rows: int = 120) -> str:
    rng = np.random.default_rng(1)
    keys = ("e", "k", "l", "se")
    lines = [",".join([*(f"block{i}_{key}" for i in range(7) for key in keys),
                       "val_top1,macs,params"])]  # fmt: skip
    for _ in range(rows):
        e, k = rng.choice([1, 4, 6], 7), rng.choice([3, 5], 7)
        units, se = rng.integers(1, 4, 7), rng.integers(0, 2, 7)
        top1 = 50 + (np.log(e) + 0.4 * units + 0.1 * k) @ 1.7 ** np.arange(-4, 3) / 3
        top1 += 0.2 * se.sum() + rng.normal(0, 0.2)
        row = np.column_stack([e, k, units, se]).ravel()
        lines.append(",".join(map(str, [*row, round(float(top1), 3), 50 + e @ units, 3])))
    return "\n".join([*lines, ""])


NATS_TEXT, ACCEL_TEXT = nats_text(), accel_text()


def put(folder: Path, name: str, text: str | bytes) -> Path:
    """`folder`, with this text as a table."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    (folder / name / f"{name}.csv.xz").write_bytes(lzma.compress(data))
    return folder


def test_means_over_the_units_of_a_stage_by_hand(tmp_path):
    header = ",".join(OFA_RANGES)
    d = [2, 3, 4, 2, 2]
    k = [[3, 5, 0, 0], [3, 3, 7, 0], [5, 5, 5, 7], [3, 3, 0, 0], [7, 7, 0, 0]]
    e = [[3, 6, 0, 0], [4, 4, 4, 0], [3, 3, 6, 6], [6, 6, 0, 0], [3, 4, 0, 0]]
    row = [*d, *np.ravel(k), *np.ravel(e), 2e8, 75.5]
    found = read_once_for_all(put(tmp_path, "dynas_ofa", f"{header}\n" + "\n".join(
        ",".join(map(str, each)) for each in (row, [3, *row[1:5], 3, 5, 3, *row[8:25], 3, 6, 3,
                                                    *row[28:]])) + "\n"))  # fmt: skip
    assert found.axes["width"][0] == pytest.approx(
        [np.log(18) / 2, np.log(4), np.log(18) / 2, np.log(6), np.log(12) / 2]
    )
    assert found.axes["depth"].tolist() == [[2, 3, 4, 2, 2], [3, 3, 4, 2, 2]]
    gain = kernel_gain(np.array([3.0, 5.0, 7.0]))
    assert found.axes["kernel"][0] == pytest.approx(
        [gain[1] / 2, gain[2] / 3, (3 * gain[1] + gain[2]) / 4, 0, gain[2]]
    )
    assert found.levels.tolist() == [-3, -2, -1, -1, 0]
    assert found.accuracy.tolist() == [75.5, 75.5] and found.flops.tolist() == [2e8, 2e8]


def test_what_a_unit_is_worth_by_hand(tmp_path):
    """Accuracy = 60 + 10 log(last width) + 0.5 units, all units at the last level but one at 14.

    Seven groups have weights 1/16, 1/8, 1/4, 1/2, 1/2, 1, 1 at a growth of 2; half of 10 over
    their sum is what a unit of inner width is worth."""
    rows = []
    for name, c, units in zip(DEEPENED, (96, 106, 115, 134), (1, 2, 3, 1), strict=True):
        layers = ";".join([LAYERS.format(c=c)] + [f"{c},{c},3,1,{c},7"] * units)
        top1 = 20 + 10 * np.log(c) + 0.5 * (1.5 + units)
        rows.append(f'{name},timm,mbv2,relu6,r,A,f,{top1},1e8,"{layers}"')
    zoo = read_zoo(put(tmp_path, "imagenet_zoo", "\n".join([ZOO_COLUMNS, *rows, ""])))
    mean, variance = depth_of_deepened(zoo, np.log(2), 0.1)
    total = 1 / 16 + 1 / 8 + 1 / 4 + 1 / 2 + 1 / 2 + 1 + 1
    assert mean == pytest.approx(0.5 / (5 / total))
    assert variance > 0
    with pytest.raises(ValueError, match=r"must have the network mobilenetv2_120d"):
        depth_of_deepened([row for row in zoo if "120d" not in row.name], np.log(2), 0.1)
    with pytest.raises(ValueError, match="must have at least 4 rows of ShuffleNet v2 of torchvi"):
        rows_of_recipes(zoo)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("d3", "d9", "dynas_ofa.csv.xz: must have the column 'd3' once; its columns are"),
        ("top1", "acc", "dynas_ofa.csv.xz: must have the column 'top1' once"),
        (OFA_TEXT.splitlines()[1], "9" + OFA_TEXT.splitlines()[1][1:],
         "dynas_ofa.csv.xz, line 2: `d1` must be an integer from 1 to 4; got '9'"),
    ],
)  # fmt: skip
def test_a_file_of_another_schema_is_one_line(tmp_path, old, new, message):
    put(tmp_path, "dynas_ofa", OFA_TEXT.replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        read_once_for_all(tmp_path)


def test_units_that_the_depths_do_not_count_are_refused(tmp_path):
    lines = OFA_TEXT.splitlines()
    first = lines[1].split(",")
    first[0] = str(5 - int(first[0])) if first[0] in "23" else "2"
    put(tmp_path, "dynas_ofa", "\n".join([lines[0], ",".join(first), *lines[2:], ""]))
    with pytest.raises(ValueError, match=r"must be 0 for the units beyond `d`.*network 1 has"):
        read_once_for_all(tmp_path)


@pytest.mark.parametrize("layers", ["8,8,3,1,8", "8,8,0,1,8,7", "8,8,3,1,8,x", "", "a,b,fc;1"])
def test_layers_that_cannot_be_read_are_refused(tmp_path, layers):
    put(tmp_path, "imagenet_zoo", ZOO_TEXT.replace(LAYERS.format(c=8), layers, 1))
    with pytest.raises(ValueError, match="network 1: `layers` must be c_in,c_out,kernel"):
        read_zoo(tmp_path)


def test_missing_tables_say_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.delenv("G4NAS_DATA", raising=False)
    with pytest.raises(MissingDataError, match=r"got none\. .*docs/guide/accuracy\.md"):
        read_once_for_all()
    with pytest.raises(MissingDataError, match=r"there is no .*imagenet_zoo\.csv\.xz"):
        read_zoo(tmp_path)


def test_a_word_that_is_no_folder_and_no_table_is_one_line(tmp_path, capsys):
    for words in ([str(tmp_path / "none")], ["nb201"], ["nats-sss", "--write", "x"]):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and err.startswith("evaluator.benchmark: ")
    assert main([str(tmp_path)]) == 2
    assert "must name the folder that has imagenet_zoo/imagenet_zoo" in capsys.readouterr().err


@examples(15)
@given(ofa=st.one_of(st.just(OFA_TEXT.encode()), mutated_csv(OFA_TEXT)), zoo=mutated_csv(ZOO_TEXT))
def test_property_estimate_tables(ofa, zoo, tmp_path_factory):
    folder = put(tmp_path_factory.mktemp("tables"), "dynas_ofa", ofa)
    put(folder, "imagenet_zoo", zoo)
    put(put(folder, "nats_sss", NATS_TEXT), "accel_nasbench", ACCEL_TEXT)
    run_hostile(main, [str(folder)], name="evaluator.benchmark")


@pytest.mark.slow
def test_the_table_on_the_public_sources(public_data, capsys):
    """Ranks and coverage of sources that were left out, as the results page prints them."""
    for name in ("dynas_ofa", "imagenet_zoo"):
        if not (public_data / name).is_dir():
            pytest.skip(f"needs {public_data / name}, which is not here")
    assert main([str(public_data), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    page = Path("docs/results/accuracy.md").read_text(encoding="utf-8")
    ranks = {row["source"]: row["rank"] for row in report["sources"]}
    for row in report["sources"]:
        cells = [f"{row[key]:.3f}" for key in ("rank", "in 80%", "in 90%")]
        assert all(cell.removeprefix("0") in page for cell in cells), row
    assert min(rank for name, rank in ranks.items() if name.startswith("nats")) > 0.90
    assert ranks["accel-nasbench"] > 0.87 and ranks["dynas-ofa"] > 0.83
    assert main(["--data", str(public_data)]) == 0
    printed = capsys.readouterr().out
    assert f"{ranks['accel-nasbench']:.3f}" in printed and "pooled effects" in printed


def test_small_tables_give_a_report(tmp_path, capsys):
    """The whole way on tables that were made up: what is written is read by the product."""
    for name, text in (
        ("nats_sss", NATS_TEXT),
        ("accel_nasbench", ACCEL_TEXT),
        ("dynas_ofa", OFA_TEXT),
        ("imagenet_zoo", ZOO_TEXT),
    ):
        put(tmp_path, name, text)
    path = tmp_path / "e.json"
    assert main([str(tmp_path), "--write", str(path), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["networks"] for row in report["sources"]] == [60, 60, 60, 120, 80]
    assert {row["effect"] for row in report["effects"]} == {"growth", "depth", "kernel", "scale"}
    fitted = read_fitted(path)
    assert fitted.effects.depth.mean == pytest.approx(report["effects"][1]["mean"])
