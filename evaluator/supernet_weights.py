"""One set of weights for every network of a space: which part of them a network uses.

The shared weights are those that `space.build` makes for the largest network. A sub-network is
lowered as any other; layer by layer it takes the *last* channels of the layer at the same place,
the centre of its kernel, and the first units of a stage. The last, because `shuffle` writes the
branch's last channel last: the branch's i-th channel from the end is the 2i-th from the end of
what the next unit reads, at every width and split. From the front, that place moves with the
width.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from evaluator.train_depthwise import quickened
from space.block import Block
from space.build import NetworkModule, build
from space.network import Network
from space.op import Op

UNIT = "shufflenet_v2"
KERNELS = (7, 5, 3)
Layer = tuple[str, str, Op]


def layers(network: Network, shared: Network) -> list[Layer]:
    """(prefix in `network`, prefix in `shared`, the network's op) of every layer with weights.

    Raises:
        ValueError: the network cannot be cut from `shared`; says which block of it.
    """
    found = []
    for number, place in _places(network, shared):
        ours, theirs = network.blocks[number], shared.blocks[place]
        same = [s.op.kind for s in ours.steps] == [s.op.kind for s in theirs.steps]
        for index, (a, b) in enumerate(zip(ours.ops, theirs.ops, strict=same)):
            if a.kind not in ("conv", "dwconv", "linear"):
                continue
            inside = a.c_in <= b.c_in and a.c_out <= b.c_out and a.kernel <= b.kernel
            if not (same and inside and a.groups == b.groups and a.stride == b.stride):
                raise ValueError(f"{network.name}: {ours} is no part of {theirs}")
            found.append((f"blocks.{number}.{index}", f"blocks.{place}.{index}", a))
    return found


def _places(network: Network, shared: Network) -> Iterator[tuple[int, int]]:
    """(block, block of the shared network): stem to stem, unit i of a stage to its unit i."""
    starts = [i for i, block in enumerate(shared.blocks) if _first(block)]
    last = len(shared.blocks) - 1
    stage, unit = -1, 0
    for number, block in enumerate(network.blocks):
        if block.kind != UNIT:
            yield number, 0 if number == 0 else last
            continue
        stage, unit = (stage + 1, 0) if _first(block) else (stage, unit + 1)
        if stage >= len(starts) or starts[stage] + unit >= [*starts, last][stage + 1]:
            raise ValueError(f"{network.name} has more units than the shared weights")
        yield number, starts[stage] + unit


def _first(block: Block) -> bool:
    return block.kind == UNIT and block["stride"] == 2


class SharedWeights(nn.Module):
    """The shared weights of all networks that can be cut from `network`, the largest.

    With `transform`, a smaller kernel is the centre of the larger times a matrix that is learned,
    one a layer and step of size (Once-for-All, elastic kernel
    size); without, the centre itself.
    """

    def __init__(self, network: Network, seed: int = 0, *, transform: bool = False) -> None:
        super().__init__()
        self.network = network
        self.net = build(network, seed)
        self.transforms = nn.ParameterDict()
        for number, block in enumerate(network.blocks) if transform else ():
            for index, op in enumerate(block.ops):
                for size in KERNELS if op.kind == "dwconv" else ():
                    if size < op.kernel:
                        name = f"{number}-{index}-{size}"
                        self.transforms[name] = nn.Parameter(torch.eye(size * size))
        self._parts = lru_cache(maxsize=256)(self._found)

    def _found(self, network: Network) -> tuple[nn.Module, list[Layer]]:
        with torch.device("meta"):  # structure alone: the weights come with each call
            module = quickened(NetworkModule(network))
        return module, layers(network, self.network)

    def weights(self, network: Network) -> dict[str, Tensor]:
        """A network's part of the shared weights, under its own names; gradients flow back.

        Its batch norms have the statistics of none: mean 0, variance 1, no batch seen.

        Raises:
            ValueError: the network cannot be cut from these weights.
        """
        module, found = self._parts(network)
        shared = dict(self.net.named_parameters())
        state = {}
        for ours, theirs, op in found:
            for leaf in ("conv.weight", "bn.weight", "bn.bias", "linear.weight", "linear.bias"):
                if f"{theirs}.{leaf}" in shared:
                    part = _last(shared[f"{theirs}.{leaf}"], op)
                    if op.kind == "dwconv" and part.ndim == 4:
                        part = self._kernel(part, theirs, int(op.kernel))
                    state[f"{ours}.{leaf}"] = part
        device = next(self.net.parameters()).device
        for name, buffer in module.named_buffers():
            fill = torch.ones if name.endswith("running_var") else torch.zeros
            state[name] = fill(buffer.shape, dtype=buffer.dtype, device=device)
        return state

    def _kernel(self, weight: Tensor, prefix: str, kernel: int) -> Tensor:
        """[c, 1, k, k] of the largest size to [c, 1, kernel, kernel], a size at a time."""
        place = prefix.removeprefix("blocks.").replace(".", "-")
        for size in KERNELS:
            if kernel <= size < weight.shape[-1]:
                margin = (weight.shape[-1] - size) // 2
                weight = weight[:, :, margin : margin + size, margin : margin + size]
                if f"{place}-{size}" in self.transforms:
                    matrix = self.transforms[f"{place}-{size}"]
                    weight = (weight.flatten(1) @ matrix).unflatten(1, (1, size, size))
        return weight

    def forward(self, x: Tensor, network: Network) -> Tensor:
        """Logits of a network, [n, classes], normalised by the batch's own statistics."""
        module, _ = self._parts(network)
        module.train()
        return functional_call(module, self.weights(network), (x,))  # type: ignore[no-any-return]

    def cut(self, network: Network) -> NetworkModule:
        """A network of its own: copies of its part, batch norms reset. What is done to it leaves
        the shared weights and every other network alone."""
        with torch.device("meta"):
            module = NetworkModule(network)
        state = {name: part.detach().clone() for name, part in self.weights(network).items()}
        module.load_state_dict(state, assign=True)
        return module


def _last(weight: Tensor, op: Op) -> Tensor:
    """The last channels of a weight: [c_out, c_in / groups, k, k], [c_out, c_in] or [c_out]."""
    part = weight[weight.shape[0] - int(op.c_out) :] if op.kind != "linear" else weight
    if part.ndim > 1 and op.kind != "dwconv":
        part = part[:, part.shape[1] - int(op.c_in) // int(op.groups) :]
    return part
