"""A foreign model before it is lowered: nodes with shapes, the same for torch and ONNX."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from space.common.text import shorten

Shape: TypeAlias = tuple[int, ...]  # without the batch


FOREIGN_ERRORS = (Exception, SystemExit)
"""What code of others may raise: a factory may call `sys.exit`."""


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, logs and prints of foreign code while the block runs. It finds stdin at
    its end, and no debugger: whatever asks a person fails instead of waiting."""
    level, stdin, hook = logging.root.manager.disable, sys.stdin, sys.breakpointhook
    logging.disable(logging.CRITICAL)
    sys.stdin, sys.breakpointhook = io.StringIO(), _no_debugger
    try:
        sink = io.StringIO()
        with (
            warnings.catch_warnings(),
            redirect_stdout(sink),
            redirect_stderr(sink),
            _stdin_at_its_end(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdin, sys.breakpointhook = stdin, hook
        logging.disable(level)


def _no_debugger(*_: object, **__: object) -> None:
    raise RuntimeError("it stops in the debugger (breakpoint)")


@contextmanager
def _stdin_at_its_end() -> Iterator[None]:
    """Give descriptor 0 nothing to read, for code that reads it without `sys.stdin`."""
    try:
        kept = os.dup(0)
    except OSError:  # closed
        yield
        return
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def first_line(error: BaseException, longest: int = 300) -> str:
    """The type and the first line of an error of foreign code, cut to `longest` characters."""
    try:
        lines = str(error).strip().splitlines()
    except FOREIGN_ERRORS:
        lines = []
    text = lines[0].strip() if lines else "-"
    return f"{type(error).__name__}: {text if len(text) <= longest else text[:longest] + '...'}"


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


MOST_ELEMENTS = 2**26
"""Of one image: more is a slip of the finger, and no memory holds the maps of a network on it."""


def without_batch(shape: tuple[int, ...], batch: int) -> Shape:
    """The shape of one image. A first axis that is a multiple of the batch, as of a reshape that
    takes positions into it, is divided by it; any other shape stays as it is.

    Sizes are compared as text: a symbolic size of torch refuses a comparison."""
    if not shape or str(shape[0]) == str(batch):
        return shape[1:]
    first, *rest = shape
    if isinstance(first, int) and isinstance(batch, int) and batch > 1 and first % batch == 0:
        return (first // batch, *rest)
    return shape


def parse_input(text: str) -> Shape:
    """`3x224x224` as (3, 224, 224); ValueError if it is not of that form, or too large."""
    words = text.lower().split("x")
    if len(words) != 3 or not all(word.isascii() and word.isdecimal() for word in words):
        raise ValueError(
            f"--input must be CHANNELSxHEIGHTxWIDTH, such as 3x224x224; got {shorten(text)}"
        )
    return check_input(tuple(int(word[:20]) for word in words))


def check_input(shape: Shape) -> Shape:
    """`shape`, if it is the (channels, height, width) of an image of at most `MOST_ELEMENTS`.

    Raises:
        ValueError: it is not.
    """
    if len(shape) != 3 or min(shape) < 1 or prod(shape) > MOST_ELEMENTS:
        raise ValueError(
            "--input must be CHANNELSxHEIGHTxWIDTH, each at least 1 and all together at most "
            f"{MOST_ELEMENTS} elements; got {shorten(format_shape(shape))}"
        )
    return shape


def format_shape(shape: Shape) -> str:
    """A shape as 3x224x224."""
    return "x".join(map(str, shape)) or "a number"
