"""The lowest value of a smooth function of a few bounded variables.

A projected quasi-Newton method (Bertsekas, "Projected Newton methods for optimization problems
with simple constraints", 1982) with the BFGS update. `scipy.optimize` has L-BFGS-B; its linear
algebra starts threads for each of our hundreds of tiny steps, and waits ten times as long for them
as the function takes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from search.optimizer.exact.graph import Floats

STEPS = 60
SHORTENINGS = 12
DECREASE = 1e-4  # Armijo's, of what the slope foretells
SMALL = 1e-7  # decrease of the value, relative, at which to stop
FIRST_MOVE = 0.3

ValueAndSlope = Callable[[Floats], tuple[float, Floats]]


def descend(
    function: ValueAndSlope, start: Floats, lowest: Floats, stop: Callable[[float], bool]
) -> Floats:
    """Where a function is low, from `start`.

    Args:
        function: the value and the gradient at variables [n].
        lowest: the least of each variable, [n].
        stop: takes the value after each step; whether that is enough.
    """
    at = np.maximum(start, lowest)
    value, slope = function(at)
    inverse: Floats | None = None
    for _ in range(STEPS):
        free = (at > lowest) | (slope < 0)
        move = _direction(inverse, slope, free)
        if move is None:
            return at
        found = _search(function, at, value, slope, move, lowest)
        if found is None:
            if inverse is None:
                return at
            inverse = None  # a bad estimate of the curvature: begin with steepest descent
            continue
        next_at, next_value, next_slope = found
        inverse = _updated(inverse, next_at - at, next_slope - slope)
        small = value - next_value <= SMALL * abs(value)
        at, value, slope = next_at, next_value, next_slope
        if small or stop(value):
            return at
    return at


def _direction(inverse: Floats | None, slope: Floats, free: np.ndarray) -> Floats | None:
    """Where to go, None where nothing is free to."""
    steep = np.where(free, -slope, 0.0)
    size = float(np.sqrt((steep * steep).sum()))
    if not size > 0 or not np.isfinite(size):
        return None
    if inverse is None:
        return steep * (FIRST_MOVE / size)
    move = np.where(free, (inverse * steep).sum(axis=1), 0.0)
    return move if float((move * slope).sum()) < 0 else steep * (FIRST_MOVE / size)


def _search(
    function: ValueAndSlope,
    at: Floats,
    value: float,
    slope: Floats,
    move: Floats,
    lowest: Floats,
) -> tuple[Floats, float, Floats] | None:
    """A lower point on the way, its value and gradient; None if there is none."""
    share = 1.0
    for _ in range(SHORTENINGS):
        to = np.maximum(at + share * move, lowest)
        foretold = float((slope * (to - at)).sum())
        reached, there = function(to)
        if foretold < 0 and reached <= value + DECREASE * foretold:
            return to, reached, there
        # The lowest point of the parabola through what is known, within bounds.
        bend = reached - value - foretold
        best = -foretold / (2 * bend) if np.isfinite(bend) and bend > 0 else 0.1
        share *= min(0.5, max(0.1, best))
    return None


def _updated(inverse: Floats | None, step: Floats, change: Floats) -> Floats | None:
    """The inverse of the curvature after a step, by BFGS."""
    along = float((step * change).sum())
    size = float((change * change).sum())
    if along <= 1e-12 * np.sqrt(size * float((step * step).sum())):
        return inverse
    if inverse is None:
        inverse = np.eye(len(step)) * (along / size)
    off = np.eye(len(step)) - np.outer(step, change) / along
    turned = np.einsum("ij,jk,lk->il", off, inverse, off)
    return np.asarray(turned + np.outer(step, step) / along)
