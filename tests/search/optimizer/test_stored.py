"""A study's file that was damaged or changed: one line with the file, or the same search."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from search.optimizer.stored import TABLES
from search.optimizer.study import Study, finished_study
from search.problem.problem import Problem
from tests.helpers.hostile import examples, mutated_bytes

STORED, LATER = 4, 5


def _genes(study: Study) -> list[bytes]:
    return [found.genes.tobytes() for found in study.evaluations]


@pytest.fixture(scope="module")
def valid(problem: Problem, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """A study's file, and the genes of the search that never stops."""
    path = tmp_path_factory.mktemp("valid") / "study.db"
    finished_study(problem, STORED, path=path)
    copy = path.with_name("copy.db")  # one file, whatever is in the write-ahead log
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(copy)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")
    return copy, _genes(finished_study(problem, LATER))


def _change(source: Path, path: Path, *statements: str) -> Path:
    shutil.copy(source, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA ignore_check_constraints=ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


OF_3 = "WHERE trial_id = 3"
DAMAGED = {
    "no value": (f"UPDATE trial_values SET value = NULL {OF_3}", "must be a finite number; got N"),
    "infinite": (f"UPDATE trial_values SET value = 9e999 {OF_3}", "got inf"),
    "a text": (f"UPDATE trial_values SET value = 'x' {OF_3}", "got 'x'"),
    "other value": (f"UPDATE trial_values SET value = value * 1.001 {OF_3}", "trial 2 has other"),
    "one value": ("DELETE FROM trial_values WHERE trial_id = 3 AND objective = 1", "trial 2 must"),
    "third value": (
        "INSERT INTO trial_values VALUES (99, 3, 2, 1.0, 'FINITE')", "trial 2 must have a score"
    ),
    "other constraint": (
        "UPDATE trial_system_attributes SET value_json = '-0.5' "
        "WHERE trial_id = 3 AND key = 'constraints:g2'",
        "trial 2 has other values",
    ),
    "constraint of a wrong type": (
        "UPDATE trial_system_attributes SET value_json = '[]' WHERE key = 'constraints:g2'",
        r"trial 0: the content must be a finite number; got \[\]",
    ),
    "no constraints": (f"DELETE FROM trial_system_attributes {OF_3}", "trial 2 has other values"),
    "other architecture": (
        f"UPDATE trial_user_attributes SET value_json = '5' {OF_3}", "trial 2 has other values"
    ),
    "nests deep": (
        "UPDATE trial_user_attributes SET value_json = replace(hex(zeroblob(900)), '00', '[')",
        "trial 0: (line 1: not JSON|nests too deep)",
    ),
    "no JSON": (f"UPDATE trial_params SET distribution_json = '' {OF_3}", "trial 2: .*not JSON"),
    "no distribution": (
        f"UPDATE trial_params SET distribution_json = '{{}}' {OF_3}", "trial 2: `stem` must be of"
    ),
    "another distribution": (
        "UPDATE trial_params SET distribution_json = '{\"name\": \"CategoricalDistribution\", "
        "\"attributes\": {\"choices\": [1, 2]}}' WHERE param_name = 'width2'",
        "trial 0: `width2` must be of .*IntDistribution.*; got .*Categorical",
    ),
    "out of range": (
        "UPDATE trial_params SET param_value = 1e300 WHERE param_name = 'width2'",
        r"trial 0: `width2` must be an integer from 0 to \d+; got 1e\+300",
    ),
    "between choices": (
        "UPDATE trial_params SET param_value = 1.5 WHERE param_name = 'width2'", "got 1.5"
    ),
    "no params": (f"DELETE FROM trial_params {OF_3}", "trial 2 must have one choice of each axis"),
    "unknown state": ("UPDATE trials SET state = 'WEIRD' WHERE number = 3", "one of RUNNING"),
    "failed": ("UPDATE trials SET state = 'FAIL' WHERE number = 1", "trial 1 has values, and its"),
    "a gap": (
        "DELETE FROM trials WHERE number = 1",
        "a row of trial_.* belongs to a row of trials that is absent",
    ),
    "renumbered": ("UPDATE trials SET number = 7 WHERE number = 1", "trial 1 is missing; got .*7"),
    "no number": ("UPDATE trials SET number = NULL", "`number` must be an integer; got None"),
    "no study": ("DELETE FROM studies", "belongs to a row of studies that is absent"),
    "other directions": ("UPDATE study_directions SET direction = 'MINIMIZE'", "two objectives"),
    "no identity": ("DELETE FROM study_user_attributes", r"studies of another program \(g4nas\)"),
    "identity 5": ("UPDATE study_user_attributes SET value_json = '5'", "an object; got 5"),
    "identity without fields": (
        "UPDATE study_user_attributes SET value_json = '{}'", "seed: stored None"
    ),
    "identity of odd fields": (
        "UPDATE study_user_attributes SET value_json = '{\"seed\": [[1]], \"space\": {}}'",
        r"seed: stored \[\[1\]\], requested 0",
    ),
    "NULL identity": ("UPDATE study_user_attributes SET value_json = NULL", "got None"),
    "newer Optuna": ("UPDATE alembic_version SET version_num = 'v9.0.0.a'", "no longer compat"),
    "no version": ("UPDATE alembic_version SET version_num = x'00'", "must be a text"),
    "two versions": ("INSERT INTO alembic_version VALUES ('v2.6.0.a')", "must have one row"),
    "no table, no study": (
        "DROP TABLE trials", "there is no table trials"
    ),
    "no table": ("DROP TABLE trial_params", "there is no table trial_params"),
    "no column": ("ALTER TABLE trial_params RENAME COLUMN param_value TO v", "no such column"),
    "invalid text": (
        "UPDATE trial_user_attributes SET value_json = CAST(x'22ff22' AS TEXT)", "decode to UTF-8"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_study_is_refused_untouched(
    kind: str, valid: tuple[Path, list[bytes]], problem: Problem, tmp_path: Path
) -> None:
    statement, reason = DAMAGED[kind]
    path = _change(valid[0], tmp_path / "study.db", statement)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=reason) as caught:
        Study.open(problem, path=path)
    message = str(caught.value)
    assert message.startswith(f"{path}")
    assert message.endswith("Use another --out")
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    if kind != "newer Optuna":
        assert path.read_bytes() == before


def _fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def _truncated(path: Path, source: Path) -> None:
    path.write_bytes(source.read_bytes()[:10_000])


def _locked(path: Path, source: Path) -> None:
    shutil.copy(source, path)
    path.with_name("study.db-wal").mkdir()


PLACES: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a folder": (lambda path, _: path.mkdir(), "must be a file; it is a folder"),
    "a pipe": (_fifo, "must be a file; it is a pipe"),
    "a folder as its log": (_locked, "-wal: must be a file; it is a folder"),
    "text": (lambda path, _: path.write_text("no database " * 50), "file is not a database"),
    "half a file": (_truncated, "malformed"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_something_else_in_its_place(
    kind: str, valid: tuple[Path, list[bytes]], problem: Problem, tmp_path: Path
) -> None:
    make, reason = PLACES[kind]
    make(tmp_path / "study.db", valid[0])
    with pytest.raises(ValueError, match=rf"study\.db.*{re.escape(reason)}"):
        Study.open(problem, path=tmp_path / "study.db")


@pytest.mark.slow
def test_locked_by_another_process(
    valid: tuple[Path, list[bytes]], problem: Problem, tmp_path: Path
) -> None:
    path = Path(shutil.copy(valid[0], tmp_path / "study.db"))
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ValueError, match=r"database is locked\. Use another --out"):
            Study.open(problem, path=path)


@pytest.mark.parametrize("tables", [1, 4, 8, 12, 13])
def test_killed_while_the_tables_are_made(
    tables: int, problem: Problem, tmp_path: Path, valid: tuple[Path, list[bytes]]
) -> None:
    """Optuna makes its tables one by one; a study that was killed then begins anew."""
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(valid[0])) as old, closing(sqlite3.connect(path)) as new:
        rows = old.execute("SELECT sql FROM sqlite_master WHERE type = 'table'").fetchall()
        for (statement,) in rows[:tables]:
            new.execute(statement)
        new.commit()
    assert _genes(finished_study(problem, 2, path=path)) == valid[1][:2]


def test_an_analysed_file_goes_on(
    valid: tuple[Path, list[bytes]], problem: Problem, tmp_path: Path
) -> None:
    """SQLite's own tools add tables."""
    path = _change(valid[0], tmp_path / "study.db", "ANALYZE")
    assert _genes(finished_study(problem, LATER, path=path)) == valid[1]


def test_the_last_trials_may_be_missing(
    valid: tuple[Path, list[bytes]], problem: Problem, tmp_path: Path
) -> None:
    """As if the search had stopped earlier: they are drawn again, to the same genes."""
    tables = ("values", "params", "user_attributes", "system_attributes")
    path = _change(
        valid[0],
        tmp_path / "study.db",
        *(f"DELETE FROM trial_{name} WHERE trial_id > 2" for name in tables),
        "DELETE FROM trials WHERE trial_id > 2",
    )
    study = Study.open(problem, path=path)
    assert study.trials == 2
    assert list(study.run(LATER)) == [3, 4, 5]
    assert _genes(study) == valid[1]


CELLS = (
    "NULL", "''", "'x'", "0", "-1", "3", "1e300", "9e999", "x'00ff'", "CAST(x'22ff22' AS TEXT)",
    "'null'", "'[]'", "'{}'", "'1e999'", "'NaN'", "'\"x\"'", "4294967296", "9223372036854775807",
    "replace(hex(zeroblob(3000)), '00', '[')", "'COMPLETE'", "'FAIL'", "'RUNNING'", "'MAXIMIZE'",
    "'constraints:'", "'identity'", "'width2'", "hex(zeroblob(300000))",
)  # fmt: skip


@st.composite
def _statements(draw: st.DrawFn) -> list[str]:
    """SQL that changes cells, or drops rows, columns or tables."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        table = draw(st.sampled_from([*TABLES, "trial_heartbeats", "trial_intermediate_values"]))
        column = draw(st.sampled_from([*TABLES.get(table, {"trial_id": None})]))
        row = f"rowid % {draw(st.integers(1, 4))} = 0"
        value = draw(st.sampled_from(CELLS))
        found.append(
            draw(
                st.sampled_from(
                    [
                        f"UPDATE {table} SET [{column}] = {value}",
                        f"UPDATE {table} SET [{column}] = {value} WHERE {row}",
                        f"UPDATE OR IGNORE {table} SET [{column}] = [{column}] + 1 WHERE {row}",
                        f"DELETE FROM {table} WHERE {row}",
                        f"DROP TABLE {table}",
                        f"ALTER TABLE {table} RENAME COLUMN [{column}] TO other",
                        f"ALTER TABLE {table} RENAME TO other",
                    ]
                )
            )
        )
    return found


def _same_or_refused(path: Path, problem: Problem, expected: list[bytes]) -> None:
    """A study that opens goes on as the search that never stops; else one line with the file."""
    try:
        study = Study.open(problem, path=path)
    except ValueError as error:
        assert str(error).startswith(str(path.parent))
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 1500
        return
    assert study.trials <= STORED
    try:
        for _ in study.run(LATER):
            pass
    except OSError as error:
        assert "cannot be written" in str(error)
        return
    assert _genes(study) == expected


@examples(60)
@given(statements=_statements())
def test_property_rows(
    valid: tuple[Path, list[bytes]],
    problem: Problem,
    tmp_path_factory: pytest.TempPathFactory,
    statements: list[str],
) -> None:
    path = tmp_path_factory.mktemp("rows") / "study.db"
    try:
        _change(valid[0], path, *statements)
    except sqlite3.Error:
        assume(False)
    _same_or_refused(path, problem, valid[1])


@examples(40)
@given(data=st.data())
def test_property_bytes(
    valid: tuple[Path, list[bytes]],
    problem: Problem,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "study.db"
    path.write_bytes(data.draw(mutated_bytes(valid[0].read_bytes())))
    _same_or_refused(path, problem, valid[1])
