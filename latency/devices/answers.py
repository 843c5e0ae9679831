"""What a device may answer: a spec of each message of its server (`latency/ondevice/server.py`).

A device is another computer, and a table is only as good as its numbers. So every line is checked
before anything is computed from it: its size, its types, and that it answers what was asked.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Sequence
from math import prod
from typing import Any

import numpy as np

from latency.devices.transport import one_line
from latency.ondevice.server import PROTOCOL
from space.common.errors import DeviceError
from space.common.schema import (
    Integer,
    Items,
    Number,
    Record,
    Spec,
    Text,
    Values,
    check,
    parse_json,
)

# Seconds of one run of a chain, and of a job.
SHORTEST_S, LONGEST_S, JOB_S = 1e-9, 1e5, 1e8

# No control characters, no marks that turn the direction of a line, no halves of characters: the
# texts go to terminals, tables and journals.
PLAIN = r"[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]*"


def _text(longest: int) -> Text:
    return Text(pattern=PLAIN, says="one line of plain text", longest=longest)


LINE, WORD = _text(300), _text(60)
PROCESSORS = Items(Integer(0, 100_000), most=4096)
HERTZ = Number(0, 1e12)

STATE = Record(
    {
        "frequency": HERTZ,
        "temperature": Number(-100, 300),
        "throttled": Integer(0),
        "battery": WORD,
        "on_battery": WORD,
        "load": Number(0, 1e6),
    },
    open=False,
)
FACTS = Record(
    {
        "machine": WORD,
        "system": WORD,
        "cores": Integer(1, 100_000),
        "affinity": PROCESSORS,
        "features": LINE,
        "cache": WORD,
        "l2_cache": WORD,
        "l3_cache": WORD,
        "governor": WORD,
        "frequency": HERTZ,
        "virtual": WORD,
        "temperature": WORD,
        "battery": WORD,
        "on_battery": WORD,
    },
    required=("machine", "system"),
    open=False,
)
HELLO = Record(
    {
        "hello": Integer(PROTOCOL, PROTOCOL),
        "chip": Text(pattern=f"(?=.*\\S){PLAIN}", says="the name of a processor", longest=300),
        "host": Text(pattern=r"[0-9a-f]{12}", says="12 hexadecimal digits"),
        "facts": FACTS,
        "state": STATE,
        "emulation": LINE,
        "python": Text(pattern=r"\d{1,2}\.\d{1,3}\S{0,30}", says="a version of Python"),
        "machine": Text(pattern=r"\w{1,30}", says="the name of an architecture"),
        "system": WORD,
        "libc": Items(WORD, 2, 2),
        "free_bytes": Integer(-(2**63)),
    },
    required=(
        "hello", "chip", "host", "facts", "state", "emulation", "python", "machine", "system",
        "libc", "free_bytes",
    ),
    open=False,
)  # fmt: skip
OPENED = Record(
    {
        "version": WORD,
        "versions": Values(_text(2000), most=50, key=WORD),
        "affinity": PROCESSORS,
        "facts": FACTS,
    },
    required=("version", "versions", "affinity", "facts"),
    open=False,
)
SECONDS = Number(0, JOB_S)
TIMED = Record(
    {"wall_s": SECONDS, "processor_s": SECONDS, "prepare_s": SECONDS, "state": STATE},
    required=("wall_s", "processor_s", "prepare_s", "state"),
    open=False,
)
ERROR = Record({"error": Text(), "kind": Text(longest=20)}, required=("error", "kind"), open=False)
DIGEST = Text(pattern="[0-9a-f]{64}", says="a digest of 64 hexadecimal digits")
OUTPUT = Record(
    {"shape": Items(Integer(1, 2**31), 1, 4), "float32": Text(longest=2**31)},
    required=("shape", "float32"),
    open=False,
)


def _one(name: str, spec: Spec) -> Record:
    return Record({name: spec}, required=(name,), open=False)


SPECS: dict[str, Record] = {
    "hello": HELLO,
    "opened": _one("opened", OPENED),
    "stored": _one("stored", DIGEST),
    "absent": _one("absent", Items(DIGEST)),
    "timed": _one("timed", TIMED),
    "outputs": _one("outputs", Items(OUTPUT, 1, 1)),
}


def read_answer(line: bytes, where: str, *names: str, count: int = 0) -> dict[str, Any]:
    """The answer in a line of the device `where`: one with the field `error`, or with one of
    `names`.

    Args:
        names: `times` or keys of `SPECS`.
        count: how many numbers `times` must have.

    Raises:
        DeviceError: it is anything else; one line that names the device.
    """
    try:
        answer = parse_json(line)
    except ValueError as error:
        text = one_line(line, 100)
        raise DeviceError(f"{where}: not a worker's answer: {text!r} ({error})") from None
    known = [name for name in ("error", *names) if isinstance(answer, dict) and name in answer]
    if len(known) != 1:
        what = " or ".join(f"`{name}`" for name in names)
        raise DeviceError(
            f"{where}: the worker must answer with {what}; got {one_line(answer, 100)}"
        )
    spec = ERROR if known == ["error"] else SPECS.get(known[0]) or _times(count)
    try:
        check(answer, spec)
    except ValueError as error:
        raise DeviceError(f"{where}: the worker's answer: {one_line(error)}") from None
    return dict(answer)


def _times(count: int) -> Record:
    return _one("times", Items(Number(SHORTEST_S, LONGEST_S), count, count))


def checked_absent(absent: Sequence[str], asked: Collection[str], where: str) -> set[str]:
    """The digests that a device lacks.

    Raises:
        DeviceError: it was not asked for one of them.
    """
    if others := set(absent) - set(asked):
        raise DeviceError(
            f"{where}: the worker lacks a model that it was not asked for: {min(others)}"
        )
    return set(absent)


def checked_timed(timed: dict[str, Any], where: str) -> dict[str, Any]:
    """What a job took.

    Raises:
        DeviceError: its parts are longer than the whole.
    """
    if timed["prepare_s"] > timed["wall_s"]:
        raise DeviceError(
            f"{where}: the worker's answer: `timed.prepare_s` must be at most `wall_s`, "
            f"{timed['wall_s']:g}; got {timed['prepare_s']:g}"
        )
    return timed


def read_outputs(outputs: Sequence[dict[str, Any]], batch: int, where: str) -> list[Any]:
    """The arrays that a device sent, float32.

    Raises:
        DeviceError: shape and content do not fit each other, or the number of images.
    """
    found = []
    for output in outputs:
        shape = output["shape"]
        try:
            data = base64.b64decode(output["float32"], validate=True)
        except (binascii.Error, ValueError):
            raise DeviceError(f"{where}: the worker's answer: outputs are no base64") from None
        if len(data) != 4 * prod(shape) or shape[0] != batch:
            raise DeviceError(
                f"{where}: the worker's answer: outputs must be {batch} images in float32; got "
                f"{len(data)} bytes of shape {shape}"
            )
        found.append(np.frombuffer(data, "<f4").reshape(shape))
    return found
