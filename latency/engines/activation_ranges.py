"""The ranges of a model's activations: int8 models take their scales from them.

ONNX Runtime runs the float32 model on seeded random images, the same kind that latencies are
measured with. The scales decide the outputs of an int8 model, not its latency.
"""

from __future__ import annotations

import numpy as np
import onnx

SEED = 1  # measured inputs have seed 0


def value_ranges(model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    """Smallest and largest element of the input and of every node's output, by name."""
    import onnxruntime

    names = [name for node in model.graph.node for name in node.output]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (entry,) = model.graph.input
    shape = [d.dim_value for d in entry.type.tensor_type.shape.dim]
    images = np.random.default_rng(SEED).random(shape, dtype=np.float32)
    arrays = [images, *session.run(names, {"input": images})]
    pairs = zip(["input", *names], arrays, strict=True)
    return {name: (float(array.min()), float(array.max())) for name, array in pairs}
