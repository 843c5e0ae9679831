"""Every network off the shelf on a target: latencies by another route, a slow front, picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable, Measurement
from latency.table.load import load_table
from search.compare import main
from space.zoo.catalog import published_network, shelf_networks

HEADER = TableHeader(
    layout="blocks", target="hand", source="measured", device="no such chip", engine="onnxruntime",
    date="2026-01-31", input="224x224",
)  # fmt: skip


def record(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main(["--shelf", *words, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("target, batch", [("arm", 1), ("gpu", 8)])
def test_every_network_with_weights(
    target: str, batch: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Block by block from the table, and a front by comparing each with each."""
    found = record(capsys, "--target", target)
    rows, table = found["rows"], load_table(target)
    assert found["batch"] == batch and found["without_latency_why"] == ""
    assert {row["name"] for row in rows} == set(shelf_networks())
    for row in rows:
        entry = published_network(row["name"])
        assert row["latency_s"] == pytest.approx(sum(map(table.block_s, entry.network().blocks)))
        assert (row["top1"], row["weights"]) == (entry.weights[0].top1, entry.weights[0].weights)
        assert (row["latency_source"], row["whole"]) == ("published", False)
        beaten = any(
            other["latency_s"] <= row["latency_s"] and other["top1"] >= row["top1"]
            for other in rows
            if other is not row
        )
        assert row["front"] != beaten
    assert [row["latency_s"] for row in rows] == sorted(row["latency_s"] for row in rows)


def test_the_released_units_are_rows_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """The paper's figures beside torchvision's; its verdict is of torchvision's alone."""
    rows = {row["name"]: row for row in record(capsys)["rows"]}
    for size, own, released in (
        ("1.0", 144.9, 145.8),
        ("1.5", 295.8, 299.0),
        ("2.0", 583.3, 590.8),
    ):
        assert rows[f"ShuffleNet v2 {size}x"]["flops"] == pytest.approx(own * 1e6, abs=1e5)
        other = rows[f"ShuffleNet v2 {size}x released"]
        assert other["flops"] == pytest.approx(released * 1e6, abs=1e5)
    assert main(["--format", "json"]) == 0
    paper = json.loads(capsys.readouterr().out)
    assert not [row for row in paper["rows"] if "released" in row["name"]]
    assert [order["mflops"] for order in paper["orders"] if order["holds"]] == [140, 300, 500]


def hand_table(folder: Path, header: TableHeader = HEADER) -> Path:
    """Every block of PP-LCNet 1.0 takes 1 ms, and no others are known."""
    blocks = published_network("PP-LCNet 1.0").network().blocks
    table = LatencyTable(header, {b: Measurement(1e-3, 1e-3, 1e-3, 8) for b in blocks})
    return table.save(folder / "hand.json")


def test_what_a_table_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = hand_table(tmp_path)
    rows = record(capsys, "--target", str(path))["rows"]
    known = [row for row in rows if row["latency_s"] is not None]
    count = len(published_network("PP-LCNet 1.0").network().blocks)
    assert [(row["name"], row["front"]) for row in known] == [("PP-LCNet 1.0", True)]
    assert known[0]["latency_s"] == pytest.approx(count * 1e-3) and rows[0] == known[0]
    assert main(["--shelf", "--target", str(path), "--out", str(tmp_path / "one.png")]) == 0
    out = capsys.readouterr().out
    every = len(shelf_networks())
    told = f"latency -: {every - 1} of {every} networks; the table lacks blocks of kind bottleneck"
    assert told in out


def test_a_target_without_any_latency(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = replace(HEADER, source="estimated")
    words = ["--target", str(hand_table(tmp_path, header)), "--network", "ResNet-18"]
    assert main(["--shelf", *words]) == 1
    err = capsys.readouterr().err
    assert "must have a latency of a network off the shelf; it has none of ResNet-18: the" in err
    assert err.count("\n") == 1


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--shelf", "--target", "gpu", "--budget", "100M"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == [
        "network", "FLOPs", "params", "latency", "images/s", "top-1", "weights", "recipe"
    ]  # fmt: skip
    (row,) = [line.split() for line in lines if line.startswith("PP-LCNet 0.75")]
    seconds = load_table("gpu").network_s(published_network("PP-LCNet 0.75").network().blocks)
    assert row[2] == "94.79M" and float(row[6]) == pytest.approx(8 / seconds, abs=0.1)
    assert row[7:9] == ["68.2", "%"]
    assert not [line for line in lines if line.startswith("PP-LCNet 1.0")]  # 155.7M


@pytest.mark.slow
@pytest.mark.parametrize("target", ["arm", "epyc-turin-ort"])
def test_picture(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shelf.png"
    assert main(["--shelf", "--target", target, "--out", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().err.endswith(f"picture in {path}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--input", "160x160"],
            "each network's own input, 3 channels and 1000 classes: leave out",
        ),
        (["--classes", "10"], "leave out --classes"),
        (["--channels", "1"], "leave out --channels"),
        (["--features-only"], "leave out --features-only"),
        (["--network", "RepVGG-A0"], "must have a published top-1; RepVGG-A0 has none"),
        (["--budget", "30ms"], "must be FLOPs"),
        (["--budget", "1M"], "no network off the shelf has at most 1M"),
        (["--target", "epyc-turin-ort", "--batch", "8"], "was measured at batch 1"),
        (["--target", "arm", "--batch", "4"], "batch 1 only"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--shelf", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
