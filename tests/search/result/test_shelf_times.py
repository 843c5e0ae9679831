"""Networks run whole on this machine: the null engine's times, and which of them are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from latency.engines.null import RUN_S, block_s
from latency.measure.drift import TimedGroup
from latency.measure.network import Timings
from latency.ondevice.host import chip
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable, Measurement
from search.result.shelf_times import (
    PricedNetwork,
    latencies_of,
    lowering_digest,
    read_times,
    times_path,
    unsteady_networks,
    with_whole_times,
)
from space.zoo.catalog import published_network, shelf_networks
from tests.helpers.hostile import examples, mutated_json

HEADER = TableHeader(
    layout="blocks", target="hand", source="measured", device="chip", engine="null",
    date="2026-01-31", csv_sha256="0" * 64,
)  # fmt: skip
LIGHT = ("PP-LCNet 0.35", "MobileNet v2 0.75 192x192", "ShuffleNet v2 1.0x")
VALID = '{"schema": 1, "seconds": {"0123456789abcdef": 0.0025, "fedcba9876543210": 0.001}}'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def priced(names: Sequence[str] = (*LIGHT, "ResNet-18")) -> list[PricedNetwork]:
    entries = [published_network(name) for name in names]
    return [PricedNetwork(entry, entry.network(), None) for entry in entries]


def test_whole_networks_are_timed_once(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The null engine takes RUN_S and the sum of the blocks; ResNet-18 is too heavy to be run."""
    found, problem = with_whole_times(priced(), HEADER)
    assert problem == ""
    for each in found[:-1]:
        own = RUN_S + sum(block_s(block) for block in each.network.blocks)
        assert each.whole and each.latency_s == pytest.approx(own, rel=1e-3)
    assert (found[-1].whole, found[-1].latency_s) == (False, None)
    assert capsys.readouterr().err == (
        "running 3 networks off the shelf whole, on this machine; times are kept\n"
    )
    assert with_whole_times(priced(), HEADER)[0] == found
    assert capsys.readouterr().err == ""
    more, _ = with_whole_times(priced((*LIGHT, "PP-LCNet 0.5")), HEADER)
    assert more[:3] == found[:3] and more[3].latency_s is not None
    assert capsys.readouterr().err.startswith("running a network off")


def test_a_full_table_of_this_machine_needs_no_run(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every block of every light network takes 1 ms."""
    header = replace(HEADER, engine="onnxruntime", device=chip())
    light = {n: e for n, e in shelf_networks().items() if e.network().flops <= 700e6}
    blocks = {block for entry in light.values() for block in entry.network().blocks}
    table = LatencyTable(header, {block: Measurement(1e-3, 1e-3, 1e-3, 8) for block in blocks})
    found, why = latencies_of(shelf_networks().values(), table)
    for each in found:
        count = len(each.network.blocks)
        assert not each.whole
        assert each.latency_s == (
            pytest.approx(count * 1e-3) if each.entry.name in light else None
        )
    assert why.startswith("the table lacks blocks of kind ")
    assert capsys.readouterr().err == "" and not cache.exists()


def test_times_are_of_one_table_and_engine() -> None:
    paths = {times_path(HEADER, "1.0"), times_path(HEADER, "1.1")}
    for change in (
        {"csv_sha256": "1" * 64}, {"threads": 2}, {"batch": 8}, {"dtype": "int8"},
        {"engine": "ncnn"}, {"device": "another"},
    ):  # fmt: skip
        paths.add(times_path(replace(HEADER, **change), "1.0"))
    assert len(paths) == 8


def test_times_are_of_the_ops_of_a_network() -> None:
    one, other = (published_network(name).network() for name in LIGHT[:2])
    assert lowering_digest(one) == lowering_digest(published_network(LIGHT[0]).network())
    assert lowering_digest(one) != lowering_digest(other)
    assert lowering_digest(one) != lowering_digest(published_network(LIGHT[0]).network(192, 192))


def test_times_are_at_the_tables_speed() -> None:
    """A table whose reference took twice as long as now: the times double."""
    now, _ = with_whole_times(priced(LIGHT), HEADER)
    reference = published_network("ShuffleNet v2 1.5x").network()
    now_s = RUN_S + sum(block_s(block) for block in reference.blocks)
    header = replace(HEADER, csv_sha256="2" * 64, noise={"reference_s": 2 * now_s})
    then, _ = with_whole_times(priced(LIGHT), header)
    for a, b in zip(now, then, strict=True):
        assert a.latency_s is not None and b.latency_s == pytest.approx(2 * a.latency_s, rel=1e-3)


@pytest.mark.parametrize(
    "text, told",
    [
        ("{", "line 1: not JSON: "),
        ('{"schema": 2, "seconds": {}}', "`schema` must be"),
        ('{"schema": 1, "seconds": {"a": -1}}', "`seconds.a` must be"),
        ('{"schema": 1, "seconds": {"a": 1e999}}', "a"),
        ("\x00", "not JSON"),
    ],
)
def test_a_damaged_file_is_measured_again(
    text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _ = with_whole_times(priced(LIGHT), HEADER)
    (path,) = times_path(HEADER, "1").parent.iterdir()
    path.write_text(text)
    capsys.readouterr()
    assert with_whole_times(priced(LIGHT), HEADER)[0] == found
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{path}: ") and told in first
    assert first.endswith(": these networks are measured again")
    assert second.startswith("running 3 networks")
    assert read_times(path)


def test_a_folder_that_cannot_be_written(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The search goes on; one line says that the times are not kept."""
    cache.write_text("a file in place of the folder")
    found, problem = with_whole_times(priced(LIGHT), HEADER)
    assert problem == "" and all(each.whole for each in found)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("the times of networks off the shelf are not kept")


def test_disturbed_networks() -> None:
    """Medians over least times: 1.1, 1.5; and 1.5 over both groups of the third."""
    reference = np.ones((2, 3))
    one = TimedGroup(np.array([[1.0, 1.1, 1.2], [1.0, 1.5, 1.6], [1.0, 1.0, 1.0]]), reference)
    two = TimedGroup(np.array([[2.0, 2.1, 2.2], [2.0, 2.0, 2.0]]), reference)
    timings = Timings(4, ((np.array([0, 1, 2]), one), (np.array([2, 3]), two)))
    assert unsteady_networks(timings) == {1, 2}


@examples(30)
@given(text=mutated_json(VALID))
def test_property_any_file_is_read_or_measured_again(
    text: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "times.json"
    path.write_bytes(text)
    for seconds in read_times(path).values():
        assert 1e-9 <= seconds <= 1e4
