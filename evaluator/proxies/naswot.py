"""NASWOT: how differently a network's activations treat the items of a batch.

Paper: Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training", ICML
2021, Section 3. An item's code c is one bit per activation unit, 1 where its input is positive.
With N units in all and d the Hamming distance,

    K[i, j] = N - d(c_i, c_j),    score = log |det K|

- As in the authors' program the network is in train mode, so batch norm uses the batch's own
  statistics; dropout is off here, for it would be noise between items. The bits of every
  activation that runs are counted, whether it is a layer or a function; the program looks for
  layers named ReLU. For SiLU, GELU and the like the bit is the input's sign all the same.
- Activations at zero (`hardtanh`, leaky, parametric ...) are listed in `watch.ACTIVATIONS`.
- N - d = N - n_i - n_j + 2 c_i . c_j with n the ones of a code: one product of matrices where
  the program has two (ones that agree, zeros that agree). Counts are exact in float32 below
  2^24 units a product, and summed in float64.

`x` is the batch, as large as wanted; the score depends on its size, so compare equal sizes only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from evaluator.proxies.borrow import borrowed, check_input, raise_not_finite
from evaluator.proxies.registry import proxy
from evaluator.proxies.watch import ACTIVATIONS, Watch

EXACT = 2**23
"""Columns per product: sums of ones stay exact in float32."""


@proxy(
    "naswot", "NASWOT", "Neural Architecture Search without Training, Section 3", logarithm=False
)
def naswot(module: nn.Module, x: Tensor, *, seed: int = 0) -> float:
    """log |det K| of `module` over the items of `x`; nothing is drawn, so `seed` is not used.

    Raises:
        ValueError: fewer than two items, no activation ran, or two items have one code.
    """
    check_input(x)
    items = len(x)
    if items < 2:
        raise ValueError("NASWOT compares items: `x` must hold at least 2; got 1.")
    both = torch.zeros(items, items, dtype=torch.float64, device=x.device)
    units = 0

    def before(op: Any, arguments: Any) -> None:
        nonlocal units, both
        if op not in ACTIVATIONS:
            return
        given = arguments[0].detach()
        if given.ndim == 0 or given.shape[0] != items:
            return
        codes = (given > 0).flatten(1)
        units += codes.shape[1]
        for part in codes.split(EXACT, dim=1):
            bits = part.float()
            both += bits @ bits.T

    def run() -> Any:
        return module(x)

    with borrowed(module, batch_statistics=True), torch.no_grad():
        with Watch(before=before):
            output = run()
        if isinstance(output, Tensor) and not torch.isfinite(output).all():
            raise_not_finite(module, run)
    if not units:
        raise ValueError("NASWOT needs activations such as ReLU; none ran.")
    ones = both.diagonal()
    kernel = units - ones[:, None] - ones[None, :] + 2 * both
    score = float(torch.linalg.slogdet(kernel).logabsdet)
    if score == -float("inf"):
        raise ValueError(
            "two items of `x` switch every activation alike, so K is singular: "
            "give `x` other items or a larger network."
        )
    return score
