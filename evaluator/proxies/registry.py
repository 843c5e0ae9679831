"""Which training-free scores there are, and where each comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn


class Function(Protocol):
    """A score of `module` for `x`, float [batch, channels, height, width]. Higher is better.

    It leaves the module as it was, and gives the same bytes for the same seed.

    Raises:
        ValueError: the module or `x` does not suit the score, or a layer gives NaN or infinity.
    """

    def __call__(self, module: nn.Module, x: Tensor, *, seed: int = 0) -> float: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """A score: the name it is asked for by, the one it is printed with, and its source.

    `logarithm`: it grows by factors, so take its logarithm where scores are added up.
    """

    name: str
    title: str
    paper: str
    function: Function
    logarithm: bool


PROXIES: dict[str, Proxy] = {}


def proxy(name: str, title: str, paper: str, *, logarithm: bool) -> Callable[[Function], Function]:
    """Register the decorated function.

    Raises:
        ValueError: the name is taken.
    """

    def register(function: Function) -> Function:
        if name in PROXIES:
            raise ValueError(f"a proxy's name must be new; got {name!r} twice.")
        PROXIES[name] = Proxy(
            name=name, title=title, paper=paper, function=function, logarithm=logarithm
        )
        return function

    return register
