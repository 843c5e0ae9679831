"""Whether there is memory for a job, before an engine takes it all; and what engines say without
it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from latency.engines.base import Engine
from latency.engines.lowering import input_shape
from latency.ondevice import host
from latency.ondevice.checks import line
from space.common.errors import EngineError
from space.network.block import Block

VALUE_BYTES = {"int8": 1, "float16": 2}  # of other dtypes: 4
NO_MEMORY = ("alloc", "out of memory", "not enough memory", "cannot create thread")


def least_bytes(blocks: Sequence[Block], batch: int, dtype: str = "float32") -> int:
    """What no engine can do without: the input in float32, or the largest tensor."""
    _, channels, height, width = input_shape(blocks, batch)
    largest = 0
    for op in (op for block in blocks for op in block.ops):
        given, made = op.c_in * op.height * op.width, op.c_out * op.out_height * op.out_width
        largest = max(largest, int(given), int(made))
    return batch * max(4 * channels * height * width, VALUE_BYTES.get(dtype, 4) * largest)


def check_memory(
    chains: Collection[Sequence[Block]],
    batch: int,
    dtype: str = "float32",
    engine: Engine | None = None,
) -> None:
    """Refuse chains that cannot run on this machine, or on the accelerator of `engine`, which has
    memory of its own and a method `available_bytes`.

    Raises:
        MemoryError: one of them needs more memory than there is; the message says how much.
    """
    own = getattr(engine, "available_bytes", None)
    free = own() if own else host.available_bytes()
    needed = max((least_bytes(chain, batch, dtype) for chain in chains), default=0)
    of = f" on {getattr(engine, 'device_words', 'it')}" if own else ""
    if free is not None and needed > free:
        raise MemoryError(
            f"batch {batch} needs at least {_gib(needed)}, {_gib(free)} are free{of}: use a "
            "smaller batch or smaller images"
        )


@contextmanager
def engine_errors(engine: str) -> Iterator[None]:
    """What an engine's library raises in the block, as an error of ours in one line.

    Raises:
        MemoryError: the library had too little memory.
        EngineError: it failed in another way.
    """
    try:
        yield
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        if not (isinstance(error, RuntimeError | MemoryError) or library == "onnxruntime"):
            raise
        text = line(str(error), 300)
        if isinstance(error, MemoryError) or any(word in str(error).lower() for word in NO_MEMORY):
            raise MemoryError(f"{engine}: {text or 'use a smaller batch'}") from None
        raise EngineError(f"{engine} cannot run this here: {text}") from error


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
