"""Fixtures of the evaluator's tests."""

from pathlib import Path

import pytest


@pytest.fixture
def public_data(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of public tables, which $G4NAS_DATA names; skips the test where it is missing."""
    folder = shared / "data"
    for name in ("nats_sss", "accel_nasbench"):
        path = folder / name / f"{name}.csv.xz"
        if not path.is_file():
            pytest.skip(f"needs {path}, which is not here")
    monkeypatch.setenv("G4NAS_DATA", str(folder))
    return folder
