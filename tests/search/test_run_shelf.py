"""The shelf in the answer of the main job."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from latency.ondevice.host import chip
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from search.run import main
from space.zoo.catalog import published_network, shelf_networks

pytestmark = pytest.mark.slow
WORDS = ["--target", "arm", "--budget", "146M", "--trials", "20"]


def test_below_the_winners(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On paper's phone every network has a latency; the rows of the file are those of the text,
    each the sum of its blocks."""
    assert main([*WORDS, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    record = json.loads((tmp_path / "winners.json").read_text())
    shelf, table = record["shelf"], load_table("arm")
    assert (shelf["networks"], shelf["without_latency"]) == (len(shelf_networks()), [])
    base = record["baseline"]
    assert shelf["baseline"]["latency_s"] == base["latency_s"]
    assert shelf["baseline"]["top1"] == published_network("ShuffleNet v2 1.0x").top1
    assert shelf["rows"] and shelf["verdict"] in out.splitlines()
    below = out[out.index("\noff the shelf") :]
    assert out.index("winner 1: ") < out.index("\noff the shelf") < out.index("winner-1.onnx")
    for row in shelf["rows"]:
        entry = published_network(row["name"])
        blocks = entry.network().blocks
        assert row["latency_s"] == pytest.approx(sum(map(table.block_s, blocks)))
        assert row["speed_up"] == pytest.approx(base["latency_s"] / row["latency_s"])
        assert (row["flops"], row["top1"]) == (entry.network().flops, entry.top1)
        (line,) = [text for text in below.splitlines() if text.startswith(f"{row['name']}  ")]
        assert f"{row['top1']:.1f} %" in line and line.endswith(row["recipe"])


def test_not_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--no-shelf", "--out", str(tmp_path)]) == 0
    assert "shelf" not in capsys.readouterr().out
    record = json.loads((tmp_path / "winners.json").read_text())
    assert record["shelf"] is None and "--no-shelf" in record["command"].split()


def test_other_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, no rows: no top-1 is published of them."""
    assert main([*WORDS, "--input", "160x160", "--out", str(tmp_path)]) == 0
    told = "off the shelf: not compared; published top-1 is of 224x224, 3 channels, 1000 classes, "
    assert f"\n{told}the networks here are of 160x160, " in capsys.readouterr().out
    shelf = json.loads((tmp_path / "winners.json").read_text())["shelf"]
    assert (shelf["rows"], shelf["networks"], shelf["verdict"]) == ([], 0, "")


def test_a_table_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the table lacks is run whole, and kept; rows are run beside the winners, too."""
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path / "cache"))
    table = load_table("epyc-turin-ort")
    assert isinstance(table, LatencyTable)
    own = LatencyTable(replace(table.header, device=chip(), noise={}), table.entries)
    words = ["--target", str(own.save(tmp_path / "own.json")), *WORDS[2:]]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert "networks off the shelf whole, on this machine" in err
    (heading,) = [line for line in out.splitlines() if line.startswith("off the shelf  ")]
    assert "run whole" in heading
    shelf = json.loads((tmp_path / "out" / "winners.json").read_text())["shelf"]
    heavy = {n for n, e in shelf_networks().items() if e.network().flops > 700e6}
    assert set(shelf["without_latency"]) == heavy
    assert shelf["compared_whole"]
    for row in shelf["rows"]:
        assert row["latency_timed_whole"] and row["measured_whole_s"] > 0
        whole = shelf["baseline"]["measured_whole_s"] / row["measured_whole_s"]
        assert row["speed_up"] == pytest.approx(whole)
    assert list((tmp_path / "cache" / "shelf").glob("*.json"))
