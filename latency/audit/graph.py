"""A foreign model before it is lowered: nodes with shapes, the same for torch and ONNX."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]  # without the batch


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, logs and prints of foreign code while the block runs."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        sink = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(sink), redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def first_line(error: BaseException) -> str:
    """The type and the first line of an error of foreign code."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip() if lines else '-'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator of the source.

    `kind`: "input", "conv", "linear", "norm" (batch norm), "affine" (times or plus a constant),
    "act", "maxpool", "avgpool", "globalpool", "add", "mul", "concat", "slice", "shuffle",
    "reshape", "transpose", "pass" (what inference does not run: dropout, copies, casts) or
    "unknown". A convolution absorbs "norm", "affine" and "act" after it.
    `inputs` are indices of nodes, without constants; `params` counts the constants. `modules` is
    the module path from the root inwards, (path, class) each, where the source records it.
    `kernel` and `stride` are (height, width). `start`: first channel of a slice. `perm`: the axes
    of a transpose, the batch included. `missing`: why a node is unknown, if not for its name.
    """

    kind: str
    source: str
    name: str
    inputs: tuple[int, ...] = ()
    shape: Shape = ()
    modules: tuple[tuple[str, str], ...] = ()
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = False
    params: int = 0
    act: str = ""
    start: int = 0
    perm: tuple[int, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A model as read: nodes in the order they run.

    `outputs` are indices of nodes. `held_params`: all parameters of the model, used or not.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    held_params: int
    input_shape: Shape


def without_batch(shape: tuple[int, ...], batch: int) -> Shape:
    """The shape of one image; a shape whose first axis is not the batch stays as it is.

    Sizes are compared as text: a symbolic size of torch refuses a comparison."""
    return shape[1:] if shape and str(shape[0]) == str(batch) else shape


def parse_input(text: str) -> Shape:
    """`3x224x224` as (3, 224, 224); ValueError if it is not of that form."""
    words = text.lower().split("x")
    if len(words) != 3 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f"--input must be CHANNELSxHEIGHTxWIDTH, such as 3x224x224; got {text!r}")
    return tuple(int(word) for word in words)


def format_shape(shape: Shape) -> str:
    """A shape as 3x224x224."""
    return "x".join(map(str, shape)) or "a number"
