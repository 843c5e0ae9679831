"""Networks as files: safetensors weights and ONNX, each checked against the torch module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.training.source import TrainedWeights, read_trained
from space.common.files import write_atomic
from space.network.network import Network

if TYPE_CHECKING:
    import numpy as np

    from space.network.torch_module import NetworkModule

MOST_BYTES = 2_100_000_000  # of weights: an ONNX file is one protobuf message of 2 GiB at most
MOST_PIXELS = 4096 * 4096  # of the images that a file is checked on


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Files of a network.

    Args:
        weights: what they are, for JSON: `trained`, `seed`, `input` [channels, height, width],
            `classes`, and the `flops` of the network that has them; of trained ones also what
            the training says of itself.
        difference: the largest absolute difference of the outputs of ONNX and torch, relative to
            the largest output.
    """

    paths: tuple[Path, ...]
    weights: Mapping[str, Any]
    difference: float


def export_network(network: Network, stem: Path, seed: int) -> float:
    """Write `stem`.safetensors (initialised weights) and `stem`.onnx (batch size free).

    The ONNX graph is the one that latency tables are measured with, batch norm folded. It is run
    with ONNX Runtime on two seeded images and compared with the torch module.

    Returns:
        The largest absolute difference of the outputs, relative to the largest output.

    Raises:
        ValueError: they differ by more than 1e-4; nothing is written then.
        OSError: a file cannot be written.

    Example:
        >>> import tempfile
        >>> from space import published_network
        >>> network = published_network("ShuffleNet v2 0.5x").network()
        >>> export_network(network, Path(tempfile.mkdtemp()) / "net", seed=0) < 1e-4
        True
    """
    return export_initialised(network, stem, seed).difference


def export_initialised(network: Network, stem: Path, seed: int) -> Exported:
    """Write the files of `export_network`.

    Raises:
        ValueError, OSError: as `export_network`.
    """
    from space.network.torch_module import build_module

    module = build_module(network, seed)
    _, graph, difference = checked_onnx(module, {**_initialised(network, seed)}, seed)
    shape = {"input": list(network.input_shape), "classes": network.blocks[-1].out_shape[0]}
    metadata = {**_initialised(network, seed), "network": shape}
    paths = (_file(stem, ".safetensors"), _file(stem, ".onnx"))
    write_atomic(paths[0], _safetensors(module, metadata))
    write_atomic(paths[1], graph)
    weights = {"trained": False, "seed": seed, **shape, "flops": network.flops}
    return Exported(paths=paths, weights=weights, difference=difference)


def export_trained(path: Path, stem: Path, *, keep_weights: bool) -> Exported:
    """Write `stem`.onnx with the weights that a training wrote, and what it says of them.

    Args:
        keep_weights: write `stem`.safetensors too.

    Raises:
        ValueError: these are not weights of a training, or ONNX and torch do not agree; nothing
            is written then.
        OSError: a file cannot be read or written.
    """
    trained = read_trained(path)
    weights = trained_record_of(trained)
    about = f"trained, {_training(weights)}"
    shown = {name: trained.metadata[name] for name in ("input", "classes", "mean", "std")}
    metadata = {"architecture": trained.architecture, "weights": about, **shown}
    try:
        module, graph, difference = checked_onnx(trained.module(), metadata, 0)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    paths = [_file(stem, ".onnx")]
    if keep_weights:
        paths.insert(0, _file(stem, ".safetensors"))
        write_atomic(paths[0], _safetensors(module, {**trained.metadata, "weights": about}))
    write_atomic(paths[-1], graph)
    return Exported(paths=tuple(paths), weights=weights, difference=difference)


def trained_record_of(trained: TrainedWeights) -> dict[str, Any]:
    """The `weights` of an `Exported` network that was trained."""
    metadata = trained.metadata
    recipe = metadata["recipe"]
    values = {name: metadata.get(name) for name in ("seed", "data", "epoch", "test_accuracy")}
    return {
        "trained": True,
        "input": list(trained.input_shape),
        "classes": len(trained.classes),
        "flops": trained.network.flops,
        "recipe": recipe.get("name"),
        **values,
    }


def describe_weights(weights: Mapping[str, Any]) -> str:
    """The `weights` of an `Exported` network on one line."""
    channels, height, width = weights["input"]
    shape = f"{channels}x{height}x{width}, {weights['classes']} classes"
    if not weights["trained"]:
        return f"initialised weights, seed {weights['seed']}: {shape}"
    return f"trained weights: {shape}; {_training(weights)}"


def _training(weights: Mapping[str, Any]) -> str:
    words = [f"seed {weights['seed']}"]
    if weights["recipe"]:
        words.append(f"recipe {weights['recipe']}")
    if weights["epoch"] is not None:
        words.append(f"epoch {weights['epoch']}")
    if weights["data"]:
        words.append(f"data {weights['data']}")
    if isinstance(accuracy := weights["test_accuracy"], int | float):
        words.append(f"accuracy {accuracy:.2f} % on the test images")
    return ", ".join(words)


def checked_onnx(
    module: NetworkModule, metadata: Mapping[str, Any], seed: int
) -> tuple[NetworkModule, bytes, float]:
    """(module, ONNX file, largest relative difference of its outputs) of a network.

    Args:
        metadata: of the ONNX file; what is no text is stored as JSON.
        seed: of the images that both are run on.

    Raises:
        ValueError: the outputs differ by more than 1e-4 or are not finite, or the network is too
            large for an ONNX file or for the check.
    """
    import numpy as np
    import onnxruntime
    import torch

    from latency.engines.onnx.writer import build_model
    from space.graph.op import Op
    from space.network.torch_module import folded_weights

    network = module.network
    _, height, width = network.input_shape
    if 4 * network.params > MOST_BYTES or height * width > MOST_PIXELS:
        raise ValueError(
            f"a network must have at most {MOST_BYTES} bytes of weights and {MOST_PIXELS} pixels "
            f"of input to be exported; got {4 * network.params} and {height * width}"
        )

    def weights(block: int, step: int, op: Op) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = folded_weights(module, block, step)
        return weight.numpy(), bias.numpy()

    model = build_model(network.blocks, batch="batch", weights=weights, name=network.name)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        text = value if isinstance(value, str) else json.dumps(value)
        entry.key, entry.value = key, text.encode("utf-8", "backslashreplace").decode()
    image = torch.randn(2, *network.input_shape, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        expected = module(image).numpy()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    graph = model.SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"input": image.numpy()})
    largest = float(np.abs(expected).max())
    if not np.isfinite(expected).all():
        raise ValueError(f"the outputs of {network.name} must be finite; they are not")
    difference = float(np.abs(got - expected).max()) / (largest or 1.0)
    if not difference < 1e-4:
        raise ValueError(
            f"ONNX and torch must agree within 1e-4 on {network.name}; got {difference:.1e}"
        )
    return module, graph, difference


def _initialised(network: Network, seed: int) -> dict[str, str]:
    return {"architecture": network.name, "weights": f"initialised, seed {seed}"}


def _safetensors(module: NetworkModule, metadata: Mapping[str, Any]) -> bytes:
    from safetensors.torch import save

    # One key: safetensors writes several in an order that changes from call to call.
    return save(module.state_dict(), {"g4nas": json.dumps(metadata)})


def _file(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)
