"""What a measurement takes in memory, before it starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from latency.devices.session import Session
from latency.ondevice.host import available_bytes
from space.network.block import Chain

FLOAT_BYTES = 4
COPIES = 3  # of weights: those we make, the model file, and the engine's


def needed_bytes(chains: Sequence[Chain], batch: int) -> int:
    """About what an engine needs for chains that are loaded together: their weights, their images,
    and twice the largest op's maps, the least that a planner of buffers reaches."""
    return sum(_chain_bytes(chain, batch) for chain in dict.fromkeys(chains))


def _chain_bytes(chain: Chain, batch: int) -> int:
    first = chain[0]
    images = first.c_in * first.height * first.width
    blocks = dict.fromkeys(chain)
    maps = max(op.in_elements + op.out_elements for block in blocks for op in block.ops)
    weights = COPIES * sum(block.params for block in chain)
    return FLOAT_BYTES * int(weights + batch * (images + 2 * maps))


def require_memory(session: Session, jobs: Iterable[Sequence[Chain]], batch: int) -> None:
    """Refuse a measurement that cannot fit into this machine; others are not known.

    Args:
        jobs: the chains of each job, which are loaded together.

    Raises:
        ValueError: the largest job needs more memory than there is.
    """
    free = available_bytes() if session.where == "this machine" else None
    # An accelerator has memory of its own, and the null engine computes nothing.
    if free is None or session.engine == "null" or "accelerator" in session.host_info:
        return
    needed = max((needed_bytes(chains, batch) for chains in jobs), default=0)
    if needed > free:
        raise ValueError(
            f"--batch {batch} needs about {needed / 1e9:.1f} GB of memory for these networks; got "
            f"{free / 1e9:.1f} GB free: use a smaller --batch or smaller images"
        )
