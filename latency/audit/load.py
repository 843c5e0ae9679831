"""The nodes of a model that a user names: a factory, a .pt2 file or an ONNX file."""

from __future__ import annotations

from pathlib import Path

from latency.audit.factory import build_factory
from latency.audit.graph import Shape, Source, format_shape
from space.common.files import check_regular
from space.common.text import shorten

LONGEST = 1000  # characters of a path or name
DEFAULT_INPUT = (3, 224, 224)
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")
KINDS = "package.module:factory, a .pt2 exported program or an .onnx file"


def read_model(model: str, input_shape: Shape | None = None) -> Source:
    """The nodes of a model.

    Raises:
        ValueError: what `model` or `input_shape` names cannot be used; the message says why.
        AuditError: the model exists but cannot be traced.
    """
    if len(model) > LONGEST:
        raise ValueError(f"MODEL must be {KINDS}; got {shorten(model)}")
    path = Path(model)
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise ValueError(
            f"{model}: a pickle runs code when it is loaded, so it never is; give {KINDS} (save "
            "one with torch.export.save)"
        )
    if suffix in (".pt2", ".onnx"):
        if not path.exists():
            raise ValueError(f"{model}: no such file")
        check_regular(path)
        if suffix == ".pt2":
            return _read_pt2(path, input_shape)
        from latency.audit.onnx_reader import read_file

        return read_file(path, input_shape)
    if ":" not in model:
        what = "unknown kind of file" if path.exists() else "no such file"
        raise ValueError(f"MODEL must be {KINDS}; got {shorten(model)} ({what})")
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
