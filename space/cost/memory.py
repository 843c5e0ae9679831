"""The activation memory of a run: the most elements that are alive at once.

The rule, for one image. Ops run one after another, in the order of the lowering; each is one fused
kernel (`space.graph.op`). A value is alive from the op that writes it to the last op that reads
it, and an op's inputs and output are alive while it runs. A view (slice, flatten) keeps what it
looks at alive, as a whole. An activation that is an op of its own (relu) and the scaling of a
squeeze-and-excitation (mul) write into their first input if nothing else reads that later. Weights
do not count, nor does what a library takes for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from space.graph.builder import Step
from space.graph.op import VIEWS, Count
from space.network.block import Block

IN_PLACE = ("relu", "mul")  # kinds that may write into their first input


def peak_elements(steps: Sequence[Step]) -> Count:
    """The most elements that are alive at once while a block runs, for one image; an array [n] for
    a batch of n blocks.

    Example:
        >>> from space import Block
        >>> block = Block("conv", 28, 28, c_in=24, c_out=48)
        >>> int(peak_elements(block.steps)), 28 * 28 * (24 + 48)
        (56448, 56448)
    """
    first = steps[0].op
    sizes: list[Any] = [first.c_in * first.height * first.width]
    source = [0]  # of each value, the value in whose memory it lies
    last = [0]  # of each value with memory of its own, the last step that reads it
    for number, step in enumerate(steps, 1):
        for value in step.inputs:
            last[source[value]] = number
        kept = source[step.inputs[0]]
        place = number
        if step.op.kind in VIEWS or (step.op.kind in IN_PLACE and _free(steps, source, number)):
            place = kept
            last[kept] = number
        source.append(place)
        sizes.append(step.op.out_elements if place == number else 0)
        last.append(number)
    last[source[-1]] = len(steps)  # the result is for the next block
    most: Any = sizes[0]
    for number in range(1, len(steps) + 1):
        alive = sum(
            size for value, size in enumerate(sizes[: number + 1]) if last[value] >= number
        )
        most = np.maximum(most, alive)
    return most


def _free(steps: Sequence[Step], source: Sequence[int], number: int) -> bool:
    """Whether nothing reads the memory of the first input of step `number` (from 1) after it, by
    another name than that step's output."""
    kept = source[steps[number - 1].inputs[0]]
    names = {value for value, place in enumerate(source) if place == kept}
    later = {value for step in steps[number:] for value in step.inputs}
    return not names & later


def network_peak(blocks: Iterable[Block]) -> int:
    """The most elements that are alive at once while a network runs, for one image: only one value
    passes from a block to the next.

    Example:
        >>> from space import published_network
        >>> network_peak(published_network("ShuffleNet v2 1.0x").network().blocks)
        451584
    """
    return max(int(peak_elements(block.steps)) for block in blocks)
