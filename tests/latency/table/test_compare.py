"""latency.diff: ratios by hand, and what cannot be compared."""

import json
from dataclasses import replace

import pytest

from latency.diff import main
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable, Measurement
from latency.table.load import load_table
from space.network.block import Block


@pytest.mark.slow
def test_a_table_twice_as_slow(tmp_path, capsys):
    table = load_table("rpi5")
    slower = {
        block: Measurement(2 * m.median_s, 2 * m.q25_s, 2 * m.q75_s, m.n)
        for block, m in table.entries.items()
    }
    header = replace(table.header, target="slower", csv_sha256="", threads=2)
    LatencyTable(header, slower).save(tmp_path / "slower.json")
    path = str(tmp_path / "slower.json")
    assert main(["rpi5", path, "--networks", "20", "--format", "json"]) == 0
    text = capsys.readouterr().out
    found = json.loads(text)
    assert found["differs"]["threads"] == [1, 2]
    assert found["tables"] == ["rpi5", "slower"]
    assert found["blocks"]["common"] == len(table.entries) and found["blocks"]["only"] == [0, 0]
    assert found["blocks"]["ratio"] == pytest.approx(2) == found["networks"]["ratio"]
    assert {round(row["ratio"], 9) for row in found["blocks"]["families"].values()} == {2.0}
    assert found["networks"]["predicted_by_both"] == 20
    assert found["networks"]["spearman"] == pytest.approx(1)


def one_block(tmp_path, name, block, **changes):
    """A table with a single row of a millisecond."""
    header = TableHeader(
        layout="blocks", target=name, source="measured", device=f"chip {name}", engine="null",
        date="2026-01-01", **changes,
    )  # fmt: skip
    table = LatencyTable(header, {Block.parse(block): Measurement(1e-3, 1e-3, 1e-3, 5)})
    return str(table.save(tmp_path / f"{name}.json"))


def test_nothing_in_common_is_one_line(tmp_path, capsys):
    a = one_block(tmp_path, "a", "stem@224x224 c_out=8", input="224x224")
    b = one_block(tmp_path, "b", "stem@160x160 c_out=8", input="160x160")
    assert main([a, b, "--networks", "3"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert "nothing can be compared" in err and "chip a" in err and "input 160x160" in err


def test_tables_without_a_common_network_are_compared_by_blocks(tmp_path, capsys):
    a = one_block(tmp_path, "a", "stem@224x224 c_out=8")
    b = one_block(tmp_path, "b", "stem@224x224 c_out=8", scale={"factor": 3.0, "how": "by hand"})
    assert main([a, b, "--networks", "3"]) == 0
    out = capsys.readouterr().out
    assert "1 blocks in both" in out and "3.000 on average" in out
    assert "no random network is predicted by both" in out


def test_unknown_table(capsys):
    assert main(["rpi5", "nope"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("latency.diff: unknown target 'nope'") and err.count("\n") == 1


def test_wrong_usage_is_one_line(capsys):
    assert main(["arm", "rpi5", "--networks", "-1"]) == 2
    assert capsys.readouterr().err == "latency.diff: --networks must be from 0 to 10000; got -1\n"


def test_cost_models_of_ops_are_compared_by_networks(capsys):
    assert main(["arm", "rpi5", "--networks", "10"]) == 0
    assert "10 random networks predicted by both" in capsys.readouterr().out


@pytest.mark.slow
def test_picture(tmp_path, capsys):
    path = tmp_path / "diff.png"
    words = ["rpi5", "rpi4", "--networks", "5"]
    assert main([*words, "--out", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert main([*words, "--out", str(path / "x.png")]) == 2
    assert (
        capsys.readouterr().err.splitlines()[1]
        == f"latency.diff: {path / 'x.png'}: Not a directory"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["diff.png"]
