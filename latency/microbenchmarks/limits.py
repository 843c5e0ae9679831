"""Limits of G1-G4 as a file, which `latency.guidelines` writes and a search reads."""

from __future__ import annotations

import json
import math
from pathlib import Path

from space.cost.guidelines import NAMES, Guidelines

SCHEMA = 1


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
        ValueError: the file is missing, or is not such a file.

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
        values = json.loads(Path(path).read_bytes().decode("utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; {hint}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8 text; {hint}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON: {error.msg}; {hint}") from None
    limits = values.get("limits") if isinstance(values, dict) else None
    if not isinstance(limits, dict):
        raise ValueError(f"{path}: must have `limits` with {', '.join(NAMES)}; {hint}")
    if (schema := values.get("schema")) != SCHEMA:
        raise ValueError(f"{path}: `schema` must be {SCHEMA}; got {schema!r}; {hint}")
    if set(limits) != set(NAMES):
        raise ValueError(
            f"{path}: `limits` must have {', '.join(NAMES)}; got {', '.join(limits) or 'none'}"
        )
    for name, value in limits.items():
        least = 0 if name == "g4" else 1
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and value >= least):
            raise ValueError(
                f"{path}: limit `{name}` must be a number from {least}, or null for none; "
                f"got {value!r}"
            )
    return Guidelines(*(math.inf if limits[n] is None else float(limits[n]) for n in NAMES))
