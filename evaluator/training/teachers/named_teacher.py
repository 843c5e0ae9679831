"""A network of torchvision or timm as a teacher, with weights from this disk."""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evaluator.training.teachers.teacher import TeacherNetwork
from evaluator.training.teachers.teacher_config import TeacherConfig
from evaluator.training.weights.foreign_weights import (
    check_finite,
    file_digest,
    hub_file,
    load_strictly,
    needed_file,
    read_state,
)
from evaluator.training.weights.state import UNREADABLE
from space.common.text import shorten

OPTION = "--teacher"
LIBRARIES = ("torchvision", "timm")
RENORMALISED = ("googlenet", "inception_v3")  # within the network, with torchvision's weights


def open_named(config: TeacherConfig, classes: int) -> TeacherNetwork:
    """The network that `config.name` names: torchvision:NAME, timm:NAME, or NAME of the first of
    them that has it.

    Raises:
        ValueError: there is no such network, or its weights are not on this disk or for another
            number of classes.
        OSError: the weights cannot be read.
    """
    library, _, name = config.name.rpartition(":")
    if library not in ("", *LIBRARIES):
        raise ValueError(
            f"{OPTION} must be torchvision:NAME, timm:NAME, NAME or a file; got "
            f"{shorten(config.name)}"
        )
    if library != "timm" and name in (known := _torchvision_names()):
        return _torchvision(config, name, classes)
    if library != "torchvision":
        timm = _timm()
        if timm is not None and timm.is_model(name):
            try:
                about = timm.get_pretrained_cfg(name)
            except RuntimeError as error:  # a tag of weights that it does not know
                raise ValueError(f"{OPTION} {config.name}: {error}") from None
            return _of_timm(timm, about, config, name, classes)
        known = [*(known if library == "" else []), *(timm.list_models() if timm else [])]
        if timm is None and library == "timm":
            raise ValueError(f"{OPTION} {config.name} needs timm, which is not installed")
    near = ", ".join(difflib.get_close_matches(name, known, 3)) or "none is near"
    absent = " (timm is not installed)" if library == "" and _timm() is None else ""
    where = library or "torchvision or timm"
    raise ValueError(
        f"{OPTION} must be a network of {where}{absent}, or the path of a .safetensors or .onnx "
        f"file; got {shorten(name)} ({near})"
    )


def _torchvision_names() -> list[str]:
    from torchvision import models

    return list(models.list_models(module=models))


def _timm() -> Any:
    try:
        import timm
    except ModuleNotFoundError:
        return None
    return timm


def _torchvision(config: TeacherConfig, name: str, classes: int) -> TeacherNetwork:
    from torchvision import models

    default = models.get_model_weights(name).DEFAULT
    transforms = default.transforms()
    if config.weights is None:
        _check_count(config, len(default.meta["categories"]), classes)
        path = needed_file(hub_file(default.url), f"{OPTION} {config.name}", name, default.url)
        # torchvision reads the file once more, with what its own weights need: other names of
        # tensors, sizes, a normalisation within the network.
        check_finite(path, read_state(path))
        module = _built(lambda: models.get_model(name, weights=default), path)
    else:
        path = config.weights
        if name in RENORMALISED:
            raise ValueError(
                f"{OPTION} {config.name} takes torchvision's own weights alone: how it normalises "
                "its images does not show in others"
            )
        module = _built(lambda: models.get_model(name, weights=None, num_classes=classes), path)
        _load(config, module, path, classes)
    crop = transforms.crop_size[0]
    return _network(config, path, module, crop, transforms.mean, transforms.std)


def _of_timm(
    timm: Any, about: Any, config: TeacherConfig, name: str, classes: int
) -> TeacherNetwork:
    if config.weights is None:
        _check_count(config, about.num_classes, classes)
        path = _timm_file(config, about)
        check_finite(path, read_state(path))
        overlay = {"file": str(path), "source": "timm"}
        module = _built(
            lambda: timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay), path
        )
    else:
        path = config.weights
        module = _built(lambda: timm.create_model(name, num_classes=classes), path)
        _load(config, module, path, classes)
    return _network(config, path, module, about.input_size[-1], about.mean, about.std)


def _timm_file(config: TeacherConfig, about: Any) -> Path:
    """Where timm's weights are: the cache of the Hugging Face hub, or torch.hub's."""
    if about.url and (found := hub_file(about.url)).is_file():
        return found
    names = [about.hf_hub_filename] if about.hf_hub_filename else []
    if about.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        for name in (*names, "model.safetensors", "pytorch_model.bin"):
            found_text = try_to_load_from_cache(about.hf_hub_id, name)
            if isinstance(found_text, str):
                return Path(found_text)
    source = (
        f"the repository {about.hf_hub_id} of huggingface.co" if about.hf_hub_id else about.url
    )
    if not source:
        raise ValueError(
            f"{OPTION} {config.name} has no published weights: give a file with --teacher-weights"
        )
    raise ValueError(
        f"{OPTION} {config.name} needs its weights on this disk, as nothing is fetched: give a "
        f"file with --teacher-weights, or fill the cache from {source}"
    )


def _built(make: Any, path: Path) -> nn.Module:
    """What `make` builds, with torch's global generator and the warnings of others left alone."""
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = make()
    except UNREADABLE as error:
        reason = shorten(" ".join(str(error).split()), 300)
        raise ValueError(f"{path} must hold the weights of the teacher: {reason}") from None
    assert isinstance(module, nn.Module)
    return module


def _load(config: TeacherConfig, module: nn.Module, path: Path, classes: int) -> None:
    """Load a user's weights; where only the classifier differs, say so with its counts."""
    state, own = read_state(path), module.state_dict()
    others = [
        (own[name].shape[0], state[name].shape[0])
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
        and own[name].shape[1:] == state[name].shape[1:]
        and own[name].ndim
    ]
    if others and set(others) == {(classes, others[0][1])}:
        _check_count(config, others[0][1], classes)
    load_strictly(module, path)


def _check_count(config: TeacherConfig, found: int, classes: int) -> None:
    if found != classes:
        raise ValueError(
            f"{OPTION} {config.name} has {found} classes; the data has {classes}: give weights "
            "for these classes with --teacher-weights"
        )


def _network(
    config: TeacherConfig, path: Path, module: nn.Module, side: int, mean: Any, std: Any
) -> TeacherNetwork:
    size = config.input or int(side)
    return TeacherNetwork(
        name=config.name,
        digest=file_digest(path),
        run=module,
        classes=(),
        size=(size, size),
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
        module=module,
    )
