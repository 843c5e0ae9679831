"""The commands that wait for a GPU are commands that exist, with options that they have."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.gpu.measure import PACKED, STEPS, Step, pack, run, words_of


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_is_a_command(step: Step, dry_run: bool, tmp_path: Path) -> None:
    flag, module, *words = words_of(step, tmp_path, Path("images"), dry_run=dry_run)
    assert flag == "-m"
    if module != "pytest":
        command = importlib.import_module(
            f"{module}.__main__" if module == "latency.engines" else module
        )
        command.parser().parse_args(words)


def test_a_coarse_table(tmp_path: Path) -> None:
    """Only of the build, and not of its small form."""
    for step in STEPS:
        words = words_of(step, tmp_path, Path("images"), dry_run=False)
        coarse = words_of(step, tmp_path, Path("images"), dry_run=False, coarse=True)
        assert coarse == [*words, *["--coarse"] * (step.name == "table")]


def test_a_search_uses_the_measured_table(tmp_path: Path) -> None:
    (step,) = [step for step in STEPS if step.name == "labels-41M"]
    assert "h200-f16-b8" in words_of(step, tmp_path, Path("images"), dry_run=False)
    table = tmp_path / "f16-b8.json"
    table.write_text("{}")
    assert str(table) in words_of(step, tmp_path, Path("images"), dry_run=False)


@pytest.mark.parametrize(
    "code, status", [("print('done')", 0), ("raise SystemExit(3)", 3),
                     ("import time; time.sleep(20)", "time over")],
)  # fmt: skip
def test_a_step_that_fails_has_a_row(
    tmp_path: Path, code: str, status: object, capfd: pytest.CaptureFixture[str]
) -> None:
    row = run(Step("one", 1, "", ""), ["-c", code], tmp_path, 0.5 if status == "time over" else 10)
    assert row["status"] == status
    assert f"== one: exit status {status}" in capfd.readouterr().out
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "weights.safetensors").write_bytes(b"0" * 100)
    pack(tmp_path)
    import tarfile

    with tarfile.open(tmp_path / PACKED) as archive:
        assert archive.getnames() == ["one.log"]
