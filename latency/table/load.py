"""Loads latency tables by name or path: shipped ones, this host's own, any file."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from latency.ondevice.host import chip
from latency.table.header import TableHeader, rows_sha256
from latency.table.latency_table import LatencyTable
from latency.table.op_model import OpCostModel
from latency.table.rows import block_entries, coefficients, split_rows, stored_block
from space.common.files import cache_dir, read_text

AnyTable: TypeAlias = LatencyTable | OpCostModel

SHIPPED = Path(__file__).parent / "shipped"
HOST_TARGET = "cpu"
MOST_BYTES = 20_000_000  # a build with every guideline relaxed; about 1 MB a second to read
# Other names of shipped tables: name -> file. They take precedence over files of the same name, so
# that `arm` can mean another table while each chip has its own name.
ALIASES = {"snapdragon-810": "arm", "gtx-1080-ti": "gpu"}


def shipped_tables() -> dict[str, Path]:
    """Name -> header of the tables that come with the project."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.json"))}


def known_targets() -> tuple[str, ...]:
    """The names `load_table` knows."""
    names = dict.fromkeys((*shipped_tables(), *ALIASES))
    return (*(name for name in names if shipped_name(name)), HOST_TARGET)


def shipped_name(target: Path | str) -> str | None:
    """The file name, without suffix, of the shipped table that a target means; None of others."""
    name = ALIASES.get(target, target) if isinstance(target, str) else None
    return name if name in shipped_tables() else None


def host_table_path() -> Path:
    """This host's own table."""
    return cache_dir() / f"{HOST_TARGET}.json"


def load_table(target: Path | str) -> AnyTable:
    """The table of a target: a shipped name or alias, `cpu` (this host) or a path.

    Raises:
        FileNotFoundError: `cpu` has not been measured yet.
        ValueError: an unknown name, or a damaged table; the message names the file and line, what
            must hold, and what to do.

    Example:
        >>> load_table("gpu").header.batch
        8
    """
    if name := shipped_name(target):
        return _read(shipped_tables()[name])
    if target == HOST_TARGET:
        path = host_table_path()
        if not path.exists():
            raise FileNotFoundError(
                f"this host has no table yet ({path}): run python -m latency.build --device cpu"
            )
        table = _read(path)
        if table.header.device != chip():
            raise ValueError(
                f"{path} was measured on {table.header.device!r}, this host is {chip()!r}: "
                "run python -m latency.build --device cpu again"
            )
        return table
    return _read(_find(Path(target)))


def _find(path: Path) -> Path:
    if path.is_dir():
        found = sorted(p for p in path.glob("*.json") if p.with_suffix(".csv").exists())
        if len(found) != 1:
            raise ValueError(
                f"{path} must hold one table (a .json beside a .csv of the same name); "
                f"found {len(found)}"
            )
        return found[0]
    if path.suffix in (".json", ".csv") or path.exists():
        return path.with_suffix(".json")
    raise ValueError(
        f"unknown target {str(path)!r}: must be one of {', '.join(known_targets())}, or the path "
        "of a table"
    )


def _text(path: Path) -> str:
    try:
        return read_text(path, most_bytes=MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None


def _read(path: Path) -> AnyTable:
    text = _text(path)
    try:
        header = TableHeader.from_json(text)
        for block in header.noise.get("too_noisy", ()):
            stored_block(block)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    rows_path = path.with_suffix(".csv")
    text = _text(rows_path)
    table: AnyTable
    try:
        rows = split_rows(text)
        if header.layout == "ops":
            table = OpCostModel(header, coefficients(rows))
        else:
            table = LatencyTable(header, block_entries(rows))
    except ValueError as error:
        raise ValueError(f"{rows_path}, {error}; build the table again") from None
    if header.csv_sha256 not in ("", rows_sha256(row for _, row in rows)):
        raise ValueError(
            f"{rows_path}: does not match the checksum in {path.name}: rows were edited or lost; "
            "build the table again (its journal, if it still exists, spares re-measuring)"
        )
    return table
