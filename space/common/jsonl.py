"""Append-only files of JSON objects, one a line, each on disk before the next."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from space.common.files import check_regular
from space.common.schema import Spec, check, parse_json


class JsonLines:
    """A file of JSON objects, open for appending. `rows` are those it held when it was opened.

    A last line without its end comes from a killed process and is cut off; the caller repeats its
    work. Use as a context manager, or call `close`.

    Args:
        what: of what a line is, for the message.
        advice: what to do about a damaged line, for the message.
        spec: what must hold of every line; None: that it is an object.

    Raises:
        ValueError: the path is no regular file, or a line is damaged; the message has the file
            and the line.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path, *, what: str, advice: str, spec: Spec | None = None) -> None:
        self.path, self._what, self._advice, self._spec = path, what, advice, spec
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            check_regular(path)
        # Unbuffered: what a full disk refuses must not be written again at the close.
        self._file = path.open("a+b", buffering=0)
        try:
            self.rows = self._read()
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> list[dict[str, Any]]:
        self._file.seek(0)
        data = self._file.read()
        lines = data[: data.rfind(b"\n") + 1]
        if len(lines) < len(data):
            self._file.truncate(len(lines))
        rows = []
        for number, line in enumerate(lines.split(b"\n")[:-1], 1):
            try:
                row = parse_json(line)
                if not isinstance(row, dict):
                    raise ValueError("must be an object")
                if self._spec is not None:
                    check(row, self._spec)
            except ValueError as error:
                raise self.damaged(number, error) from None
            rows.append(row)
        return rows

    def damaged(self, number: int, error: object) -> ValueError:
        """The error of line `number`, from 1, for a reader who finds more wrong with it."""
        return ValueError(
            f"{self.path}, line {number}: not a line of {self._what} ({error}); {self._advice}"
        )

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one object and sync it to disk.

        Raises:
            OSError: about the file.
        """
        line = json.dumps(row).encode() + b"\n"
        before = self._file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(before)
            raise type(error)(error.errno, error.strerror, str(self.path)) from None

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
