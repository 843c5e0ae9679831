"""Pooled effects against simulated sources of known effects, and slow loops."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import t

from evaluator.estimate.fit import (
    EFFECTS,
    deviation_of,
    equal_flops,
    fit_effects,
    foretell,
    own_effects,
    unit_of,
)
from evaluator.estimate.sources import AxisSource, kernel_gain

LEVELS = np.array([-2.0, -2.0, -1.0, -1.0, 0.0, 0.0])
GROUPS = len(LEVELS)


def source(rng, *, growth=0.5, depth=0.4, kernel=0.25, unit=2.0, scatter=0.0, noise=0.1, n=400,
           name="simulated", constant=()):  # fmt: skip
    """A source of known effects: one coefficient for each group, with a scatter of its own."""
    weights = np.exp(growth * LEVELS)
    axes = {
        "width": rng.normal(0, 0.4, (n, GROUPS)),
        "depth": rng.integers(1, 5, (n, GROUPS)).astype(float),
        "kernel": kernel_gain(rng.choice([3.0, 5.0, 7.0], (n, GROUPS))),
    }
    axes = {axis: values for axis, values in axes.items() if axis not in constant}
    share = {"width": 1.0, "depth": depth, "kernel": kernel}
    total = np.zeros(n)
    for axis, values in axes.items():
        coefficients = share[axis] * weights * (1 + scatter * rng.normal(size=GROUPS))
        total += values @ coefficients
    units = axes.get("depth", np.full((n, GROUPS), 2.0))
    flops = 1e7 * (np.exp(2 * axes["width"]) * units * np.array([3, 2, 3, 2, 2, 1])).sum(1)
    accuracy = 60 + unit * total + rng.normal(0, noise, n)
    return AxisSource(
        name=name,
        group=name,
        levels=LEVELS,
        axes=axes,
        nuisance=np.zeros((n, 0)),
        flops=flops,
        accuracy=accuracy,
    )


def test_known_effects_are_found_within_their_errors():
    rng = np.random.default_rng(0)
    given = source(rng, noise=0.3)
    found = own_effects(equal_flops(given))
    for name, true in (("growth", 0.5), ("depth", 0.4), ("kernel", 0.25)):
        mean, variance = found[name]
        assert abs(mean - true) < 4 * np.sqrt(variance) and variance < 0.01
    assert unit_of(given, np.exp(0.5 * LEVELS)) == pytest.approx(2.0, rel=0.05)


def test_the_standard_errors_are_those_of_repeated_samples():
    found = [own_effects(equal_flops(source(np.random.default_rng(s), noise=1.0)))
             for s in range(80)]  # fmt: skip
    for name in ("growth", "depth", "kernel"):
        means = [each[name][0] for each in found]
        claimed = np.mean([each[name][1] for each in found])
        assert np.var(means) == pytest.approx(claimed, rel=0.5)


def test_equal_flops_takes_off_the_curve_and_the_nuisance():
    rng = np.random.default_rng(1)
    plain = source(rng, noise=0.0)
    log = np.log(plain.flops)
    nuisance = rng.integers(0, 2, (400, 1)).astype(float)
    bent = dataclasses.replace(
        plain,
        nuisance=nuisance,
        accuracy=plain.accuracy + 3 * log - 0.05 * log**2 + 7 * nuisance[:, 0],
    )
    same = dataclasses.replace(plain, nuisance=nuisance)
    assert equal_flops(bent).accuracy == pytest.approx(equal_flops(same).accuracy, abs=1e-7)
    assert own_effects(equal_flops(bent))["depth"][0] == pytest.approx(0.4, abs=1e-3)


def test_foretold_variances_equal_slow_loops():
    rng = np.random.default_rng(2)
    sources = [source(rng, growth=g, depth=d, name=f"s{g}") for g, d in ((0.3, 0.3), (0.6, 0.6))]
    equals = [equal_flops(each) for each in sources]
    effects = fit_effects(equals)
    found = foretell(equals[0], effects)
    weights = np.exp(effects.growth.mean * LEVELS)
    mean_level = (weights * LEVELS).sum() / weights.sum()
    scale = effects.scale.mean
    for row in range(0, 400, 67):
        size = {axis: values[row] for axis, values in equals[0].axes.items()}
        by = {"width": 1.0, "depth": effects.depth.mean, "kernel": effects.kernel.mean}
        parts = {(a, j): by[a] * weights[j] * size[a][j] for a in by for j in range(GROUPS)}
        deviation = sum(parts.values())
        turn = sum(part * (LEVELS[j] - mean_level) for (_, j), part in parts.items())
        common = effects.scale.next_variance * deviation**2
        common += scale**2 * effects.growth.next_variance * turn**2
        for axis in ("depth", "kernel"):
            effect = getattr(effects, axis)
            common += scale**2 * effect.next_variance * sum(weights * size[axis]) ** 2
        assert found.deviation[row] == pytest.approx(deviation)
        assert found.common[row] == pytest.approx(common)
        assert found.scattered[row] == pytest.approx(
            scale**2 * sum(part**2 for part in parts.values())
        )
    assert found.variance(0.3) == pytest.approx(found.common + 0.09 * found.scattered)
    assert deviation_of(equals[0], effects) == pytest.approx(found.deviation)


def test_an_axis_that_a_source_does_not_vary_is_pooled_over_the_others():
    rng = np.random.default_rng(3)
    both, width = source(rng, name="both"), source(rng, name="width", constant=("depth", "kernel"))
    effects = fit_effects([equal_flops(both), equal_flops(width)], lambda growth: (0.8, 0.01))
    assert list(effects.studies["growth"]) == ["both", "width"]
    assert list(effects.studies["kernel"]) == ["both"]
    assert list(effects.studies["depth"]) == ["both", "mobilenetv2"]
    assert (effects.kernel.studies, effects.depth.studies, effects.growth.studies) == (1, 2, 2)
    with pytest.raises(ValueError, match="at least one source must vary what tells depth"):
        fit_effects([equal_flops(width)])


def test_few_networks_or_one_size_are_refused():
    few = source(np.random.default_rng(0), n=20)
    with pytest.raises(ValueError, match="simulated must have networks of different FLOPs"):
        equal_flops(few)
    given = source(np.random.default_rng(0))
    with pytest.raises(ValueError, match="simulated must have networks of different FLOPs"):
        equal_flops(dataclasses.replace(given, flops=np.full(400, 1e8)))


@pytest.mark.slow
def test_intervals_cover_simulated_sources_that_were_left_out():
    """Sources whose effects differ as `between` says, and whose coefficients scatter: on average
    the share of networks inside an interval is the level."""
    rng = np.random.default_rng(4)
    inside = {0.8: [], 0.9: []}
    for _ in range(60):
        equals = [
            equal_flops(
                source(
                    rng,
                    growth=rng.normal(0.5, 0.25),
                    depth=rng.normal(0.4, 0.15),
                    kernel=rng.normal(0.25, 0.1),
                    scatter=0.35,
                    name=f"source {index}",
                )
            )
            for index in range(6)
        ]
        effects = fit_effects(equals[:-1])
        found = foretell(equals[-1], effects)
        sd = np.sqrt(found.variance(effects.scatter))
        for level, shares in inside.items():
            factor = t.ppf(0.5 + level / 2, effects.df)
            shares.append(float((np.abs(found.error) < factor * sd).mean()))
    for level, shares in inside.items():
        assert np.mean(shares) == pytest.approx(level, abs=0.07)


def test_effects_are_those_that_are_listed():
    effects = fit_effects([equal_flops(source(np.random.default_rng(5)))])
    assert set(effects.studies) == set(EFFECTS)
    assert effects.weights(LEVELS)[-1] == 1.0
    assert effects.turns(LEVELS) @ effects.weights(LEVELS) == pytest.approx(0.0)
