"""An ONNX file as a teacher, run by ONNX Runtime on the processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluator.training.teachers.teacher import Numbers, TeacherNetwork
from evaluator.training.weights.foreign_weights import file_digest
from evaluator.training.weights.state import UNREADABLE
from space.common.errors import NoAnswerError
from space.common.files import check_regular
from space.common.schema import Items, Number, Text, check, parse_json
from space.common.text import shorten

_NUMBERS = Items(Number(), least=1, most=64)
# What `search.export` writes into a file, as JSON.
_METADATA = {"mean": _NUMBERS, "std": _NUMBERS, "classes": Items(Text(), least=1)}
_ERRORS = (
    "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf",
    "NoModel", "NoSuchFile", "NotImplemented", "RuntimeException",
)  # fmt: skip


def open_onnx(
    path: Path, *, size: tuple[int, int], statistics: tuple[Numbers, Numbers], side: int | None
) -> TeacherNetwork:
    """An ONNX file with one input [n, channels, height, width] and one output [n, classes].

    Args:
        size: (height, width) of the student's images, for a file that takes any.
        statistics: mean and deviation of the student's channels, for a file that states none.
        side: of its input, for a file that takes any; None: `size`.

    Raises:
        ValueError: the file is damaged, or has other inputs or outputs.
        OSError: it cannot be read.
        NoAnswerError: ONNX Runtime is not installed.
    """
    check_regular(path)
    session, errors = _session(path)
    name, shape = _checked_shape(path, session)
    stated = _metadata(path, session)
    mean, std = (
        tuple(map(float, stated[key])) if key in stated else own
        for key, own in zip(("mean", "std"), statistics, strict=True)
    )
    if len(mean) != len(std) or shape[1] not in (None, len(mean)) or min(std) <= 0:
        raise ValueError(
            f"{path} must take images of {len(statistics[0])} channels, as the recipe has; its "
            f"input is {shorten(shape)}"
        )
    free = (side, side) if side else size
    height, width = (own or other for own, other in zip(shape[2:], free, strict=True))
    if side and (height, width) != free:
        raise ValueError(f"{path} takes images of {height}x{width}; got --teacher-input {side}")

    def run(x: Tensor) -> Tensor:
        parts = x.split(1) if shape[0] else (x,)
        arrays = [part.detach().cpu().contiguous().numpy() for part in parts]
        try:
            found = [torch.from_numpy(session.run(None, {name: each})[0]) for each in arrays]
        except errors as error:
            reason = shorten(str(error), 300)
            raise ValueError(f"{path} cannot take images {list(x.shape)}: {reason}") from None
        return torch.cat(found).to(x.device)

    return TeacherNetwork(
        name=str(path),
        digest=file_digest(path),
        run=run,
        classes=tuple(stated.get("classes", ())),
        size=(height, width),
        mean=mean,
        std=std,
        note="" if stated else "it states no pixel statistics, so it gets those of the recipe",
    )


def _checked_shape(path: Path, session: Any) -> tuple[str, list[int | None]]:
    """Name and shape of the input of a file; None: any."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            f"{path} must have one input and one output; it has {len(inputs)} and {len(outputs)}"
        )
    for what, must, node, rank in (
        ("input", "[n, channels, height, width]", inputs[0], 4),
        ("output", "[n, classes]", outputs[0], 2),
    ):
        if len(node.shape) != rank or node.type != "tensor(float)":
            raise ValueError(
                f"{path}: the {what} must be float {must}; got {node.type} {shorten(node.shape)}"
            )
    shape = [each if isinstance(each, int) else None for each in inputs[0].shape]
    if shape[0] not in (None, 1):
        raise ValueError(
            f"{path} must take any number of images, or one; it takes {shape[0]}: export it with "
            "a free batch"
        )
    return inputs[0].name, shape


def _session(path: Path) -> tuple[Any, tuple[type[Exception], ...]]:
    """A session, and the errors that it may raise."""
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ModuleNotFoundError:
        raise NoAnswerError(
            "--teacher of an ONNX file needs onnxruntime, which is not installed: pip install "
            "onnxruntime"
        ) from None
    errors = tuple(getattr(state, name) for name in _ERRORS if hasattr(state, name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        found = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except (*errors, *UNREADABLE) as error:
        raise ValueError(
            f"{path} must be an ONNX file; it is damaged or has ops that ONNX Runtime lacks "
            f"({shorten(str(error), 200)})"
        ) from None
    return found, errors


def _metadata(path: Path, session: Any) -> dict[str, Any]:
    """What the file states of its images and classes."""
    stored, source = session.get_modelmeta().custom_metadata_map, f"{path}, metadata"
    if not _METADATA.keys() <= stored.keys():
        return {}
    return {
        name: check(parse_json(stored[name], source=source), spec, source=f"{source}, {name}")
        for name, spec in _METADATA.items()
    }
