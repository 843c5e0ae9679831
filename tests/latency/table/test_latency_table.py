"""Tables of blocks, in memory and on disk; every way a file can be wrong."""

import json
import os

import pytest

from latency.table import load as table_module
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable, Measurement
from latency.table.load import known_targets, load_table, shipped_tables
from latency.table.testing import TableContract
from space.common.errors import MissingOpError
from space.network.block import Block
from space.zoo.families import shufflenet_v2

STEM = Block("stem", 224, 224, c_out=24)
HEAD = Block("head", 7, 7, c_in=464, c_out=1024)


def make(**changes):
    values = {
        "layout": "blocks",
        "target": "cpu",
        "source": "measured",
        "device": "chip",
        "engine": "null",
        "engine_version": "1",
        "date": "2026-01-01",
    }
    header = TableHeader(**values | changes)
    entries = {
        STEM: Measurement(1e-3, 0.95e-3, 1.2e-3, 9),
        HEAD: Measurement(0.1 + 0.2, 0.2, 0.6, 3),
    }
    return LatencyTable(header, entries)


def test_round_trip_gives_equal_table_and_equal_bytes(tmp_path):
    path = make(extra={"note": "kept"}).save(tmp_path / "t")
    found = load_table(path)
    assert found.entries == make().entries
    assert found.header.extra == {"note": "kept"}
    again = found.save(tmp_path / "again.json")
    for suffix in (".json", ".csv"):
        assert path.with_suffix(suffix).read_bytes() == again.with_suffix(suffix).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "again.csv", "again.json", "t.csv", "t.json",
    ]  # fmt: skip


def test_loads_from_csv_and_directory(tmp_path):
    path = make().save(tmp_path / "t.json")
    assert load_table(path.with_suffix(".csv")).entries == make().entries
    assert load_table(str(tmp_path)).entries == make().entries
    make().save(tmp_path / "u.json")
    with pytest.raises(ValueError, match=r"must hold one table .* found 2"):
        load_table(tmp_path)


class TestContract(TableContract):
    network = shufflenet_v2("0.5")
    networks = (network,)

    def table(self, factor=1.0):
        header = make(scale={"factor": factor, "how": "test"}).header
        measured = Measurement(1e-3, 0.95e-3, 1.2e-3, 9)
        return LatencyTable(header, dict.fromkeys(self.network.blocks, measured))


def test_predicts_sums_and_scales():
    table = make(scale={"factor": 2.0, "how": "by hand"})
    assert table.block_s(STEM) == 2e-3
    assert table.network_s([STEM, HEAD]) == pytest.approx(2 * (1e-3 + 0.3))
    assert table.unscaled().network_s([STEM, STEM]) == 2e-3


def test_a_missing_block_is_named_with_its_neighbours():
    missing = Block("head", 7, 7, c_in=8, c_out=8)
    for blocks in ([missing], [STEM, missing], [missing, STEM]):  # never a partial sum
        with pytest.raises(MissingOpError, match="has no head@7x7 c_in=8 c_out=8; nearest known"):
            make().network_s(blocks)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("0.001,", "0.00099,", r"t\.csv: does not match the checksum .*build the table again"),
        (",9\n", "\n", r"t\.csv, line 3: must have 5 fields; got 4"),
        ("c_out=24", "c_out", r"t\.csv, line 3: malformed block"),
        ("0.001,", "fast,", r"t\.csv, line 3: could not convert string to float: 'fast'"),
        ("0.001,", "-1,", r"t\.csv, line 3: `median_s` must be a positive number"),
        ("0.001,", "nan,", r"t\.csv, line 3: `median_s` must be a positive number"),
        ("block,median_s", "block,mean_s", r"t\.csv, line 1: columns must be block,median_s"),
        ("stem@224x224 c_out=24", "head@7x7 c_in=464 c_out=1024", r"line 3: .*appears twice"),
    ],
)
def test_edited_rows(tmp_path, old, new, message):
    path = make().save(tmp_path / "t.json")
    edit(path.with_suffix(".csv"), old, new)
    with pytest.raises(ValueError, match=message):
        load_table(path)


def test_truncated_rows(tmp_path):
    path = make().save(tmp_path / "t.json")
    rows = path.with_suffix(".csv")
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[:-1]))
    with pytest.raises(ValueError, match="rows were edited or lost"):
        load_table(path)
    rows.write_text(lines[0])
    with pytest.raises(ValueError, match="at least one row"):
        load_table(path)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t[: len(t) // 2], r"t\.json: line \d+: not JSON"),
        (lambda t: "[]", r"t\.json: line 1: must be a JSON object"),
        (lambda t: "{}", r"lacks schema, layout, target, source, device, engine, date"),
        (lambda t: t.replace('"schema": 1', '"schema": 2'), "`schema` must be 1; got 2"),
        (lambda t: t.replace('"measured"', '"guessed"'), "`source` must be one of measured"),
        (lambda t: t.replace('"factor": 1.0', '"factor": 0'), "`scale.factor` must be"),
        (lambda t: t.replace('"threads": 1', '"threads": 0'), "`threads` must be"),
    ],
)
def test_damaged_header(tmp_path, change, message):
    path = make().save(tmp_path / "t.json")
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        load_table(path)


def test_unreadable_files(tmp_path):
    path = make().save(tmp_path / "t.json")
    path.with_suffix(".csv").unlink()
    with pytest.raises(ValueError, match=r"t\.csv: cannot be read: No such file"):
        load_table(path)
    path.with_suffix(".csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        load_table(path)


def test_unknown_target_lists_the_known():
    with pytest.raises(
        ValueError, match=r"unknown target 'amr': must be one of arm, .*gpu, .*cpu"
    ):
        load_table("amr")


@pytest.mark.parametrize("alias, name", table_module.ALIASES.items())
def test_aliases_are_shipped_tables_by_another_name(alias, name):
    assert load_table(alias) == load_table(name)
    assert alias in known_targets() and len(set(known_targets())) == len(known_targets())
    with pytest.raises(ValueError, match=f"must be one of .*{alias}"):
        load_table("nope")


def test_a_family_name_may_mean_another_table(monkeypatch):
    """Each chip keeps its own name, and a table that is not there is not listed."""
    monkeypatch.setattr(
        table_module, "ALIASES", {"arm": "gpu", "snapdragon-810": "arm", "lost": "none"}
    )
    assert load_table("arm") == load_table("gpu")
    assert load_table("snapdragon-810").header.target == "arm"
    assert "lost" not in known_targets()
    with pytest.raises(ValueError, match="unknown target 'lost'"):
        load_table("lost")


@pytest.mark.parametrize("name", list(shipped_tables()))
def test_shipped_tables_load_and_know_the_papers_network(name):
    table = load_table(name)
    assert table.header.target == name and table.header.source in table.header.label
    assert 1e-3 < table.network_s(shufflenet_v2("1.0").blocks) < 0.1
    if table.header.source == "measured":
        error = table.header.network_error["held_out"]["scaled"]
        assert error["networks"] >= 20
        # Alignment matters more in int8 (docs/results/latency-tables.md).
        if table.header.dtype == "int8":
            assert error["mean_abs_error"] <= 0.05
        else:
            assert error["within_5pct"] >= 0.9


def test_host_table(tmp_path, monkeypatch):
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"run python -m latency.build --device cpu"):
        load_table("cpu")
    make(device=table_module.chip()).save(tmp_path / "cpu.json")
    assert load_table("cpu").block_s(STEM) == 1e-3
    make(device="another chip").save(tmp_path / "cpu.json")
    with pytest.raises(ValueError, match="was measured on 'another chip'"):
        load_table("cpu")


def test_label_names_source_device_engine_threads():
    label = make(threads=2, batch=8).header.label
    assert label == "measured: chip, null 1, 2 threads, batch 8"


def test_a_failed_write_leaves_the_old_table(tmp_path, monkeypatch):
    path = make().save(tmp_path / "t.json")
    before = path.read_bytes(), path.with_suffix(".csv").read_bytes()

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        make(date="2027-01-01").save(path)
    assert before == (path.read_bytes(), path.with_suffix(".csv").read_bytes())
    assert len(list(tmp_path.iterdir())) == 2
    assert json.loads(path.read_text())["date"] == "2026-01-01"
