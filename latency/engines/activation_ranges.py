"""What values a model's activations take: the scales that int8 models need.

ONNX Runtime runs the float32 model on seeded random images, the same kind that latencies are
measured with. The scales decide what an int8 model answers, not how long it takes.
"""

from __future__ import annotations

import numpy as np
import onnx

from latency.engines.lowering import Array, Weights
from space.graph.op import Op

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


def remembered(weights: Weights) -> Weights:
    """The same weights each time an op is asked for."""
    known: dict[tuple[int, int], tuple[Array, Array]] = {}

    def recall(block: int, step: int, op: Op) -> tuple[Array, Array]:
        if (block, step) not in known:
            known[block, step] = weights(block, step, op)
        return known[block, step]

    return recall
