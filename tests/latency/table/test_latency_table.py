"""Tables of blocks, in memory and on disk; every way a file can be wrong."""

import hashlib
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
        ("c_out=24", "c_out", r"t\.csv, line 3: `block` must be like 'kind@HxW n"),
        ("c_out=24", "c_out=0", r"t\.csv, line 3: malformed block"),
        ("c_out=24", "c_out=32768", r"t\.csv, line 3: `c_out` must be from 0 to 32767; got 32768"),
        ("c_out=24", "c_out=2_4", r"t\.csv, line 3: `block` must be like"),
        ("0.001,", "fast,", r"t\.csv, line 3: `median_s` must be a number; got 'fast'"),
        ("0.001,", "-1,", r"t\.csv, line 3: `median_s` must be from 1e-09 to 10000 sec.*got -1"),
        ("0.001,", "nan,", r"t\.csv, line 3: `median_s` must be a number; got 'nan'"),
        ("0.001,", "1e-300,", r"t\.csv, line 3: `median_s` must be from 1e-09 to .*got 1e-300"),
        ("0.0012,", "inf,", r"t\.csv, line 3: `q75_s` must be a number; got 'inf'"),
        ("0.0012,", "1e999,", r"t\.csv, line 3: quantiles must rise"),
        ("0.00095,", "0.0011,", r"t\.csv, line 3: quantiles must rise"),
        (",9\n", "," + 400 * "9" + "\n", r"t\.csv, line 3: `n` must be an integer .*got '999"),
        (",9\n", ",-9\n", r"t\.csv, line 3: `n` must be an integer .*got '-9'"),
        (",9\n", ",0\n", r"t\.csv, line 3: `n` must be at least 1; got 0"),
        ("stem@", 200_000 * "a", r"t\.csv, line 3: not CSV: field larger"),
        ("stem@", 2000 * "a", r"t\.csv, line 3: a field must be printable and at most 1000"),
        ("stem@", "st\0em@", r"t\.csv, line 3: a field must be printable"),
        ("stem@224x224 c", '"stem@224x224\nc"', r"t\.csv, line 3: a field must be printable"),
        ("stem@224x224 c_out=24", "x", r"t\.csv, line 3: `block` must be like"),
        ("block,median_s", "median_s,block", r"t\.csv, line 1: columns must be block,median_s"),
        (",9\n", ",9,1\n", r"t\.csv, line 3: must have 5 fields; got 6"),
        ("block,median_s", "block,mean_s", r"t\.csv, line 1: columns must be block,median_s"),
        ("stem@224x224 c_out=24", "head@7x7 c_in=464 c_out=1024", r"line 3: .*appears twice"),
    ],
)
def test_edited_rows(tmp_path, old, new, message):
    path = make().save(tmp_path / "t.json")
    edit(path.with_suffix(".csv"), old, new)
    with pytest.raises(ValueError, match=message):
        load_table(path)


@pytest.mark.parametrize("mark, name", [(";", "semicolons"), ("\t", "tabs")])
def test_a_file_that_excel_saved_without_commas(tmp_path, mark, name):
    path = make().save(tmp_path / "t.json")
    rows = path.with_suffix(".csv")
    rows.write_text(rows.read_text().replace(",", mark).replace(".", ","))
    message = (
        rf"t\.csv, line 1: .* separated by commas, not {name}: save the file as CSV with commas"
    )
    with pytest.raises(ValueError, match=message):
        load_table(path)


def with_crlf(data):
    return data.replace(b"\n", b"\r\n")


def with_mark(data):
    return b"\xef\xbb\xbf" + data


def with_quotes(data):
    lines = data.decode().splitlines()
    return "\n".join(",".join(f'"{f}"' for f in line.split(",")) for line in lines).encode()


@pytest.mark.parametrize("change", [with_crlf, with_mark, with_quotes], ids=lambda f: f.__name__)
def test_line_ends_marks_and_quotes_do_not_matter(tmp_path, change):
    """What git (core.autocrlf), Windows editors and spreadsheets do to a file."""
    path = make().save(tmp_path / "t.json")
    rows = path.with_suffix(".csv")
    rows.write_bytes(change(rows.read_bytes()))
    if change is not with_quotes:
        path.write_bytes(change(path.read_bytes()))
    assert load_table(path).entries == make().entries
    rows.write_bytes(
        rows.read_bytes().replace(b"0.001,", b"0.0011,").replace(b'0.001"', b'0.0011"')
    )
    with pytest.raises(ValueError, match="does not match the checksum"):
        load_table(path)


def test_the_checksum_is_that_of_the_bytes_this_project_writes(tmp_path):
    """Tables of earlier versions keep theirs."""
    path = make().save(tmp_path / "t.json")
    digest = hashlib.sha256(path.with_suffix(".csv").read_bytes()).hexdigest()
    assert load_table(path).header.csv_sha256 == digest


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
        (lambda t: t.replace('"threads": 1', '"threads": true'), r"t\.json: `threads` .*got True"),
        (lambda t: t.replace('"device": "chip"', '"device": 7'), r"t\.json: `device` .*got 7"),
        (lambda t: t.replace('"chip"', r'"a\nb"'), "`device` must be a text on one line"),
        (lambda t: t.replace('"engine": "null"', '"engine": null'), "`engine` must be .*got None"),
        (
            lambda t: t.replace('"noise": {}', '"noise": []'),
            r"`noise` must be an object; got \[\]",
        ),
        (
            lambda t: t.replace('"network_error": {}', '"network_error": [1]'),
            r"t\.json: `network_error` must be an object; got \[1\]",
        ),
        (
            lambda t: t.replace(
                '"network_error": {}',
                '"network_error": {"held_out": {"scaled": {"mean_abs_error": 1'
                + 400 * "0"
                + "}}}",
            ),
            r"`network_error.held_out.scaled.mean_abs_error` must be a finite number of",
        ),
        (
            lambda t: t.replace('"noise": {}', '"noise": {"reference_s": "x"}'),
            "`noise.reference_s",
        ),
        (lambda t: t.replace('"classes": 1000', '"classes": 0'), "`classes` must be an integer"),
        (lambda t: t.replace('"channels": 3', '"channels": 3.0'), "`channels` must be an integer"),
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
    assert 5e-4 < table.network_s(shufflenet_v2("1.0").blocks) < 0.1
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
    gpu = load_table("h200-f16-b8").header
    assert gpu.label == "measured: NVIDIA H200, torch-cuda 2.11.0+cu130, batch 8"


def test_label_names_channels_and_classes_that_are_not_imagenets():
    assert (
        make(channels=1, classes=10).header.label
        == "measured: chip, null 1, 1 thread, 1 channel, 10 classes"
    )
    assert make(channels=4, classes=1).header.label.endswith("1 thread, 4 channels, 1 class")


def test_a_header_of_python_is_checked_as_one_on_disk():
    for change, message in (
        ({"device": 7}, "`device` must be a text"),
        ({"network_error": None}, "`network_error` must be an object"),
        ({"batch": 0}, "`batch` must be an integer from 1"),
        ({"noise": {"too_noisy": ["stem"]}}, "`noise.too_noisy`: malformed block 'stem'"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**change)


def test_a_table_without_channels_and_classes_is_of_imagenet(tmp_path):
    path = make().save(tmp_path / "t.json")
    values = json.loads(path.read_text())
    del values["channels"], values["classes"]
    path.write_text(json.dumps(values))
    header = load_table(path).header
    assert (header.channels, header.classes) == (3, 1000)


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


def test_a_file_beyond_any_table_is_not_read(tmp_path):
    path = make().save(tmp_path / "t.json")
    with path.with_suffix(".csv").open("r+b") as file:
        file.truncate(10**12)  # sparse
    with pytest.raises(ValueError, match=r"t\.csv: must be a file of at most 20000000 bytes"):
        load_table(path)
    path.with_suffix(".csv").unlink()
    os.mkfifo(path.with_suffix(".csv"))
    with pytest.raises(ValueError, match=r"t\.csv: must be a file; it is a pipe"):
        load_table(path)
