"""Two tables beside each other: ratios by hand, and what cannot be compared."""

import json
from dataclasses import replace

import pytest

from latency.diff import main
from latency.table import LatencyTable, Measurement, load_table


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


def test_unknown_table(capsys):
    assert main(["rpi5", "nope"]) == 2
    told = capsys.readouterr().err
    assert "nope" in told and told.count("\n") == 1


def test_cost_models_of_ops_are_compared_by_networks(capsys):
    assert main(["arm", "rpi5", "--networks", "10"]) == 0
    assert "10 random networks predicted by both" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["rpi5", "rpi4", "--networks", "5"]])
def test_picture(words, tmp_path, capsys):
    path = tmp_path / "diff.png"
    assert main([*words, "--out", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
