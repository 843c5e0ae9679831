"""The header of a latency table: where its numbers come from and how good they are."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from space.common.files import write_atomic

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TableHeader:
    """The JSON half of a table; the other half is a CSV file of rows.

    Args:
        layout: "blocks" if rows are blocks, "ops" if they are coefficients of an op cost model.
        target: the table's name; `device` is the chip.
        source: "measured", "published" or "estimated".
        engine: what ran the networks; `engine_version`, `threads`, `batch` and `dtype` as well.
        input: HEIGHTxWIDTH of the networks that have these blocks; empty if any.
        scale: the factor of all latencies and its origin, {"factor": 1.02, "how": "..."}.
        network_error: errors of predicted end-to-end latencies.
        noise: spread of the samples, share of outlier rounds, time of the reference network.
        host: facts about the machine.
        csv_sha256: checksum of the rows.
        extra: unknown keys, which `to_json` writes unchanged.

    Raises:
        ValueError: a field that this version cannot use; the message says what must hold.

    Example:
        >>> header = TableHeader(layout="blocks", target="cpu", source="measured", device="chip",
        ...                      engine="ncnn", date="2026-01-31", threads=2)
        >>> header.label
        'measured: chip, ncnn, 2 threads'
        >>> TableHeader.from_json(header.to_json()) == header
        True
    """

    layout: str
    target: str
    source: str
    device: str
    engine: str
    date: str
    schema: int = SCHEMA
    engine_version: str = ""
    threads: int = 1
    batch: int = 1
    dtype: str = "float32"
    input: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str = ""
    command: str = ""
    network_error: dict[str, Any] = field(default_factory=dict)
    scale: dict[str, Any] = field(default_factory=lambda: {"factor": 1.0, "how": "none"})
    noise: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    grid: str = ""
    csv_sha256: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"`schema` must be {SCHEMA}; got {self.schema!r}: rebuild the table")
        sources = ("measured", "published", "estimated")
        for name, known in (("layout", ("blocks", "ops")), ("source", sources)):
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}; got {value!r}")
        for name in ("threads", "batch"):
            if not isinstance(value := getattr(self, name), int) or value < 1:
                raise ValueError(f"`{name}` must be an integer, 1 or more; got {value!r}")
        if self.input and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", self.input):
            raise ValueError(f"`input` must be HEIGHTxWIDTH, as 224x224; got {self.input!r}")
        factor = self.scale.get("factor") if isinstance(self.scale, dict) else None
        if not isinstance(factor, int | float) or not 0.1 <= factor <= 10:
            raise ValueError(f"`scale.factor` must be a number near 1; got {factor!r}")

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of its networks' images, in pixels."""
        height, _, width = (self.input or "224x224").partition("x")
        return int(height), int(width)

    @property
    def label(self) -> str:
        """One line to print beside every latency: source, device, engine, threads."""
        words = [self.device, f"{self.engine} {self.engine_version}".strip()]
        if self.source != "published":  # its `device` says what is known of threads
            words.append("1 thread" if self.threads == 1 else f"{self.threads} threads")
        if self.batch != 1:
            words.append(f"batch {self.batch}")
        if self.input not in ("", "224x224"):
            words.append(f"input {self.input}")
        return f"{self.source}: {', '.join(words)}"

    def to_json(self) -> str:
        """Text that `from_json` turns into an equal header."""
        values = asdict(self)
        extra = values.pop("extra")
        return json.dumps(values | extra, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TableHeader:
        """The header in `text`.

        Raises:
            ValueError: damaged; the message has the line.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {error.lineno}: not JSON: {error.msg}") from None
        if not isinstance(values, dict):
            raise ValueError(f"line 1: must be a JSON object; got {type(values).__name__}")
        required = ("schema", "layout", "target", "source", "device", "engine", "date")
        missing = [name for name in required if name not in values]
        if missing:
            raise ValueError(f"line 1: lacks {', '.join(missing)}; a table header has these")
        known = {f.name for f in fields(cls)} - {"extra"}
        extra = {name: values.pop(name) for name in list(values) if name not in known}
        return cls(**values, extra=extra)


def save_table(
    path: Path, header: TableHeader, columns: Sequence[str], rows: Iterable[Iterable[object]]
) -> None:
    """Write `path` (.json) with the rows' checksum, and its .csv, each complete or not at all.

    Raises:
        OSError: a file cannot be written.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    data = text.getvalue().encode()
    write_atomic(path.with_suffix(".csv"), data)
    header = replace(header, csv_sha256=hashlib.sha256(data).hexdigest())
    write_atomic(path, header.to_json())


def mean_error(header: TableHeader) -> tuple[float, str] | None:
    """The table's mean absolute relative error of end-to-end latency on networks that it was not
    made from, and on which; None if it is not known."""
    error = header.network_error
    held_out = error.get("held_out") if isinstance(error, dict) else None
    if isinstance(held_out, dict) and isinstance(held_out.get("scaled"), dict):
        error = held_out["scaled"]  # predictions carry the scale factor
        what = f"{error.get('networks', '?')} random networks it was not built from"
    elif isinstance(held_out, str):
        what = f"{error.get('networks', '?')} whole networks ({held_out}, held out)"
    else:
        return None
    value = error.get("mean_abs_error")
    return (float(value), what) if isinstance(value, int | float) else None


def latency_line(header: TableHeader) -> str:
    """One line about printed latencies: their source and their error."""
    error = mean_error(header)
    if error is None:
        return f"latency: {header.label}; its error on whole networks is not known"
    return f"latency: {header.label}; mean error {error[0]:.1%} on {error[1]}"
