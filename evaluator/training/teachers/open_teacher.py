"""Opens the network that a user names as the teacher, and checks that it can teach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from evaluator.training.images.batches import statistics
from evaluator.training.recipes.recipe import Recipe
from evaluator.training.session import NO_MEMORY
from evaluator.training.source import SUFFIX, read_trained
from evaluator.training.teachers.named_teacher import open_named
from evaluator.training.teachers.onnx_teacher import open_onnx
from evaluator.training.teachers.teacher import TeacherNetwork, ViewingTeacher
from evaluator.training.teachers.teacher_config import TeacherConfig
from evaluator.training.weights.foreign_weights import file_digest
from space.common.text import shorten

ONNX = ".onnx"
OTHER_FILES = (".pth", ".pt", ".bin", ".ckpt", ".tflite", ".json")


def open_teacher(
    config: TeacherConfig, recipe: Recipe, classes: Sequence[str], device: str
) -> ViewingTeacher:
    """The teacher of a training on images of these classes.

    Raises:
        ValueError: there is no such network or file, it is damaged, or it has other classes or
            other inputs and outputs.
        OSError: a file cannot be read.
        NoAnswerError: a package is missing.
    """
    mean, std = statistics(recipe.channels)
    network = _network(config, recipe, classes)
    if len(network.mean) != recipe.channels:
        raise ValueError(
            f"--teacher {config.name} takes images of {len(network.mean)} channels; --channels is "
            f"{recipe.channels}"
        )
    teacher = ViewingTeacher(network, mean, std, device, config.share, config.temperature)
    x = torch.zeros(2, recipe.channels, *recipe.size, device=device)
    with torch.no_grad():
        _check_answer(config, _answer(teacher, x), network.classes, classes)
    return teacher


def _network(config: TeacherConfig, recipe: Recipe, classes: Sequence[str]) -> TeacherNetwork:
    path = Path(config.name)
    if path.suffix in (SUFFIX, ONNX) and config.weights is not None:
        raise ValueError("--teacher-weights is for a teacher by name; a file has its own")
    if path.suffix == SUFFIX:
        if config.input is not None:
            raise ValueError("--teacher-input is not for a .safetensors, which states its input")
        return _trained(config, path)
    if path.suffix == ONNX:
        own = statistics(recipe.channels)
        return open_onnx(path, size=recipe.size, statistics=own, side=config.input)
    if path.suffix in OTHER_FILES:
        raise ValueError(
            f"--teacher must be a {SUFFIX} of evaluator.train, an {ONNX} file, or a name of "
            f"torchvision or timm, with --teacher-weights for other weights; got "
            f"{shorten(config.name)}"
        )
    return open_named(config, len(classes))


def _trained(config: TeacherConfig, path: Path) -> TeacherNetwork:
    found = read_trained(path)
    module = found.module()
    return TeacherNetwork(
        name=config.name,
        digest=file_digest(path),
        run=module,
        classes=found.classes,
        size=found.input_shape[1:],
        mean=found.mean,
        std=found.std,
        module=module,
    )


def _answer(teacher: ViewingTeacher, x: Tensor) -> object:
    name = teacher.network.name
    try:
        return teacher.logits(x)
    except (RuntimeError, AssertionError) as error:  # torch's and timm's, for other sizes
        if any(words in str(error).lower() for words in NO_MEMORY):
            raise
        reason = shorten(" ".join(str(error).split()), 300)
        raise ValueError(f"--teacher {name} cannot take the images: {reason}") from None


def _check_answer(
    config: TeacherConfig, answer: object, names: Sequence[str], classes: Sequence[str]
) -> None:
    """ValueError if the answer to two images is not [2, classes], of these classes."""
    if not isinstance(answer, Tensor) or answer.ndim != 2 or len(answer) != 2:
        got = list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise ValueError(
            f"--teacher {config.name} must give [n, {len(classes)}], the classes of n images; it "
            f"gives {got} for 2 images"
        )
    if answer.shape[1] != len(classes):
        raise ValueError(
            f"--teacher {config.name} has {answer.shape[1]} classes; the data has {len(classes)}: "
            "take a teacher of these classes"
        )
    for index, (theirs, ours) in enumerate(zip(names, classes, strict=False)):
        if theirs != ours:
            raise ValueError(
                f"--teacher {config.name} has other classes than the data: class {index} is "
                f"{shorten(theirs)} there and {shorten(ours)} here"
            )
    if not bool(torch.isfinite(answer).all()):
        raise ValueError(f"--teacher {config.name} gives numbers that are not finite")
