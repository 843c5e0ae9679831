"""Training-free scores of any torch module: from its structure and one batch, without a label.

A score ranks networks of one family; it is not an accuracy. `docs/score.md` says how well each
ranks trained networks, overall and at equal FLOPs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from evaluator.proxies import meco, naswot, size, synflow, zen, zico  # noqa: F401  (they register)
from evaluator.proxies.borrow import random_input
from evaluator.proxies.registry import PROXIES, Proxy

__all__ = ["PROXIES", "Proxy", "chosen", "random_input", "score", "score_each"]


def chosen(names: Sequence[str] | None = None) -> list[Proxy]:
    """The proxies of these names, or all of them.

    Raises:
        ValueError: a name is unknown; the message lists the known ones.
    """
    wanted = list(PROXIES) if names is None else list(names)
    unknown = [name for name in wanted if name not in PROXIES]
    if unknown or not wanted:
        raise ValueError(
            f"a proxy must be one of {', '.join(PROXIES)}; got {', '.join(unknown) or 'none'}."
        )
    return [PROXIES[name] for name in wanted]


def score(
    module: nn.Module, x: Tensor, *, names: Sequence[str] | None = None, seed: int = 0
) -> dict[str, float]:
    """Scores of `module` by name for `x`, float [batch, channels, height, width].

    `names`: which, by default all. `random_input` makes an `x` for those without data. The module
    comes back as it was: modes, weights, buffers, gradients and hooks.

    Raises:
        ValueError: an unknown name, or what the score itself refuses.
    """
    return {p.name: float(p.function(module, x, seed=seed)) for p in chosen(names)}


def score_each(
    modules: Iterable[nn.Module],
    x: Tensor,
    *,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Iterator[dict[str, float]]:
    """`score` of one module after another on the same input; `modules` may be made as they come.

    One module at a time is all that memory holds, and all that pays: networks that differ in
    width share no kernel, and equal ones grouped into one call ran slower on a CPU
    (docs/score.md).
    """
    for module in modules:
        yield score(module, x, names=names, seed=seed)
