"""Computed scores on disk: append-only, synced network by network, found again after a kill.

One JSON object a line. A score is found again only if all of it is the same: the network, its
weights' seed, the input, torch's version, and the code that computes it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FIELDS = ("dataset", "network", "proxy", "input", "seed", "torch", "code")
SHARED = ("borrow.py", "watch.py")


def default_path() -> Path:
    """`proxies.jsonl` in `$G4NAS_CACHE`, or in `~/.cache/g4nas`."""
    folder = os.environ.get("G4NAS_CACHE")
    return (Path(folder) if folder else Path.home() / ".cache" / "g4nas") / "proxies.jsonl"


def code_of(module: str) -> str:
    """A hash of what a proxy's module computes with: comments and docstrings do not count."""
    folder = Path(__file__).parent
    own = folder / "proxies" / f"{module.rpartition('.')[2]}.py"
    paths = [own, *(folder / "proxies" / name for name in SHARED), folder / "rebuilt.py"]
    texts = [_without_docstrings(path.read_text(encoding="utf-8")) for path in paths]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                line
                for line in body
                if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ] or [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(tree))


class ProxyCache:
    """Scores by what they were computed from.

    Raises:
        ValueError: a line of the file is damaged.
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._scores: dict[tuple[Any, ...], float] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> ProxyCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):  # killed while writing: those scores are computed again
            self._file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                values = json.loads(line)
                self._scores[_key(values)] = float(values["score"])
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path}, line {number}: must be a computed score; got {error}; "
                    "mend or delete the file"
                ) from None

    def get(self, about: Mapping[str, Any]) -> float | None:
        """The score computed from exactly this, `about` holding FIELDS."""
        return self._scores.get(_key(about))

    def add(self, found: Sequence[tuple[Mapping[str, Any], float, float]]) -> None:
        """Record (about, score, seconds), all in one write."""
        lines = []
        for about, score, seconds in found:
            line = {**{name: about[name] for name in FIELDS}, "score": score}
            lines.append(json.dumps({**line, "seconds": round(seconds, 3)}) + "\n")
            self._scores[_key(about)] = score
        self._file.write("".join(lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())


def _key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(tuple(values[name]) if name == "input" else str(values[name]) for name in FIELDS)
