"""The contract of engines and their runners, for the tests of whoever adds one.

    class TestMyEngine(EngineContract):
        name = "my-engine"  # in latency.engines.registry.ENGINES

Run it with pytest, which collects the inherited tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from latency.engines.base import Engine, FileEngine
from latency.engines.lowering import input_shape
from latency.engines.registry import get_engine
from space.graph.op import Op
from space.network.block import Block

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
# A small block of every unit kind, odd sizes and widths among them.
EXAMPLES = (
    "conv@6x6 c_in=4 c_out=8 kernel=3 stride=2 groups=2",
    "conv@5x6 c_in=12 c_out=48 kernel=3 groups=3",
    "conv@7x9 c_in=5 c_out=6 kernel=5",
    "pointwise_fragments@5x4 c_in=4 c_out=6 fragments=3",
    "stem@9x11 c_out=6",
    "stem@8x8 c_out=4 pool=0 relu6=1",
    "head@4x3 c_in=6 c_out=8 classes=5",
    "classifier@4x4 c_in=6 classes=5",
    "shufflenet_v2@7x5 c_in=8 c_out=8 branch=4",
    "shufflenet_v2@6x6 c_in=12 c_out=12 branch=8 kernel=5",
    "shufflenet_v2@7x7 c_in=6 c_out=14 branch=6 stride=2 kernel=7",
    "shufflenet_v2@6x6 c_in=8 c_out=8 branch=4 residual=1 extra_relu=1",
    "shufflenet_v2@6x6 c_in=8 c_out=8 branch=4 groups=2 fragments=2",
    "shufflenet_v2@6x6 c_in=8 c_out=8 branch=4 fragments=2 serial=1 mid=8",
    "shufflenet_v1@6x6 c_in=12 c_out=12 groups=3",
    "shufflenet_v1@7x6 c_in=12 c_out=24 groups=3 stride=2",
    "separable@5x5 c_in=4 c_out=6 stride=2",
    "inverted_residual@5x5 c_in=4 c_out=4 residual=1",
    "inverted_residual@5x5 c_in=8 c_out=6 expansion=1",
    "shufflenet_v2_variant@16x16 c_in=16 c_out=16 branch=8 receptive=1 se=5",
    "shufflenet_v2_variant@9x7 c_in=16 c_out=16 branch=8 se_branch=5 residual=1",
    "shufflenet_v1_wide@9x7 c_in=8 c_out=24 mid=12",
    "resnet_stem@19x30 c_out=8",
    "deep_stem@19x30 mid=4 c_out=8",
    "bottleneck@9x7 c_in=8 c_out=16 mid=4 inner=8 groups=4 stride=2 shortcut_kernel=3 se=2",
    "bottleneck@16x16 c_in=16 c_out=16 mid=16",
    "dense_layer@9x7 c_in=8 growth=3",
    "dense_transition@9x7 c_in=8 c_out=4",
    "dense_classifier@9x7 c_in=8 classes=5",
    "inception@9x7 c_in=8 c1=2 reduce3=3 c3=4 reduce5=2 c5=3 pool=2",
    "repvgg@9x7 c_in=8 c_out=8",
    "repvgg_deployed@9x7 c_in=8 c_out=8 stride=2",
    "mobile_stem@9x11 c_out=8 act=2",
    "mobile_stem@9x11 c_out=6 act=3",
    "mbconv@9x7 c_in=8 c_out=8 mid=20 kernel=5 act=2 se=6 residual=1",
    "mbconv@9x7 c_in=8 c_out=12 mid=24 stride=2 act=3 se=2",
    "mb_separable@8x8 c_in=8 c_out=8 act=1",
    "mb_separable@9x7 c_in=8 c_out=6 stride=2 act=3 se=2",
    "uib@9x7 c_in=8 c_out=8 mid=16 start=5 kernel=3 residual=1",
    "uib@9x7 c_in=8 c_out=12 mid=16 start=3 stride=2",
    "lcnet@9x7 c_in=8 c_out=16 kernel=5 stride=2 se=2",
    "mobileone@9x7 c_in=8 c_out=12 stride=2",
    "mobile_head@5x4 c_in=6 c_out=16 hidden=24 act=2 classes=9",
    "mobile_head@5x4 c_in=6 c_out=8 hidden=8 hidden_norm=1 classes=5",
    "hidden_classifier@5x4 c_in=6 hidden=24 act=2 classes=9",
    "ghost@9x7 c_in=8 c_out=12 mid=20 kernel=5 stride=2 se=4",
    "repghost@9x7 c_in=8 c_out=8 mid=12 se=4",
    "resnet_basic@9x7 c_in=8 c_out=12 stride=2",
    "regnet@9x7 c_in=8 c_out=16 groups=2 stride=2 se=2",
    "squeezenet_stem@20x31 c_out=8",
    "fire@8x11 c_in=8 squeeze=4 c_out=16 pool=1",
    "squeezenet_head@5x4 c_in=8 classes=5",
)
# Largest error, as a share of the largest output: rounding of the factors of one product (unit
# roundoff: float32 2^-24, float16 and tf32 2^-11), summed over the products.
TOLERANCE = {"float32": 1e-4, "tf32": 2e-2, "float16": 2e-2, "int8": 0.5}
INT8_CORRELATION = 0.99  # the least of int8 outputs with torch's


class EngineContract:
    """What every engine does. A subclass sets `name`.

    `dtype`: one of the engine's. `computes`: False for an engine without outputs. `examples`:
    blocks whose outputs are compared with torch's, as text.
    """

    name: str
    dtype: str = "float32"
    computes: bool = True
    examples: ClassVar[tuple[str, ...]] = EXAMPLES

    def open_engine(self, threads: int = 1) -> Engine:
        """The engine; the test is skipped where its package or its device is missing."""
        import pytest

        try:
            return get_engine(self.name, threads=threads, dtype=self.dtype)
        except (ImportError, OSError) as error:
            pytest.skip(str(error))

    def test_identifies_itself(self) -> None:
        engine = self.open_engine(threads=2)
        assert engine.name == self.name
        assert isinstance(engine.version, str) and engine.version
        assert engine.threads == 2 and engine.dtype == self.dtype
        assert all(isinstance(version, str) for version in engine.versions.values())

    def test_runs_take_time_on_its_clock(self) -> None:
        engine = self.open_engine()
        run = engine.prepare([UNIT])
        before = engine.clock()
        engine.evict()
        run.run()
        assert engine.clock() > before

    def test_each_model_has_its_own_state(self) -> None:
        """Runs of one model do not change the outputs of another, and the input is fixed."""
        engine = self.open_engine()
        first: Any = engine.prepare([UNIT, UNIT], batch=3)
        second: Any = engine.prepare([UNIT, UNIT], batch=3)
        outputs = []
        for run in (first, second, first):
            run.run()
            outputs += [first.outputs()[0].copy()] if self.computes else []
        for one in outputs:
            assert one.shape == (3, 8, 6, 6)
            np.testing.assert_array_equal(one, outputs[0])
        if self.computes and isinstance(engine, FileEngine):
            np.testing.assert_array_equal(second.outputs()[0], outputs[0])

    def test_a_longer_chain_takes_longer(self) -> None:
        engine = self.open_engine()
        large = Block("shufflenet_v2", 28, 28, c_in=64, c_out=64, branch=32)
        least = []
        for run in [engine.prepare([large] * n) for n in (1, 8)]:
            samples = []
            for _ in range(5):
                start = engine.clock()
                run.run()
                samples.append(engine.clock() - start)
            least.append(min(samples))
        assert least[1] > 2 * least[0]

    def test_outputs_agree_with_torch(self) -> None:
        """Each example with two images, the second of two runs."""
        import pytest

        engine = self.open_engine()
        if not self.computes:
            pytest.skip(f"engine {self.name} computes no outputs")
        wrong = {}
        for block in map(Block.parse, self.examples):
            run, expected = run_and_expected(engine, [block])
            if words := difference(run_outputs(run), expected, self.dtype):
                wrong[str(block)] = words
        assert not wrong


def run_and_expected(engine: Engine, blocks: Sequence[Block], batch: int = 2) -> tuple[Any, Any]:
    """A runnable of a chain with random weights and batch norms, and torch's outputs for the same
    input, float32 [batch, *shape]."""
    import torch

    from latency.ondevice.runners.cpu import fixed_input
    from space.network.network import Network
    from space.network.torch_module import build_module

    module = randomise_norms(build_module(Network("chain", tuple(blocks))))
    with torch.inference_mode():
        images = torch.from_numpy(fixed_input(input_shape(blocks, batch)))
        expected = module(images).numpy()
    return engine.prepare(blocks, batch, partial(weights_of, module)), expected


def run_outputs(run: Any) -> Any:
    """The outputs of the second of two runs."""
    run.run()
    run.run()
    (got,) = run.outputs()
    return got


def difference(got: Any, expected: Any, dtype: str) -> str:
    """How outputs differ from torch's by more than `TOLERANCE` of a dtype; empty if they do
    not."""
    if got.shape != expected.shape:
        return f"have shape {got.shape}, torch's have {expected.shape}"
    if not np.isfinite(got).all():
        return "are not finite"
    error = float(np.abs(got - expected).max() / np.abs(expected).max())
    if not error < TOLERANCE[dtype]:
        return f"differ from torch's by {error:.2g} of the largest ({TOLERANCE[dtype]:g} at most)"
    correlation = float(np.corrcoef(got.ravel(), expected.ravel())[0, 1])
    if dtype == "int8" and not correlation > INT8_CORRELATION:
        return f"correlate with torch's by {correlation:.3f} (over {INT8_CORRELATION:g} needed)"
    return ""


def randomise_norms(module: Any, seed: int = 0) -> Any:
    """Give a torch module's batch norms random statistics and scales; return it in eval mode."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for name in ("running_mean", "running_var", "weight", "bias"):
                low, high = (0.5, 1.5) if name in ("running_var", "weight") else (-0.2, 0.2)
                getattr(part, name).data.uniform_(low, high, generator=generator)
    return module.eval()


def weights_of(module: Any, block: int, step: int, op: Op) -> tuple[Any, Any]:
    """Weight and bias of a torch module's op with its batch norm folded, as engines take them."""
    from space.network.torch_module import folded_weights

    weight, bias = folded_weights(module, block, step)
    return weight.numpy(), bias.numpy()
