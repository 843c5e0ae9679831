"""The state of a training as a checkpoint holds it: read from a file, and checked as a whole."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from evaluator.training.loop import Training
from space.common.files import check_regular
from space.common.schema import (
    Anything,
    Either,
    Flag,
    Integer,
    Items,
    Maybe,
    Number,
    Record,
    Spec,
    Text,
    Values,
    check,
)
from space.common.text import shorten

SCHEMA = 1
# What zipfile and torch raise for a file that is damaged or of another kind.
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, UnpicklingError, RuntimeError, ValueError,
    KeyError, IndexError, TypeError, AttributeError, EOFError, AssertionError, OverflowError,
)  # fmt: skip
_PLAIN = Maybe(Either((Text(), Flag(), Number())))
_ANY_NUMBER = Number(finite=False)
_EPOCH: dict[str, Spec] = {
    "epoch": Integer(1),
    "step": Integer(1),
    "lr": Number(0),
    "train_loss": _ANY_NUMBER,
    "test_loss": _ANY_NUMBER,
    "test_accuracy": Number(0, 100),
    "seconds": Number(0),
}
_VERSION = Record({"schema": Integer()}, required=("schema",))
STATE = Record(
    {
        "schema": Integer(),
        "identity": Values(Either((Items(Text()), Values(_PLAIN), _PLAIN))),
        "step": Integer(0),
        "losses": Items(_ANY_NUMBER, least=2, most=2),
        "seconds": Number(0),
        "cpu_s": Number(0),  # older checkpoints have none
        "history": Items(Record(_EPOCH, required=tuple(_EPOCH), open=False)),
        "module": Values(Anything()),
        "averaged": Values(Anything()),
        "best": Values(Anything()),
        "optimizer": Record({"state": Values(Values(Anything()))}, required=("state",)),
        "scaler": Values(Number()),
    },
    required=(
        "schema", "identity", "step", "losses", "seconds", "history", "module", "averaged", "best",
        "optimizer", "scaler",
    ),
)  # fmt: skip


def damaged(path: Path, why: object) -> ValueError:
    """The error of a checkpoint that cannot be used, with what to do."""
    return ValueError(
        f"{path} is no checkpoint of this program, or damaged ({shorten(str(why), 300)}). Delete "
        "it and train again, or choose another --out; the weights beside it are whole"
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, its types and not yet its tensors checked.

    Raises:
        ValueError: it is damaged, of another program, or of another version of this one.
        OSError: it cannot be read.
    """
    check_regular(path)
    content = io.BytesIO(path.read_bytes())  # where a wrong offset is no error of the system
    try:
        # torch checks no checksum; a changed bit would train on as another weight.
        with zipfile.ZipFile(content) as archive:
            if (bad := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {shorten(bad)} is wrong")
        content.seek(0)
        state = torch.load(content, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise damaged(path, str(error).partition("\n")[0]) from None
    try:
        check(state, _VERSION)
        if state["schema"] == SCHEMA:
            return dict(check(state, STATE))
    except ValueError as error:
        raise damaged(path, error) from None
    raise ValueError(
        f"{path} is of another version of this program (schema: stored {state['schema']}, "
        f"expected {SCHEMA}). Choose another --out, or --fresh to start over"
    )


def check_state(state: Mapping[str, Any], training: Training) -> None:
    """Compare the state of a checkpoint with the training that is to go on from it.

    Raises:
        ValueError: step and epochs contradict each other, or a tensor has another name, shape or
            type than the training's.
    """
    step, epoch = state["step"], training.epoch_steps
    ends = [*range(epoch, min(step, training.total) + 1, epoch)]
    ends += [step] if step == training.total and step % epoch else []
    if step > training.total or [entry["step"] for entry in state["history"]] != ends:
        raise ValueError(
            f"`step` must be at most {training.total}, with an entry of `history` for each epoch; "
            f"got {step} and {len(state['history'])} entries"
        )
    expected = training.module.state_dict()
    _check_tensors("module", state["module"], expected)
    _check_tensors("averaged", state["averaged"], expected if training.averaged else {})
    _check_tensors("best", state["best"], expected if ends else {})
    parameters = [p for group in training.optimizer.param_groups for p in group["params"]]
    momenta = dict(enumerate(parameters)) if step else {}
    found = state["optimizer"]["state"]
    if found.keys() != momenta.keys():
        raise ValueError(f"`optimizer` must have the state of {len(momenta)} parameters")
    for index, parameter in momenta.items():
        shaped = {"momentum_buffer": parameter} if training.recipe.momentum else {}
        stored = {name: value for name, value in found[index].items() if value is not None}
        _check_tensors(f"optimizer.state.{index}", stored, shaped)
    if state["scaler"].keys() != training.scaler.state_dict().keys():
        raise ValueError("`scaler` must be that of the same --amp and --device")


def _check_tensors(where: str, stored: Mapping[Any, Any], expected: Mapping[str, Tensor]) -> None:
    if stored.keys() != expected.keys():
        raise ValueError(f"`{where}` must have the tensors of the network; it has others")
    for name, value in stored.items():
        model = expected[name]
        shape = tuple(model.shape)
        if not isinstance(value, Tensor) or (value.shape, value.dtype) != (shape, model.dtype):
            got = (tuple(value.shape), value.dtype) if isinstance(value, Tensor) else value
            raise ValueError(
                f"`{where}.{name}` must be a tensor {shape} of {model.dtype}; got {shorten(got)}"
            )
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(f"`{where}.{name}` must be finite; it has NaN or infinity")
