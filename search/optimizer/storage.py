"""The study on disk: an SQLite file that any Optuna tool opens."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DatabaseError

STUDY = "g4nas"


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    # A killed process loses no trial; a power cut may lose the last ones, never half of one.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def open_study(path: Path) -> optuna.Study:
    """The study in a file, created if the file is absent or empty.

    Raises:
        ValueError: the file holds anything else; it is left unchanged.
    """
    try:
        _check_study(path)
        options = {"creator": lambda: _connect(path)}
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs=options)
        return optuna.create_study(
            storage=storage,
            study_name=STUDY,
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
    except (DatabaseError, sqlite3.DatabaseError, RuntimeError) as error:
        raise ValueError(
            f"{path} must be a study this program can open and write; got: {_reason(error)}. "
            "Use another --out"
        ) from None


def _check_study(path: Path) -> None:
    """RuntimeError if `path` holds anything but a study of this program; writes nothing."""
    if not path.exists() or not path.stat().st_size:
        return
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = {name for (name,) in tables}
        if not names:
            return
        if "studies" not in names or "study_user_attributes" not in names:
            raise RuntimeError("a database of another program")
        studies = [name for (name,) in connection.execute("SELECT study_name FROM studies")]
        trials = connection.execute("SELECT 1 FROM trials").fetchone()
        identity = connection.execute(
            "SELECT 1 FROM study_user_attributes WHERE key = 'identity'"
        ).fetchone()
    # A study of this program that was killed before its first trial may have no identity.
    if set(studies) - {STUDY} or (trials and not identity):
        raise RuntimeError(f"studies of another program ({', '.join(studies)})")


def finished_trials(disk: optuna.Study, path: Path) -> list[FrozenTrial]:
    """The finished trials in order; ValueError if the file is damaged."""
    try:
        return disk.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    except (DatabaseError, StorageInternalError) as error:
        raise ValueError(f"{path} is damaged: {_reason(error)}. Use another --out") from None


def store(disk: optuna.Study, trial: FrozenTrial) -> None:
    """Add a finished trial in one transaction; OSError if it cannot be written."""
    try:
        disk.add_trial(trial)
    except (DatabaseError, StorageInternalError) as error:
        raise OSError(
            f"trial {trial.number} cannot be written: {_reason(error)}. Earlier trials are stored"
        ) from None


def _reason(error: BaseException) -> str:
    """The database's message, without what SQLAlchemy and Optuna wrap around it."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return str(getattr(cause, "orig", cause)).splitlines()[0]
