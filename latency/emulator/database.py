"""What the emulator has found, in SQLite databases of the cache folder. A damaged one is begun
anew: all that it held can be found again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from latency.devices.transport import one_line
from space.common.cli import log
from space.common.files import cache_dir, check_regular

# First bytes of SQLite's result codes (sqlite.org/rescode.html) after which the file is as it was.
NO_DAMAGE = (
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM,
)  # fmt: skip
WAIT_S = 60.0  # for another process that writes


class ResultStore:
    """A table of a database, whose last column is a value and whose others are its key.

    Args:
        name: of the database, and of its file.
        table: the definition of its only table, which has the name `table` begins with.

    Raises:
        OSError: the database cannot be opened, read or written; one line that names its file.
        ValueError: a folder, a pipe or a device is in its place.
    """

    def __init__(self, name: str, table: str, columns: Sequence[str]) -> None:
        self.path = cache_dir() / f"{name}.sqlite"
        self._name, self._table, self._columns = table.split()[0], table, columns
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            check_regular(self.path)
        with self._errors():
            self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._try()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in NO_DAMAGE:
                raise
            log(f"{self.path} is damaged ({one_line(error)}): begun anew")
            for path in (self.path, *self.path.parent.glob(f"{self.path.name}-*")):
                path.unlink(missing_ok=True)
            return self._try()

    def _try(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=WAIT_S)
        try:
            for (found,) in database.execute("PRAGMA quick_check(1)"):
                if found != "ok":
                    raise sqlite3.DatabaseError(found)
            with database:
                database.execute(f"CREATE TABLE IF NOT EXISTS {self._table}")
            database.execute(f"SELECT {', '.join(self._columns)} FROM {self._name} LIMIT 1")
        except BaseException:
            database.close()
            raise
        return database

    def find(self, *key: object) -> Any:
        """The value of a key; None without one."""
        where = " AND ".join(f"{name} = ?" for name in self._columns[:-1])
        select = f"SELECT {self._columns[-1]} FROM {self._name} WHERE {where}"
        with self._errors():
            row = self._database.execute(select, key).fetchone()
        return row[0] if row else None

    def store(self, rows: Sequence[Sequence[object]]) -> None:
        """Write rows of key and value, all of them or none."""
        marks = ", ".join("?" * len(self._columns))
        with self._errors(), self._database:
            self._database.executemany(
                f"INSERT OR REPLACE INTO {self._name} VALUES ({marks})", rows
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(
                f"{self.path}: {one_line(error)}: make room there, or delete it"
            ) from None
