"""Budgets as people type them: `146M`, `2.3Mparams`, `30ms`, `2.5MB`, `600KBpeak`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from space.common.text import shorten

FORMS = (
    "FLOPs such as 146M or 1.2G, parameters such as 2.3Mparams or 900Kparams, "
    "latency such as 30ms, 500us or 1.2s, weights such as 2.5MB, memory such as 600KBpeak"
)
_COUNTS = {"G": 1e9, "M": 1e6, "K": 1e3}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_UNITS = {
    **{unit: ("flops", scale) for unit, scale in _COUNTS.items()},
    **{f"{unit}params": ("params", scale) for unit, scale in {**_COUNTS, "": 1.0}.items()},
    **{unit: ("latency_s", scale) for unit, scale in _SECONDS.items()},
    **{f"{unit}B": ("weight_bytes", scale) for unit, scale in _COUNTS.items()},
    **{f"{unit}Bpeak": ("peak_bytes", scale) for unit, scale in _COUNTS.items()},
}
# No network is below the one or beyond the other; costs are divided by limits.
SMALLEST, LARGEST = {"latency_s": 1e-9}, 1e24  # 1 of the others
_PATTERN = re.compile(r"(\d{1,40}(?:\.\d{1,40})?|\.\d{1,40})([A-Za-z]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `limit` of a cost. Prints as the user typed it.

    Costs: "flops" (multiply-adds), "params", "latency_s" (seconds), "weight_bytes" (parameters in
    the dtype of the table), "peak_bytes" (activations that are alive at once in a run of the
    table's batch, in its dtype; `space.cost.memory` has the rule). 1 KB is 1,000 bytes.

    Example:
        >>> Budget.parse("2.3Mparams").cost, Budget.parse("30ms").limit
        ('params', 0.03)
    """

    cost: str
    limit: float
    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> Budget:
        """The budget typed as `text`. Units are case-sensitive: M is a million, ms a thousandth.

        Raises:
            ValueError: no number above 0 with a known unit, or one that no network can reach; the
                message lists the forms.
        """
        match = _PATTERN.fullmatch(text.strip())
        if match and match[2] in _UNITS:
            cost, scale = _UNITS[match[2]]
            limit = float(match[1]) * scale
            if SMALLEST.get(cost, 1.0) <= limit <= LARGEST:
                return cls(cost, limit, text.strip())
        raise ValueError(f"a budget must be {FORMS}; got {shorten(text)}")


def parse_budgets(texts: Sequence[str]) -> tuple[Budget, ...]:
    """Budgets as users type them, in the same order.

    Raises:
        ValueError: none at all, a malformed one, or two for one cost.

    Example:
        >>> [str(budget) for budget in parse_budgets(["146M", "30ms"])]
        ['146M', '30ms']
    """
    budgets = tuple(Budget.parse(text) for text in texts)
    if not budgets:
        raise ValueError(f"at least one budget is needed: {FORMS}")
    for first, second in itertools.combinations(budgets, 2):
        if first.cost == second.cost:
            raise ValueError(f"each cost takes one budget; got {first} and {second}")
    return budgets


def scaled(value: float, cost: str) -> str:
    """A cost for people: 144.9M, 2.28M, 28.3 ms, 9.12 MB."""
    if cost == "latency_s":
        for unit, scale in _SECONDS.items():
            if value >= scale:
                return f"{value / scale:.3g} {unit}"
        return f"{value * 1e6:.2g} us"
    if cost.endswith("_bytes"):
        for unit, scale in _COUNTS.items():
            if value >= scale:
                return f"{value / scale:.4g} {unit}B"
        return f"{value:.0f} B"
    for unit, scale in _COUNTS.items():
        if value >= scale:
            return f"{value / scale:.4g}{unit}"
    return f"{value:.4g}"
