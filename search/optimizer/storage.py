"""The study on disk: an SQLite file that any Optuna tool opens."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial
from sqlalchemy.exc import DatabaseError

from search.optimizer.stored import STUDY, not_ours


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    # A killed process loses no trial; a power cut may lose the last ones, never half of one.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def open_study(path: Path, identity: dict[str, Any] | None) -> optuna.Study:
    """The study in a file that `read_study` has read, for adding trials; created if it is absent.

    Args:
        identity: to store; None: it is stored.

    Raises:
        ValueError: it cannot be opened or written, or has the tables of another version of Optuna.
    """
    try:
        options = {"creator": lambda: _connect(path)}
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs=options)
        study = optuna.create_study(
            storage=storage,
            study_name=STUDY,
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
        if identity is not None:
            study.set_user_attr("identity", identity)
        return study
    except (DatabaseError, StorageInternalError, sqlite3.DatabaseError, RuntimeError) as error:
        raise not_ours(path, _reason(error)) from None


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
    return next(iter(str(getattr(cause, "orig", cause)).splitlines()), type(error).__name__)
