"""The nodes of a model that a user names: a factory, a .pt2 file or an ONNX file."""

from __future__ import annotations

import difflib
import importlib
import inspect
from pathlib import Path
from typing import Any

from latency.audit.graph import Shape, Source, first_line, format_shape, quiet
from space.common.errors import AuditError

DEFAULT_INPUT = (3, 224, 224)
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")
KINDS = "package.module:factory, a .pt2 exported program or an .onnx file"


def read_model(model: str, input_shape: Shape | None = None) -> Source:
    """The nodes of a model.

    Raises:
        ValueError: what `model` or `input_shape` names cannot be used; the message says why.
        AuditError: the model exists but cannot be traced.
    """
    path = Path(model)
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise ValueError(
            f"{model}: a pickle runs code when it is loaded, so it never is; give {KINDS} (save "
            "one with torch.export.save)"
        )
    if suffix in (".pt2", ".onnx"):
        if not path.is_file():
            raise ValueError(f"{model}: no such file")
        if suffix == ".pt2":
            return _read_pt2(path, input_shape)
        from latency.audit.onnx_reader import read_file

        return read_file(path, input_shape)
    if ":" not in model:
        what = "unknown kind of file" if path.exists() else "no such file"
        raise ValueError(f"MODEL must be {KINDS}; got {model!r} ({what})")
    module = build_factory(model)
    from latency.audit.torch_reader import export, read_program

    return read_program(export(module, input_shape or DEFAULT_INPUT))


def _read_pt2(path: Path, input_shape: Shape | None) -> Source:
    from latency.audit.pt2 import load_program
    from latency.audit.torch_reader import read_program

    source = read_program(load_program(path))
    if input_shape and input_shape != source.input_shape:
        raise ValueError(
            f"{path} was exported for an input of {format_shape(source.input_shape)}; got --input "
            f"{format_shape(input_shape)}"
        )
    return source


def build_factory(model: str) -> Any:
    """The module that `package.module:factory` is, or returns when called without arguments."""
    import torch

    name, _, attribute = model.partition(":")
    found = _find(model, name, attribute)
    if not isinstance(found, torch.nn.Module):
        found = _call(model, found)
    if not isinstance(found, torch.nn.Module):
        raise ValueError(f"{model} must give a torch.nn.Module; it gives {type(found).__name__}")
    return found


def _find(model: str, name: str, attribute: str) -> Any:
    if not all(word.isidentifier() for word in (*name.split("."), *attribute.split("."))):
        raise ValueError(f"MODEL must be {KINDS}; got {model!r}")
    with quiet():
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or name
            if name == missing or name.startswith(f"{missing}."):
                raise ValueError(f"{model}: no module named {missing!r}") from None
            raise ValueError(f"{model}: {name} needs {missing!r}: install it") from None
        except Exception as error:
            raise AuditError(f"{name} cannot be imported: {first_line(error)}") from None
    for word in attribute.split("."):
        if not hasattr(found, word):
            near = difflib.get_close_matches(word, dir(found))
            raise ValueError(
                f"{model}: {getattr(found, '__name__', name)} has no {word!r}"
                + (f"; near: {', '.join(near)}" if near else "")
            )
        found = getattr(found, word)
    return found


def _call(model: str, factory: Any) -> Any:
    if not callable(factory):
        raise ValueError(f"{model} must be a class or function; it is {type(factory).__name__}")
    try:
        required = [
            p.name
            for p in inspect.signature(factory).parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
    except (TypeError, ValueError):
        required = []
    if required:
        raise ValueError(
            f"{model} needs arguments ({', '.join(required)}): write a function without any that "
            "calls it"
        )
    with quiet():
        try:
            return factory()
        except Exception as error:
            raise AuditError(f"{model} cannot be called: {first_line(error)}") from None
