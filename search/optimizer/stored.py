"""The rows of a study's file, each checked before Optuna opens the file. Nothing is written.

Optuna takes the rows of its file as it finds them. A study lives for years and passes through
other tools, disks and hands, and one damaged row would change the rest of the search or end it in
the middle.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from space.common.files import check_regular
from space.common.schema import (
    Anything,
    Integer,
    Number,
    Record,
    Spec,
    Text,
    Values,
    check,
    parse_json,
)
from space.common.text import shorten

STUDY = "g4nas"

_ID, _KEY, _JSON = Integer(), Text(longest=512), Text(longest=1_000_000)
# What is read of each table of Optuna's.
TABLES: dict[str, dict[str, Spec]] = {
    "studies": {"study_id": _ID, "study_name": _KEY},
    "study_directions": {
        "study_id": _ID, "direction": Text(("MAXIMIZE", "MINIMIZE")), "objective": _ID
    },
    "study_user_attributes": {"study_id": _ID, "key": _KEY, "value_json": _JSON},
    "trials": {
        "trial_id": _ID,
        "number": _ID,
        "study_id": _ID,
        "state": Text(("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")),
    },
    "trial_values": {"trial_id": _ID, "objective": _ID, "value": Number()},
    "trial_params": {
        "trial_id": _ID, "param_name": _KEY, "param_value": Number(), "distribution_json": _JSON
    },
    "trial_user_attributes": {"trial_id": _ID, "key": _KEY, "value_json": _JSON},
    "trial_system_attributes": {"trial_id": _ID, "key": _KEY, "value_json": _JSON},
    "version_info": {"schema_version": _ID, "library_version": Text(longest=256)},
    "alembic_version": {"version_num": Text(longest=256)},
}  # fmt: skip
UNREAD = {"study_system_attributes", "trial_intermediate_values", "trial_heartbeats"}
CONSTRAINT = "constraints:"  # Optuna's prefix of the name of a constraint

IDENTITY = Values(Anything())


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """A finished trial: axis -> the number chosen and its distribution (JSON), `values` as
    (score, latency in seconds), constraint -> violation, and the architecture's line."""

    number: int
    params: Mapping[str, float]
    distributions: Mapping[str, Any]
    values: tuple[float, ...]
    constraints: Mapping[str, float]
    architecture: Any


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """The finished trials in order, and what identifies the study; None: nothing is stored yet."""

    identity: dict[str, Any] | None = None
    trials: tuple[StoredTrial, ...] = ()


def read_study(path: Path) -> StoredStudy:
    """The study in a file; an empty one if the file is absent, empty, or was being created.

    Raises:
        ValueError: no regular file, a file of something else, or a damaged row; one line that
            begins with the file.
        OSError: it cannot be reached.
    """
    beside = [path.with_name(f"{path.name}-{suffix}") for suffix in ("wal", "journal")]
    for each in (path, *beside):
        if each.exists():
            check_regular(each)
    if not path.exists() or not path.stat().st_size:
        return StoredStudy()
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        if not any(each.exists() for each in beside):
            # Nobody writes to it, or one of these would exist; reading would make a -wal.
            uri += "&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            reason: object = _foreign(connection)
            if not reason:
                return _read(connection)
    except sqlite3.DatabaseError as error:
        reason = error
    except ValueError as error:
        raise ValueError(_line(path, "is damaged", error)) from None
    raise not_ours(path, reason)


def not_ours(path: Path, reason: object) -> ValueError:
    """The error of a file that cannot be opened as a study."""
    return ValueError(_line(path, "must be a study this program can open and write; got", reason))


def _line(path: Path, what: str, reason: object) -> str:
    return f"{path} {what}: {' '.join(str(reason).split())[:500].rstrip('.')}. Use another --out"


def _tables(connection: sqlite3.Connection) -> set[str]:
    master = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    # Those of SQLite itself come from tools that analyse a file.
    return {str(name) for (name,) in master if not str(name).startswith("sqlite_")}


def _foreign(connection: sqlite3.Connection) -> str:
    """What else than a study of this program it is, or ""."""
    names = _tables(connection)
    if names - set(TABLES) - UNREAD:
        return "a database of another program"
    studies = _rows(connection, "studies") if "studies" in names else ()
    if others := sorted({row["study_name"] for row in studies} - {STUDY}):
        return f"studies of another program ({shorten(others)[1:-1]})"
    if {"trials", "study_user_attributes"} <= names:
        trial = connection.execute("SELECT 1 FROM trials").fetchone()
        if trial and "identity" not in _attributes(connection):
            return f"studies of another program ({STUDY})"
    return ""


def _attributes(connection: sqlite3.Connection) -> dict[str, str]:
    rows = _rows(connection, "study_user_attributes")
    return {row["key"]: row["value_json"] for row in rows}


def _read(connection: sqlite3.Connection) -> StoredStudy:
    names = _tables(connection)
    if missing := sorted(set(TABLES) - names):
        if _empty(connection, names - {"version_info"}):
            return StoredStudy()  # killed while Optuna made the tables
        raise ValueError(f"there is no table {missing[0]}")
    _check_file(connection)
    trials = list(_rows(connection, "trials"))
    studies = list(_rows(connection, "studies"))
    known = {row["study_id"] for row in studies}
    if len(studies) > 1 or any(row["study_id"] not in known for row in trials):
        raise ValueError("must hold one study")
    text, identity = _attributes(connection).get("identity"), None
    if text is not None:
        identity = _value(text, IDENTITY, "identity")
    directions = {r["objective"]: r["direction"] for r in _rows(connection, "study_directions")}
    if studies and directions != {0: "MAXIMIZE", 1: "MINIMIZE"}:
        raise ValueError("must have two objectives, the score and the latency")
    return StoredStudy(identity, tuple(_trials(connection, trials)))


def _empty(connection: sqlite3.Connection, tables: set[str]) -> bool:
    return not any(
        connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables
    )


def _check_file(connection: sqlite3.Connection) -> None:
    """ValueError if pages, indexes or references between tables are damaged, or a version."""
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise ValueError(found)
    if orphan := connection.execute("PRAGMA foreign_key_check").fetchone():
        raise ValueError(f"a row of {orphan[0]} belongs to a row of {orphan[2]} that is absent")
    for table in ("version_info", "alembic_version"):
        if len(list(_rows(connection, table))) > 1:
            raise ValueError(f"{table} must have one row")


def _trials(connection: sqlite3.Connection, rows: list[dict[str, Any]]) -> Iterator[StoredTrial]:
    """The finished ones of `rows`, in order."""
    values, params, user, system = (
        _by_trial(connection, f"trial_{name}")
        for name in ("values", "params", "user_attributes", "system_attributes")
    )
    for place, row in enumerate(sorted(rows, key=lambda row: row["trial_id"])):
        if row["number"] != place:
            raise ValueError(f"trial {place} is missing; got number {row['number']} in its place")
        trial, where = row["trial_id"], f"trial {place}"
        if row["state"] != "COMPLETE":
            if values[trial]:
                raise ValueError(f"{where} has values, and its state is {row['state']}")
            continue  # another tool's: this program stores finished trials alone
        objectives = {each["objective"]: each["value"] for each in values[trial]}
        if set(objectives) != {0, 1}:
            raise ValueError(f"{where} must have a score and a latency")
        yield StoredTrial(
            place,
            {each["param_name"]: each["param_value"] for each in params[trial]},
            {
                each["param_name"]: _value(each["distribution_json"], Anything(), where)
                for each in params[trial]
            },
            (objectives[0], objectives[1]),
            {
                each["key"].removeprefix(CONSTRAINT): _value(each["value_json"], Number(), where)
                for each in system[trial]
                if each["key"].startswith(CONSTRAINT)
            },
            next(
                (
                    _value(each["value_json"], Anything(), where)
                    for each in user[trial]
                    if each["key"] == "architecture"
                ),
                None,
            ),
        )


def _by_trial(connection: sqlite3.Connection, table: str) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(connection, table):
        found[row["trial_id"]].append(row)
    return found


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    spec = Record(TABLES[table])
    # Brackets: an unknown name in quotes would be a text to SQLite.
    names = ", ".join(f"[{name}]" for name in TABLES[table])
    for number, row in enumerate(connection.execute(f"SELECT {names} FROM {table}"), 1):
        yield check(dict(row), spec, source=f"{table}, row {number}")


def _value(text: str, spec: Spec, where: str) -> Any:
    return check(parse_json(text, source=where), spec, source=where)
