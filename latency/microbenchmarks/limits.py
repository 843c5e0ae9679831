"""Limits of G1-G4 as a file, which `latency.guidelines` writes and a search reads."""

from __future__ import annotations

import math
from pathlib import Path

from space.common.schema import Integer, Maybe, Number, Record, Text, read_json
from space.cost.guidelines import NAMES, Guidelines

SCHEMA = 1
LEAST = {"g1": 1, "g2": 1, "g3": 1, "g4": 0}  # of each limit; a share is 1 at most
_LIMITS = Record(
    {name: Maybe(Number(least, 1e6)) for name, least in LEAST.items()}, required=NAMES, open=False
)
FILE = Record(
    {"schema": Integer(SCHEMA, SCHEMA), "limits": _LIMITS, "device": Text(longest=1000)},
    required=("schema", "limits"),
)


def limits_json(limits: Guidelines) -> dict[str, float | None]:
    """The `limits` of the file; an infinite one is null."""
    values = {name: float(getattr(limits, name)) for name in NAMES}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def load_limits(path: str | Path) -> Guidelines:
    """Read the limits of G1-G4 for a device from a file of `python -m latency.guidelines`.

    Args:
        path: a JSON file with `schema` 1 and `limits`: G1 and G2 are ratios of memory access from
            1, G3 counts convolutions of a unit, G4 is a share from 0; null is infinite.

    Raises:
        ValueError: the file is missing, or is not such a file; the message has the field.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> text = '{"schema": 1, "limits": {"g1": 1.1, "g2": 1.05, "g3": 5, "g4": null}}'
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "guidelines.json"
        ...     size = path.write_text(text)
        ...     load_limits(path)
        Guidelines(g1=1.1, g2=1.05, g3=5.0, g4=inf)
    """
    hint = "write one with python -m latency.guidelines --device cpu"
    try:
        limits = read_json(Path(path), FILE)["limits"]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; {hint}") from None
    except ValueError as error:
        raise ValueError(f"{error}; null is no limit; {hint}") from None
    return Guidelines(*(math.inf if limits[n] is None else float(limits[n]) for n in NAMES))
