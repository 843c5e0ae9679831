"""The latency table: Block -> seconds, with what its header says about where they come from."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latency.header import Header
from latency.machine import chip
from space.block import Block, BlockBatch
from space.files import cache_dir, write_atomic

if TYPE_CHECKING:
    from latency.interpolate import Interpolator
    from latency.op_model import OpCostModel

COLUMNS = ("block", "median_s", "q25_s", "q75_s", "n")
SHIPPED = Path(__file__).parent / "tables"
HOST_TARGET = "cpu"
# Other names of shipped tables: name -> file. They win over files of the same name, and are looked
# up once: a family name such as `arm` can mean another table while each chip keeps its own name.
ALIASES = {"snapdragon-810": "arm", "gtx-1080-ti": "gpu"}


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one block costs inside a network, in seconds, from `n` samples.

    `measure.py` says how a sample is got. Raw times are kept in the builder's `.samples.jsonl`.
    """

    median_s: float
    q25_s: float
    q75_s: float
    n: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.median_s) and self.median_s > 0):
            raise ValueError(f"`median_s` must be a positive number; got {self.median_s!r}")
        if not self.q25_s <= self.median_s <= self.q75_s:
            raise ValueError(f"quantiles must rise with their order; got {self}")
        if self.n < 1:
            raise ValueError(f"`n` must be at least 1; got {self.n}")

    @property
    def spread(self) -> float:
        """Interquartile range over median."""
        return (self.q75_s - self.q25_s) / self.median_s

    @property
    def error_s(self) -> float:
        """Standard error of the median in seconds, told from the quartiles: of normal samples the
        deviation is IQR / 1.349, and the median's error sqrt(pi / 2) of it over sqrt(n)."""
        return 0.93 * (self.q75_s - self.q25_s) / math.sqrt(self.n)

    @property
    def error(self) -> float:
        """`error_s` relative to the median."""
        return self.error_s / self.median_s


class LatencyTable:
    """Blocks measured on one device by one engine.

    A block that was not measured is interpolated between blocks of its own family (same kind,
    resolution and every field but the widths); `exact` tells. A measured one is drawn towards what
    its family tells, by as much as it was noisy (latency/family_fit.py). Latencies are multiplied
    by the header's one scale factor; `unscaled()` is the same table without it.
    """

    def __init__(self, header: Header, entries: Mapping[Block, Measurement]) -> None:
        if header.layout != "blocks":
            raise ValueError(f"a LatencyTable has layout 'blocks'; got {header.layout!r}")
        self.header = header
        self.entries = dict(entries)

    @cached_property
    def _interpolator(self) -> Interpolator:
        from latency.interpolate import Interpolator

        errors = {block: m.error for block, m in self.entries.items()}
        noisy = [Block.parse(text) for text in self.header.noise.get("too_noisy", ())]
        seconds = {block: m.median_s for block, m in self.entries.items()}
        return Interpolator(seconds, errors, noisy)

    def exact(self, block: Block) -> bool:
        """Whether `block` itself was measured."""
        return block in self.entries

    def predict(self, batch: BlockBatch) -> NDArray[np.float64]:
        """Seconds of each block, float64 [n].

        Raises:
            MissingOpError: a block is neither measured nor between measured ones.
        """
        return self._interpolator.predict(batch) * self.header.scale["factor"]

    def block_s(self, block: Block) -> float:
        """Seconds of one block; MissingOpError if the table cannot tell."""
        return float(self.predict(BlockBatch.of(block))[0])

    def network_s(self, blocks: Iterable[Block]) -> float:
        """Seconds of a network; MissingOpError if any block is missing, never a partial sum."""
        return sum(self.block_s(block) for block in blocks)

    def unscaled(self) -> LatencyTable:
        """This table without its scale factor."""
        scale = {"factor": 1.0, "how": "none"}
        return LatencyTable(replace(self.header, scale=scale), self.entries)

    def save(self, path: Path | str) -> Path:
        """Write `path` (.json) and its .csv; the files appear whole or not at all.

        Returns:
            The path of the header.
        """
        path = Path(path).with_suffix(".json")
        text = _csv_text(self.entries)
        header = replace(self.header, csv_sha256=hashlib.sha256(text.encode()).hexdigest())
        write_atomic(path.with_suffix(".csv"), text)
        write_atomic(path, header.to_json())
        return path


def _csv_text(entries: Mapping[Block, Measurement]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for block, m in sorted(entries.items(), key=lambda item: _order(item[0])):
        writer.writerow((block, m.median_s, m.q25_s, m.q75_s, m.n))
    return out.getvalue()


def _order(block: Block) -> tuple:
    return block.kind, -block.height, -block.width, block.fields


def shipped_tables() -> dict[str, Path]:
    """Name -> header of the tables that come with the project."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.json"))}


def known_targets() -> tuple[str, ...]:
    """The names `load_table` knows."""
    names = dict.fromkeys((*shipped_tables(), *ALIASES))
    return (*(name for name in names if shipped_name(name)), HOST_TARGET)


def shipped_name(target: Path | str) -> str | None:
    """The file name, without suffix, of the shipped table that a target means; None if it is not
    one that comes with the project."""
    name = ALIASES.get(target, target) if isinstance(target, str) else None
    return name if name in shipped_tables() else None


def host_table_path() -> Path:
    """Where this host's own table is kept."""
    return cache_dir() / f"{HOST_TARGET}.json"


def load_table(target: Path | str) -> LatencyTable | OpCostModel:
    """The table of a target: a shipped name or alias, `cpu` (this host) or a path.

    Raises:
        FileNotFoundError: `cpu` has not been measured yet.
        ValueError: an unknown name, or a table that cannot be trusted; the message names the
            file and line, what must hold, and what to do.
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
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8 text") from None


def _read(path: Path) -> LatencyTable | OpCostModel:
    try:
        header = Header.from_json(_text(path))
    except (TypeError, ValueError) as error:
        message = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        raise ValueError(message) from None
    rows_path = path.with_suffix(".csv")
    text = _text(rows_path)
    if header.layout == "ops":
        from latency.op_model import OpCostModel

        _check_sum(rows_path, text, header)
        try:
            return OpCostModel.from_rows(header, csv.DictReader(io.StringIO(text)))
        except ValueError as error:
            raise ValueError(f"{rows_path}, {error}") from None
    entries = _entries(rows_path, text)
    _check_sum(rows_path, text, header)
    return LatencyTable(header, entries)


def _check_sum(path: Path, text: str, header: Header) -> None:
    found = hashlib.sha256(text.encode()).hexdigest()
    if header.csv_sha256 and found != header.csv_sha256:
        raise ValueError(
            f"{path}: does not match the checksum in {path.with_suffix('.json').name}: rows were "
            "edited or lost; build the table again (its journal, if kept, spares re-measuring)"
        )


def _entries(path: Path, text: str) -> dict[Block, Measurement]:
    """The rows of a block table; ValueError with file and line of the first bad one."""
    rows = csv.reader(io.StringIO(text))
    heading = next(rows, [])
    if tuple(heading) != COLUMNS:
        raise ValueError(f"{path}, line 1: columns must be {','.join(COLUMNS)}; got {heading}")
    entries: dict[Block, Measurement] = {}
    for row in rows:
        try:
            block, measurement = _entry(row)
            if block in entries:
                raise ValueError(f"{block} stands twice")
        except ValueError as error:
            raise ValueError(
                f"{path}, line {rows.line_num}: {error}; build the table again"
            ) from None
        entries[block] = measurement
    if not entries:
        raise ValueError(f"{path}: must have at least one row; build the table again")
    return entries


def _entry(row: list[str]) -> tuple[Block, Measurement]:
    if len(row) != len(COLUMNS):
        raise ValueError(f"must have {len(COLUMNS)} fields; got {len(row)}")
    median, q25, q75 = (float(text) for text in row[1:-1])
    return Block.parse(row[0]), Measurement(median, q25, q75, int(row[-1]))
