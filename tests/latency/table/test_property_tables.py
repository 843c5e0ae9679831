"""Tables that a hostile hand or another program has changed: one line or an answer."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency import diff, show
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable, Measurement
from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from space.network.block import Block, BlockBatch
from tests.helpers.hostile import examples, mutated_csv, mutated_json, run_hostile

UNITS = [Block("shufflenet_v2", 28, 28, c_in=c, c_out=c, branch=c // 2) for c in range(48, 120, 8)]
BLOCKS = [Block("stem", 224, 224, c_out=24), *UNITS, Block("head", 7, 7, c_in=464, c_out=1024)]
HEADER = TableHeader(
    layout="blocks", target="t", source="measured", device="chip", engine="onnxruntime",
    date="2026-01-01", input="224x224", versions={"numpy": "2"}, host={"cores": 4},
    network_error={"held_out": {"scaled": {"networks": 20, "mean_abs_error": 0.01}}},
    noise={"reference_s": 1e-3, "too_noisy": [str(UNITS[0])], "spread": 0.02},
    extra={"note": {"kept": [1, 2]}},
)  # fmt: skip
TABLE = LatencyTable(
    HEADER, {b: Measurement(1e-5 * (n + 1), 9e-6, 1e-3, 6) for n, b in enumerate(BLOCKS)}
)


def texts(table: LatencyTable | OpCostModel, folder: Path) -> tuple[str, str]:
    table.save(folder / "valid.json")
    return (folder / "valid.json").read_text(), (folder / "valid.csv").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


GPU = LatencyTable(
    replace(HEADER, host={"accelerator": {"name": "chip", "multiprocessors": 132}}), TABLE.entries
)
VALID: dict[str, tuple[str, str]] = {}


def valid(kind: str) -> tuple[str, str]:
    """The header and the rows of a valid table, made once."""
    if kind not in VALID:
        table = {"blocks": TABLE, "gpu": GPU}.get(kind) or load_table("arm")
        with tempfile.TemporaryDirectory() as name:
            VALID[kind] = texts(table, Path(name))
    return VALID[kind]


def without_checksum(header: str) -> str:
    return json.dumps({**json.loads(header), "csv_sha256": ""})


def load_or_refuse(path: Path) -> LatencyTable | OpCostModel | None:
    """The table, or None if one line refuses it."""
    try:
        return load_table(path)
    except ValueError as error:
        assert str(path.with_suffix("")) in str(error), error
        assert "\n" not in str(error) and len(str(error)) < 2000
        return None


def both(folder: Path, header: str | bytes, rows: str | bytes) -> None:
    """Load it, and run the two commands that read any table."""
    path = folder / "t.json"
    for own, content in ((path, header), (path.with_suffix(".csv"), rows)):
        own.write_bytes(content.encode() if isinstance(content, str) else content)
    found = load_or_refuse(path)
    status = run_hostile(show.main, [str(path)], name="latency.show", folders=[folder])
    assert (status == 0) == (found is not None)
    if found is not None:
        words = [str(path), "arm", "--networks", "2"]
        run_hostile(diff.main, words, name="latency.diff", folders=[folder])


@examples(60)
@given(st.data())
def test_property_headers(folder: Path, data: Any) -> None:
    header, rows = valid(data.draw(st.sampled_from(("blocks", "gpu", "ops"))))
    both(folder, data.draw(mutated_json(header)), rows)


@examples(60)
@given(st.data())
def test_property_rows(folder: Path, data: Any) -> None:
    header, rows = valid(data.draw(st.sampled_from(("blocks", "ops"))))
    both(folder, without_checksum(header), data.draw(mutated_csv(rows)))


@examples(25)
@given(st.data())
def test_property_an_edited_row_is_noticed(folder: Path, data: Any) -> None:
    """With its checksum, a table loads as it was or not at all."""
    kind = data.draw(st.sampled_from(("blocks", "ops")))
    header, rows = valid(kind)
    path = folder / "t.json"
    path.write_text(header)
    path.with_suffix(".csv").write_bytes(data.draw(mutated_csv(rows)))
    found = load_or_refuse(path)
    if isinstance(found, LatencyTable):
        assert found.entries == TABLE.entries
    elif found is not None:
        expected = load_table("arm")
        assert isinstance(expected, OpCostModel)
        assert found.coefficients == expected.coefficients


SECONDS = st.floats(1e-9, 1e4)
TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20)


@examples(40)
@given(
    st.lists(st.tuples(SECONDS, SECONDS, SECONDS).map(sorted), min_size=1, max_size=len(BLOCKS)),
    TEXT,
    st.dictionaries(
        TEXT.filter(lambda name: name not in HEADER.to_json()), st.integers(), max_size=3
    ),
    st.integers(1, 1024),
    st.integers(1, 1_000_000),
)
def test_property_a_table_round_trips(
    folder: Path, seconds: list, device: str, extra: dict, channels: int, classes: int
) -> None:
    header = replace(HEADER, device=device, extra=extra, channels=channels, classes=classes)
    entries = {
        block: Measurement(median, low, high, 1 + n)
        for n, (block, (low, median, high)) in enumerate(zip(BLOCKS, seconds, strict=False))
    }
    found = load_table(LatencyTable(header, entries).save(folder / "again.json"))
    assert isinstance(found, LatencyTable)
    assert found.entries == entries
    assert replace(found.header, csv_sha256="") == header


@examples(40)
@given(st.lists(SECONDS, min_size=len(BLOCKS), max_size=len(BLOCKS)), st.integers(0, 2**31))
def test_property_any_times_of_a_gpu_give_latencies(seconds: list, multiprocessors: int) -> None:
    """Whatever was measured, a prediction is a time."""
    host = {"accelerator": {"multiprocessors": multiprocessors}}
    entries = {b: Measurement(s, s, s, 4) for b, s in zip(BLOCKS, seconds, strict=True)}
    table = LatencyTable(replace(HEADER, host=host, noise={}), entries)
    between = np.arange(48, 105, 4)
    widths = {"c_in": between, "c_out": between, "branch": between // 2}
    batch = BlockBatch("shufflenet_v2", 28, 28, widths)
    known = table.covers(batch)
    assert known.sum() >= 8
    found = table.predict(
        BlockBatch("shufflenet_v2", 28, 28, {k: v[known] for k, v in widths.items()})
    )
    assert np.isfinite(found).all() and (found > 0).all()
