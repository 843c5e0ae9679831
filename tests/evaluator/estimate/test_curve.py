"""The curve of a recipe against parabolas and a slow least-squares fit."""

import numpy as np
import pytest

from evaluator.estimate.curve import REFERENCE_FLOPS, RecipeCurve, fit_curves

FLOPS = [0.3 * REFERENCE_FLOPS, REFERENCE_FLOPS, 2 * REFERENCE_FLOPS, 4 * REFERENCE_FLOPS]


def points(a, b, c, noise=(0.1, -0.1, 0.1, -0.1)):
    x = np.log(np.array(FLOPS) / REFERENCE_FLOPS)
    return FLOPS, (a + b * x + c * x**2 + np.array(noise)).tolist()


def test_one_recipe_is_plain_least_squares():
    flops, top1 = points(69, 5, -1)
    curve = fit_curves({"one": (flops, top1)})["one"]
    x = np.log(np.array(flops) / REFERENCE_FLOPS)
    expected = np.polyfit(x, top1, 2)[::-1]
    assert curve.coefficients == pytest.approx(expected)
    residuals = top1 - np.polyval(expected[::-1], x)
    assert curve.noise == pytest.approx(np.sqrt(residuals @ residuals)) and curve.df == 1
    log = np.log(flops)
    assert curve.top1(log) == pytest.approx(top1 - residuals)
    step = 1e-6
    slope = (curve.top1(log + step) - curve.top1(log - step)) / (2 * step)
    assert curve.slope(log) == pytest.approx(slope, rel=1e-6)


def test_the_variance_is_that_of_repeated_fits():
    rng = np.random.default_rng(0)
    curve = fit_curves({"one": points(69, 5, -1)})["one"]
    at = np.log([1.5 * REFERENCE_FLOPS, 6 * REFERENCE_FLOPS])
    x = np.log(np.array(FLOPS) / REFERENCE_FLOPS)
    clean = curve.top1(np.log(FLOPS))
    values = []
    for _ in range(4000):
        fit = np.polyfit(x, clean + rng.normal(0, curve.noise, 4), 2)
        values.append(np.polyval(fit, at - np.log(REFERENCE_FLOPS)))
    assert curve.variance(at) == pytest.approx(np.var(values, axis=0), rel=0.1)


def test_curvatures_are_drawn_towards_their_mean():
    noise = (0.3, -0.6, 0.5, -0.2)
    given = {name: points(69, 5, c, noise) for name, c in (("a", -0.9), ("b", -1), ("c", -1.1))}
    found = [curve.coefficients[2] for curve in fit_curves(given).values()]
    own = [fit_curves({name: each})[name].coefficients[2] for name, each in given.items()]
    assert np.ptp(found) < 0.5 * np.ptp(own)
    assert np.mean(found) == pytest.approx(np.mean(own), abs=0.01)
    assert [curve.df for curve in fit_curves(given).values()] == [3, 3, 3]


def test_beyond_its_rows_the_curve_is_a_tangent_and_never_falls():
    curve = fit_curves({"one": points(69, 5, -1.5)})["one"]
    x = np.linspace(np.log(1e5), np.log(1e12), 500)
    assert (np.diff(curve.top1(x)) > 0).all() and (curve.slope(x) > 0).all()
    assert curve.slope([np.log(1e12)]) == pytest.approx(curve.slope([np.log(1e13)]))
    low, high = np.log(curve.lowest), np.log(curve.highest)
    far = curve.variance([low - 3, low, high, high + 3])
    assert far[0] > far[1] and far[3] > far[2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"one": (FLOPS[:3], [60.0, 69.0, 72.0])}, "must have more than 3 rows"),
        ({"one": points(69, -5, -1)}, "must grow with FLOPs in recipe one"),
    ],
)
def test_what_is_no_curve_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        fit_curves(given)


def test_a_curve_is_its_coefficients_on_the_design():
    curve = RecipeCurve(np.array([69.0, 5.0, -1.0]), np.eye(3), 0.1, 5, 4e7, 6e8)
    assert curve.top1(np.log(REFERENCE_FLOPS)) == pytest.approx(69)
    assert curve.top1(np.log(2 * REFERENCE_FLOPS)) == pytest.approx(
        69 + 5 * np.log(2) - np.log(2) ** 2
    )
    assert curve.variance(np.log(REFERENCE_FLOPS)) == pytest.approx(0.01)
