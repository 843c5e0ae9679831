from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from search.optimizer.storage import store
from search.optimizer.stored import StoredStudy, read_study
from search.optimizer.study import Study, finished_study
from search.problem.problem import Problem


def _optuna(path: Path, name: str, directions: list[str], trials: int) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    study = optuna.create_study(storage=storage, study_name=name, directions=directions)
    for _ in range(trials):
        study.add_trial(optuna.trial.create_trial(params={}, values=[1.0] * len(directions)))
    storage.remove_session()
    storage.engine.dispose()


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database " * 50)


def _other_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
        connection.execute("INSERT INTO accounts VALUES ('kept')")
        connection.commit()


FOREIGN = {
    "garbage": (_garbage, "file is not a database"),
    "another program's": (_other_program, "a database of another program"),
    "another study": (
        lambda p: _optuna(p, "mine", ["minimize"], 0),
        r"another program \('mine'\)",
    ),
    "our name, not our trials": (
        lambda p: _optuna(p, "g4nas", ["maximize", "minimize"], 1),
        r"studies of another program \(g4nas\)",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_refused_untouched(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    make, reason = FOREIGN[kind]
    make(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"study\.db must be a study .*got: .*{reason}"):
        read_study(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["study.db"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_damaged_files(damage: str, problem: Problem, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    study = finished_study(problem, 10, path=path)
    assert study.disk is not None
    study.disk._storage.remove_session()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = path.read_bytes()
    half = len(data) // 2
    broken = data[:half] if damage == "cut" else data[:half] + b"\xff" * (len(data) - half)
    other = tmp_path / "copy.db"
    other.write_bytes(broken)
    with pytest.raises(ValueError, match=r"copy\.db (must be a study|is damaged).*malformed"):
        Study.open(problem, path=other)


@pytest.mark.parametrize("size", [None, 0])
def test_no_file_or_an_empty_one_is_a_new_study(
    size: int | None, problem: Problem, tmp_path: Path
) -> None:
    path = tmp_path / "study ?#%.db"
    if size is not None:
        path.touch()
    assert read_study(path) == StoredStudy()
    assert Study.open(problem, path=path).trials == 0
    assert Study.open(problem, path=path).trials == 0  # killed before its first trial
    assert path.name in [p.name for p in tmp_path.iterdir()]


class FullDisk:
    def add_trial(self, trial: object) -> None:
        raise optuna.exceptions.StorageInternalError("wrapped") from sqlite3.OperationalError(
            "database or disk is full"
        )


def test_a_full_disk_is_an_oserror() -> None:
    trial = optuna.trial.create_trial(params={}, values=[1.0, 2.0])
    with pytest.raises(OSError, match="cannot be written: database or disk is full"):
        store(FullDisk(), trial)  # type: ignore[arg-type]
