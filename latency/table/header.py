"""The header of a latency table: where its numbers come from and how good they are."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from space.common.files import write_atomic
from space.common.schema import (
    Anything,
    Either,
    Integer,
    Items,
    Maybe,
    Number,
    Record,
    Text,
    Values,
    check,
    parse_json,
)
from space.common.text import shorten

SCHEMA = 1
CHANNELS, CLASSES = 3, 1000  # of ImageNet
REQUIRED = ("schema", "layout", "target", "source", "device", "engine", "date")

# A label is one line, wherever it is printed.
_LINE = Text(
    pattern=r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*",
    says="a text on one line",
    longest=1000,
)
_SUMMARY = Record({"mean_abs_error": Maybe(Number(0)), "networks": Maybe(Integer(0))})
_ERROR = Record({**_SUMMARY.fields, "held_out": Either((Text(), Values(_SUMMARY)))})
_NOISE = Record({"reference_s": Maybe(Number(1e-9, 1e4)), "too_noisy": Items(Text())})
_SCALE = Record({"factor": Number(0.1, 10), "how": Text()}, required=("factor",))
# Unknown fields are kept; those of `network_error` and `noise` differ by the source.
HEADER = Record(
    {
        "schema": Integer(SCHEMA, SCHEMA),
        "layout": Text(choices=("blocks", "ops")),
        "target": _LINE,
        "source": Text(choices=("measured", "published", "estimated")),
        "device": _LINE,
        "engine": _LINE,
        "date": _LINE,
        "engine_version": _LINE,
        "threads": Integer(1, 1024),
        "batch": Integer(1, 65_536),
        "dtype": _LINE,
        "input": Text(pattern=r"([1-9]\d{0,4}x[1-9]\d{0,4})?", says="HEIGHTxWIDTH, as 224x224"),
        "channels": Integer(1, 1024),
        "classes": Integer(1, 1_000_000),
        "versions": Values(Text()),
        "commit": _LINE,
        "command": Text(longest=100_000),
        "network_error": _ERROR,
        "scale": _SCALE,
        "noise": _NOISE,
        "host": Values(Anything()),
        "grid": Text(),
        "csv_sha256": Text(),
        "extra": Values(Anything()),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableHeader:
    """The JSON half of a table; the other half is a CSV file of rows.

    Args:
        layout: "blocks" if rows are blocks, "ops" if they are coefficients of an op cost model.
        target: the table's name; `device` is the chip.
        source: "measured", "published" or "estimated".
        engine: what ran the networks; `engine_version`, `threads`, `batch` and `dtype` as well.
        input: HEIGHTxWIDTH of the networks that have these blocks; empty if any.
        channels: of the images; `classes`: of the classifier.
        scale: the factor of all latencies and its origin, {"factor": 1.02, "how": "..."}.
        network_error: errors of predicted end-to-end latencies.
        noise: spread of the samples, share of outlier rounds, time of the reference network.
        host: facts about the machine.
        csv_sha256: checksum of the rows (`rows_sha256`).
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
    channels: int = CHANNELS
    classes: int = CLASSES
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
            got = shorten(self.schema)
            raise ValueError(f"`schema` must be {SCHEMA}; got {got}: rebuild the table")
        check({f.name: getattr(self, f.name) for f in fields(self)}, HEADER)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of its networks' images, in pixels."""
        height, _, width = (self.input or "224x224").partition("x")
        return int(height), int(width)

    @property
    def label(self) -> str:
        """One line to print beside every latency: source, device, engine, threads."""
        words = [self.device, f"{self.engine} {self.engine_version}".strip()]
        # The `device` of a published table says what is known of threads; a GPU has none to count.
        if self.source != "published" and "accelerator" not in self.host:
            words.append("1 thread" if self.threads == 1 else f"{self.threads} threads")
        if self.batch != 1:
            words.append(f"batch {self.batch}")
        if self.input not in ("", "224x224"):
            words.append(f"input {self.input}")
        if self.channels != CHANNELS:
            words.append("1 channel" if self.channels == 1 else f"{self.channels} channels")
        if self.classes != CLASSES:
            words.append("1 class" if self.classes == 1 else f"{self.classes} classes")
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
            ValueError: damaged; the message has the line, or the field and what must hold.
        """
        values = parse_json(text)
        if not isinstance(values, dict):
            raise ValueError(f"line 1: must be a JSON object; got {type(values).__name__}")
        missing = [name for name in REQUIRED if name not in values]
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
    text = _rows_text([columns, *rows])
    header = replace(header, csv_sha256=hashlib.sha256(text.encode()).hexdigest())
    write_atomic(path.with_suffix(".csv"), text)
    write_atomic(path, header.to_json())


def rows_sha256(rows: Iterable[Iterable[object]]) -> str:
    """Checksum of the fields of rows, the heading among them. It is that of the file as this
    project writes it, whatever line ends and quotes another program gave it."""
    return hashlib.sha256(_rows_text(rows).encode("utf-8", "surrogatepass")).hexdigest()


def _rows_text(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


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
