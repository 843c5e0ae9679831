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
LONGEST = 10.0  # move, over the largest variable and 1
FARTHEST = 1e6  # of a variable: what falls that far has no lowest value

ValueAndSlope = Callable[[Floats], tuple[float, Floats]]


def descend(
    function: ValueAndSlope, start: Floats, lowest: Floats, stop: Callable[[float], bool]
) -> Floats:
    """Where a function is low, from `start`.

    Args:
        function: the value and the gradient at variables [n].
        lowest: the least of each variable, [n].
        stop: takes the value after each step; whether that is enough.

    Returns:
        The variables, [n]; far out where the function falls without end.
    """
    at = np.maximum(start, lowest)
    value, slope = function(at)
    inverse: Floats | None = None
    reach = FIRST_MOVE
    for _ in range(STEPS):
        free = (at > lowest) | (slope < 0)
        move = _direction(inverse, slope, free, reach)
        if move is None or np.abs(at).max() > FARTHEST:
            return at
        longest = LONGEST * (1 + float(np.abs(at).max()))
        move = move * min(1.0, longest / float(np.abs(move).max()))
        found = _search(function, at, value, slope, move, lowest)
        if found is None:
            if inverse is None:
                return at
            inverse = None  # a bad estimate of the curvature: begin with steepest descent
            continue
        next_at, next_value, next_slope = found
        inverse = _updated(inverse, next_at - at, next_slope - slope)
        if inverse is None:
            reach *= 2  # nothing bends yet
        small = value - next_value <= SMALL * abs(value)
        at, value, slope = next_at, next_value, next_slope
        if small or stop(value):
            return at
    return at


def _direction(
    inverse: Floats | None, slope: Floats, free: np.ndarray, reach: float
) -> Floats | None:
    """Where to go, None where nothing is free to."""
    steep = np.where(free, -slope, 0.0)
    size = float(np.sqrt((steep * steep).sum()))
    if not size > 0 or not np.isfinite(size):
        return None
    if inverse is None:
        return steep * (reach / size)
    move = np.where(free, (inverse * steep).sum(axis=1), 0.0)
    return move if float((move * slope).sum()) < 0 else steep * (reach / size)


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
