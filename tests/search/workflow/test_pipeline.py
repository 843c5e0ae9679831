"""A search from a program: the steps, and what each fills."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from search import SearchConfig, SearchResult, search
from search.result.write import export_winners, json_text, write
from search.run import main
from search.workflow import pipeline
from space.common.errors import InfeasibleError


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SearchConfig:
    out = tmp_path_factory.mktemp("out")
    return SearchConfig(target="arm", budgets=("41M",), trials=25, seed=1, out=out)


@pytest.fixture(scope="module")
def result(config: SearchConfig) -> SearchResult:
    return search(config)


def test_a_result_has_what_its_files_have(result: SearchResult) -> None:
    record = json.loads((result.folder / "winners.json").read_text(encoding="utf-8"))
    assert record == json.loads(json_text(result))
    assert [row.name for row in result.rows[: len(result.winners)]] == [
        entry["name"] for entry in record["winners"]
    ]
    for row, entry in zip(result.rows, record["winners"], strict=False):
        assert (row.flops, row.latency_s) == (entry["flops"], entry["latency_s"])
        assert all((result.folder / name).is_file() for name in entry["files"])
    assert result.study.is_file()
    assert len(result.found) == record["trials"] == 25


def test_the_command_and_the_function_agree(
    config: SearchConfig, result: SearchResult, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command continues the finished study: nothing is tried, the same numbers come out."""
    words = ["--target", "arm", "--budget", "41M", "--trials", "25", "--seed", "1"]
    assert main([*words, "--out", str(config.folder), "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    for name in ("date", "commit"):
        record.pop(name), dict(result.record).pop(name)
    expected = {
        k: v for k, v in json.loads(json_text(result)).items() if k not in ("date", "commit")
    }
    assert record == expected


def test_each_step_fills_its_fields_only(result: SearchResult, tmp_path: Path) -> None:
    start = replace(result, folder=tmp_path, files={}, record={})
    exported = export_winners(start)
    written = write(exported)
    for before, after, filled in ((start, exported, "files"), (exported, written, "record")):
        for field in fields(SearchResult):
            same = getattr(before, field.name) is getattr(after, field.name)
            assert same == (field.name != filled)


def test_a_budget_that_nothing_meets(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match="no architecture meets the budget"):
        search(SearchConfig(target="arm", budgets=("1M",), trials=5, out=tmp_path))


def test_ctrl_c_says_what_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopped(pipeline.Study):
        def run(self, trials: int):  # type: ignore[no-untyped-def]
            for done in super().run(trials):
                yield done
                if done == 3:
                    raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "Study", Stopped)
    words = ["--target", "arm", "--budget", "41M", "--trials", "9", "--out", str(tmp_path)]
    assert main(words) == 130
    first, *_, line = capsys.readouterr().err.splitlines()
    assert first == f"searching networks for arm within 41M: 9 trials, into {tmp_path}"
    assert line == (
        f"search.run: stopped; 3 finished trials are in {tmp_path / 'study.db'}. "
        "The same command continues"
    )
