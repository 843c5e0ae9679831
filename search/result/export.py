"""Winners as files: safetensors weights and ONNX, each checked against the torch module."""

from __future__ import annotations

import json
from pathlib import Path

from space.common.files import write_atomic
from space.network.network import Network


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
    import numpy as np
    import onnxruntime
    import torch
    from safetensors.torch import save

    from latency.engines.onnx.writer import build_model
    from space.graph.op import Op
    from space.network.torch_module import build_module, folded_weights

    module = build_module(network, seed)

    def weights(block: int, step: int, op: Op) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = folded_weights(module, block, step)
        return weight.numpy(), bias.numpy()

    model = build_model(network.blocks, batch="batch", weights=weights, name=network.name)
    metadata = {"architecture": network.name, "weights": f"initialised, seed {seed}"}
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    image = torch.randn(2, *network.input_shape, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        expected = module(image).numpy()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    text = model.SerializeToString()
    session = onnxruntime.InferenceSession(text, options, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"input": image.numpy()})
    difference = float(np.abs(got - expected).max() / np.abs(expected).max())
    if not difference < 1e-4:
        raise ValueError(
            f"ONNX and torch must agree within 1e-4 on {network.name}; got {difference:.1e}"
        )
    # One key: safetensors writes several in an order that changes from call to call.
    weights_file = save(module.state_dict(), {"g4nas": json.dumps(metadata)})
    write_atomic(stem.with_suffix(".safetensors"), weights_file)
    write_atomic(stem.with_suffix(".onnx"), text)
    return difference
