"""Tables from the samples of a finished build."""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency import assemble
from latency.builder.assemble import AssembleConfig, assemble_table
from latency.builder.build import build_table
from latency.builder.campaign import Effort
from latency.builder.config import BuildConfig
from latency.builder.grid import COARSE
from latency.builder.journal import read_samples
from latency.builder.plan import make_plan
from latency.table.latency_table import LatencyTable
from latency.table.load import SHIPPED, load_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from tests.helpers.hostile import examples, mutated_bytes, mutated_json, run_hostile

NAME = "h200-f16-b8"
SAMPLES = SHIPPED / f"{NAME}.samples.jsonl.xz"
LINES = lzma.decompress(SAMPLES.read_bytes()).splitlines(keepends=True)
HEADER = (SHIPPED / f"{NAME}.json").read_text()


def test_the_plan_of_the_shipped_samples_is_still_made() -> None:
    """The digest that the samples carry: a change of the plan would orphan them."""
    plan = make_plan(COARSE, ShuffleNetV2Space(), 20, 0)
    assert plan.digest == "de3ccb7b4e1e9eea" == json.loads(LINES[0])["plan"]


@pytest.mark.slow
def test_the_shipped_table_follows_from_its_samples(tmp_path: Path) -> None:
    lines: list[str] = []
    config = AssembleConfig(samples=SAMPLES, out=tmp_path / "again")
    table = assemble_table(config, log=lines.append)
    shipped = load_table(NAME)
    assert isinstance(shipped, LatencyTable)
    assert (tmp_path / "again.csv").read_bytes() == (SHIPPED / f"{NAME}.csv").read_bytes()
    for field in ("device", "date", "versions", "commit", "command", "grid", "noise", "host"):
        assert getattr(table.header, field) == getattr(shipped.header, field), field
    for name in ("held_out", "on_grid"):
        for kind, error in shipped.header.network_error[name].items():
            assert table.header.network_error[name][kind] == pytest.approx(error, rel=1e-3)
    assert table.header.scale["factor"] == pytest.approx(shipped.header.scale["factor"], 1e-4)
    source = table.header.extra["assembled"]
    assert source["samples_sha256"] == hashlib.sha256(SAMPLES.read_bytes()).hexdigest()
    assert table.header.target == "again"
    assert "20 unmeasured networks, scaled: mean error" in "\n".join(lines)


@pytest.mark.slow
def test_a_build_is_assembled_as_it_was_built(tmp_path: Path) -> None:
    config = BuildConfig(engine="null", coarse=True, networks=2, out=tmp_path / "t", command="c")
    effort = Effort(rounds=3, min_passes=2, max_passes=3)
    built = build_table(config, effort=effort, log=lambda line: None)
    words = [str(tmp_path / "t.samples.jsonl"), "--out", f"{tmp_path}/again/"]
    assert assemble.main(words) == 0
    again = load_table(tmp_path / "again" / "t.json")
    assert isinstance(again, LatencyTable)
    assert again.entries == built.entries
    assert replace(again.header, extra={}, csv_sha256="") == built.header
    assert again.header.extra["assembled"]["samples"] == "t.samples.jsonl"


def written(folder: Path, lines: list[bytes] = LINES, header: str = HEADER) -> Path:
    """Samples beside their header."""
    (folder / "t.json").write_text(header)
    path = folder / "t.samples.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def changed(line: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(line), **fields}).encode() + b"\n"


CASES: list[tuple[Callable[[], list[bytes]], list[str], str]] = [
    (lambda: LINES[:-3], [], r"must have every job of its plan; it lacks 3 of 45"),
    (lambda: LINES[:1], [], r"must have samples; it has none"),
    (list, [], r"must have samples; it has none"),
    (lambda: LINES, ["--networks", "3"], r"--networks and --relax must be those of that build"),
    (lambda: LINES, ["--relax", "g1"], r"--networks and --relax must be those of that build"),
    (lambda: LINES, ["--networks", "1"], r"--networks must be from 2 to 1000; got 1"),
    (lambda: [*LINES[:5], LINES[5][:99]], [], r"line 6: not a line of a build's samples"),
    (lambda: [LINES[0], b"[]\n"], [], r"line 2: not a line of a build's samples"),
    (
        lambda: [changed(LINES[0], device="NVIDIA A100"), *LINES[1:]],
        [],
        r"was measured with device 'NVIDIA A100', .*t.json says 'NVIDIA H200'",
    ),
    (lambda: [changed(LINES[0], batch=1), *LINES[1:]], [], r"with batch 1, .*t.json says 8"),
    (lambda: [changed(LINES[0], grid="x"), *LINES[1:]], [], "must be one of full, coarse, gpu"),
    (
        lambda: [LINES[0], changed(LINES[1], job=44), *LINES[2:]],
        [],
        r"line 2: job 44 with \d+ chains is none of the plan",
    ),
]


@pytest.mark.parametrize(("lines", "words", "message"), CASES)
def test_samples_that_make_no_table(
    lines: Callable[[], list[bytes]], words: list[str], message: str, tmp_path: Path, capsys: Any
) -> None:
    path = written(tmp_path, lines())
    assert assemble.main([str(path), "--out", f"{tmp_path}/out/", *words]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert re.search(message, error[0]), error
    assert not (tmp_path / "out").exists()


def test_samples_without_their_header(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "s.samples.jsonl.xz"
    shutil.copy(SAMPLES, path)
    assert assemble.main([str(path), "--out", str(tmp_path / "t")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 's.json'} must say what was measured where" in error
    path.write_bytes(SAMPLES.read_bytes()[:5000])
    assert assemble.main([str(path), "--out", str(tmp_path / "t")]) == 2
    assert f"{path}: damaged: " in capsys.readouterr().err
    header = tmp_path / "ops.json"
    header.write_text((SHIPPED / "arm.json").read_text())
    words = [str(SAMPLES), "--header", str(header), "--out", str(tmp_path / "t")]
    assert assemble.main(words) == 2
    assert f"{header}: must be of a table measured on a device" in capsys.readouterr().err


@examples(100)
@given(st.data())
def test_property_bytes_of_samples(data: Any) -> None:
    """They are refused in one line with the file, or hold what a build wrote."""
    text = b"".join(LINES[i] for i in (0, 25, 10))
    compressed = data.draw(st.booleans())
    content = data.draw(mutated_bytes(lzma.compress(text) if compressed else text))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("t.samples.jsonl" + ".xz" * compressed)
        path.write_bytes(content)
        try:
            identity, rows = read_samples(path)
        except ValueError as error:
            assert str(error).startswith(str(path)), error
            assert "\n" not in str(error) and len(str(error)) < 2000
        else:
            assert identity["device"] and all(row["times"] for row in rows)


@examples(15)
@given(st.data())
def test_property_headers_and_identities_of_samples(data: Any) -> None:
    """One line, with the file: the samples lack jobs, so that no table is made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, header = LINES[0].rstrip(), HEADER.encode()
        if data.draw(st.booleans()):
            header = data.draw(mutated_json(HEADER))
        else:
            first = data.draw(mutated_json(first.decode()))
        (folder / "t.json").write_bytes(header)
        path = folder / "t.samples.jsonl"
        path.write_bytes(first + b"\n" + LINES[1])
        words = [str(path), "--out", str(folder / "out")]
        status = run_hostile(assemble.main, words, name="latency.assemble", folders=[folder])
        assert status == 2
