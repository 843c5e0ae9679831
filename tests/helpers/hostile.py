"""Hostile input: mutations of valid files, and what a command must do with them.

`G4NAS_EXAMPLES=20 pytest -k property` runs 20 times as many examples, from a new seed each time.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FACTOR = int(os.environ.get("G4NAS_EXAMPLES", "1"))
LONGEST_S = 10.0
MOST_BYTES = 2**30


def examples(count: int) -> settings:
    """Settings of a property test: `count` examples, the same ones in every run of CI."""
    return settings(
        max_examples=count * FACTOR,
        derandomize=FACTOR == 1,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


# Text in place of a JSON value. Some are no JSON, or more than a parser can take.
HOSTILE_JSON = (
    "null", "true", "[]", "{}", '""', "0", "-1", "1.5", "-1e308", "1e-300", "1e999", "NaN",
    "Infinity", "9" * 400, "9" * 5000, '"x"', '"' + "x" * 200_000 + '"', '"[/x] $a^$ %s {}"',
    '"\\u0000"', '"\\ud800"', "[[1, 2], null]", '{"factor": "x"}', "[" * 3000 + "]" * 3000,
    '"/dev/zero"', '"../../x"', "4294967296", "2147483648", "[1e308, 1e308]",
)  # fmt: skip
HOSTILE_FIELDS = (
    "", " ", "x", "nan", "inf", "-1", "0", "1e999", "1e-300", "9" * 400, "a" * 200_000, '"', "\0",
    "1,1", "\ufeff", "\u2028", "=1+1", "1e-3 ", "0x10", "\u0661",
)  # fmt: skip


def _paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [here, *(path for key, item in items for path in _paths(item, (*here, key)))]


@st.composite
def mutated_json(draw: st.DrawFn, valid: str) -> bytes:
    """The JSON text `valid` with one to three fields replaced, removed, renamed or reordered, and
    perhaps the file damaged as `mutated_text` damages it."""
    value = json.loads(valid)
    marks: dict[str, str] = {}
    for number in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(_paths(value)))
        if not path:
            value = f"@{number}@"
            marks[json.dumps(value)] = draw(st.sampled_from(HOSTILE_JSON))
            break
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        action = draw(st.sampled_from(("replace", "replace", "remove", "rename", "order")))
        if action == "replace":
            parent[path[-1]] = f"@{number}@"
            marks[json.dumps(f"@{number}@")] = draw(st.sampled_from(HOSTILE_JSON))
        elif action == "remove":
            del parent[path[-1]]
        elif isinstance(parent, dict):
            items = list(parent.items())
            if action == "rename":
                items = [(k + "x" if k == path[-1] else k, v) for k, v in items]
            parent.clear()
            parent.update(reversed(items) if action == "order" else items)
        else:
            parent.reverse()
    text = json.dumps(value, indent=draw(st.sampled_from((None, 2))))
    for mark, hostile in marks.items():
        text = text.replace(mark, hostile)
    return draw(st.one_of(st.just(text.encode()), mutated_text(text)))


@st.composite
def mutated_csv(draw: st.DrawFn, valid: str) -> bytes:
    """The rows of `valid` with fields replaced, or lines repeated, removed or reordered."""
    lines = valid.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(lines) - 1)) if lines else 0
        action = draw(st.sampled_from(("field", "field", "repeat", "remove", "reverse", "longer")))
        if not lines or action == "reverse":
            lines.reverse()
        elif action == "field":
            fields = lines[index].split(",")
            fields[draw(st.integers(0, len(fields) - 1))] = draw(st.sampled_from(HOSTILE_FIELDS))
            lines[index] = ",".join(fields)
        elif action == "repeat":
            lines.insert(index, lines[index])
        elif action == "remove":
            del lines[index]
        else:
            lines[index] += ",1"
    text = "\n".join(lines) + "\n"
    return draw(st.one_of(st.just(text.encode("utf-8", "surrogatepass")), mutated_text(text)))


@st.composite
def mutated_text(draw: st.DrawFn, valid: str) -> bytes:
    """`valid` cut, in another encoding, with other line ends, or with a byte-order mark."""
    data = valid.encode("utf-8", "surrogatepass")
    action = draw(st.sampled_from(("cut", "utf-8-sig", "utf-16", "crlf", "empty", "bytes")))
    if action == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if action == "crlf":
        return data.replace(b"\n", b"\r\n")
    if action == "empty":
        return b""
    if action == "bytes":
        return draw(mutated_bytes(data))
    return valid.encode(action, "surrogatepass")


@st.composite
def mutated_bytes(draw: st.DrawFn, valid: bytes) -> bytes:
    """`valid` with bytes changed, inserted, removed, or cut at the end."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        action = draw(st.sampled_from(("change", "insert", "remove", "cut")))
        if action == "change" and data:
            data[place] = draw(st.integers(0, 255))
        elif action == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=16))
        elif action == "remove":
            del data[place : place + draw(st.integers(1, 64))]
        else:
            del data[place:]
    return bytes(data)


def run_hostile(
    main: Callable[[Sequence[str]], int],
    words: Sequence[str],
    *,
    name: str,
    finals: Sequence[Path] = (),
    folders: Sequence[Path] = (),
) -> int:
    """Run a command in this process, and hold what must hold whatever its input is.

    Exit status 0, 1 or 2; with 1 and 2 one line on stderr that begins with the command's `name`,
    which is its last line; no traceback; none of `finals` written unless the status is 0; no
    temporary file left in `folders`; at most 10 s of CPU (a busy machine is no
    fault), and at most 1 GiB more memory.

    Returns:
        The exit status.
    """
    out, err = io.StringIO(), io.StringIO()
    before, start = _memory_bytes(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([*words])
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 2
    seconds, memory = time.process_time() - start, _memory_bytes() - before
    text = err.getvalue()
    assert status in (0, 1, 2), f"exit status {status}: {text}"
    assert "Traceback" not in text, text
    if status:
        own = [line for line in text.splitlines() if line.startswith(f"{name}: ")]
        assert len(own) == 1 and text.splitlines()[-1] == own[0], text
        assert len(own[0]) < 2000, f"a line of {len(own[0])} characters: {own[0][:300]}"
        assert not (found := [path for path in finals if path.exists()]), f"{found} was written"
    left = [path for folder in folders if folder.is_dir() for path in folder.rglob(".*.part*")]
    assert not left, f"left behind: {left}"
    assert seconds <= LONGEST_S, f"took {seconds:.1f} s"
    assert memory <= MOST_BYTES, f"took {memory / 2**20:.0f} MiB"
    return status


def _memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
