"""PyTorch on the CPU through torch.compile: chains as C++ that inductor writes and compiles."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch._dynamo.exc import BackendCompilerFailed

from latency.engines.torch.eager import EagerModel, TorchEngine
from latency.engines.weights import Weights
from space.network.block import Block

# It warns where a CUDA build of torch finds no GPU, which the CPU does not need.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


class TorchCompileEngine(TorchEngine):
    """`prepare` compiles, which takes seconds a block: see docs/results/engines.md.

    Inductor stores what it compiled in `$TORCHINDUCTOR_CACHE_DIR`.
    """

    name = "torch-compile"

    def prepare(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> EagerModel:
        """The chain as one compiled module; OSError, with the compiler's first error, if that
        fails."""
        session = super().prepare(blocks, batch, weights)
        try:
            session.run()
        except BackendCompilerFailed as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            first = next((line for line in lines if "error:" in line), [*lines, "no output"][0])
            raise OSError(
                f"torch-compile must be able to compile C++ with OpenMP and Python's headers; "
                f"got: {first}"
            ) from error
        return session

    def transform(self, module: torch.nn.Module) -> Callable[[Tensor], Tensor]:
        # Frozen weights are constants: convolutions are packed for the chip once, and fused with
        # what follows. Loops contain the number of threads, so the compile cache's key has it.
        options = {"freezing": True, "cpp.threads": self.threads}
        return torch.compile(module, dynamic=False, fullgraph=True, options=options)


def open_engine(threads: int, dtype: str) -> TorchCompileEngine:
    """The engine; FileNotFoundError without a C++ compiler."""
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None:
        raise FileNotFoundError(
            f"engine 'torch-compile' needs a C++ compiler; there is no {compiler} on PATH: "
            f"install one (Debian: apt-get install g++) or name one in $CXX"
        )
    return TorchCompileEngine(threads, dtype)
