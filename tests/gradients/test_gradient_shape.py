"""Is a curve of norms by lag a line, and what does it do? Only a line may be called vanishing or exploding."""

import numpy as np
import pytest

from rnnexp.gradients import NormsByLag
from rnnexp.gradients.shape import fitted_line, line_fit, phases, verdict

T = np.arange(31.0)
NOISE = np.random.default_rng(0).standard_normal(31)

#: ln of the norms by lag, what they are called, and what they do.
CURVES = {
    "falls": (-0.2 * T, "vanishing", "falls"),
    "rises": (0.2 * T, "exploding", "rises"),
    "falls with noise": (-0.2 * T + 0.3 * NOISE, "vanishing", "falls"),
    "level": (0.0 * T, "kept", "stays level"),
    "level with noise": (0.1 * NOISE, "kept", "stays level"),
    "falls by less than 2": (-0.69 * T / 30, "kept", "stays level"),
    "falls by more than 2": (-0.71 * T / 30, "vanishing", "falls"),
    "U": (0.02 * (T - 12) ** 2, "not a line", "falls to lag 12, then rises"),
    "V": (0.5 * np.abs(T - 5), "not a line", "falls to lag 5, then rises"),
    "turned U": (-0.02 * (T - 12) ** 2, "not a line", "rises to lag 12, then falls"),
    "falls, then level": (-np.minimum(T, 5), "not a line", "falls to lag 5, then stays level"),
    "level, then falls": (-np.maximum(T - 25, 0), "not a line", "stays level to lag 25, then falls"),
    "plateau": (
        np.concatenate([-np.arange(5), np.full(20, -4), -4 + np.arange(1, 7)]),
        "not a line",
        "falls to lag 4, stays level to lag 24, then rises",
    ),
    "bends": (-2 * np.sqrt(T), "not a line", "falls, faster at first"),
    "bends the other way": (-((T / 10) ** 2), "not a line", "falls, faster at the end"),
    "one peak on a level": (
        3.0 * (T == 15),
        "not a line",
        "stays level to lag 14, rises to lag 15, falls to lag 16, then",
    ),
    "zigzag": (2.0 * (T % 2), "not a line", "turns 29 times"),
}


@pytest.mark.parametrize("logs, word, doing", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200])
def test_a_curve_is_called_what_it_is_whatever_its_size(logs, word, doing, size):
    norms = NormsByLag(size * np.exp(logs)[:, np.newaxis])
    assert norms.verdict == word
    assert norms.phases.startswith(doing)
    assert 0 <= norms.decay_fit <= 1
    assert (norms.decay_fit >= 0.95) >= (word in ("vanishing", "exploding"))
    assert np.isfinite(norms.decay_rate), "the number is there always"


def test_the_fit_is_the_formula_of_its_docstring():
    values = np.exp(np.random.default_rng(1).standard_normal(20))
    at, logs = np.arange(20), np.log(values)
    residuals = logs - np.polyval(np.polyfit(at, logs, 1), at)
    expected = 1 - (residuals**2).mean() / (logs.var() + (np.log(2) / 2) ** 2)
    assert line_fit(values) == pytest.approx(expected, rel=1e-12)
    found = NormsByLag(np.stack([values, values], axis=1))
    assert found.decay_fit == line_fit(found.mean)


def test_a_level_line_is_a_line_and_what_alternates_by_a_factor_of_2_is_half_one():
    assert line_fit(np.ones(10)) == 1.0
    assert line_fit(np.exp(-0.3 * T)) == pytest.approx(1.0, abs=1e-12)
    assert line_fit(np.tile([1.0, 2.0], 500)) == pytest.approx(0.5, abs=1e-5)


def test_the_fitted_line_is_the_one_that_is_drawn():
    values = np.exp(np.random.default_rng(2).standard_normal(12))
    slope, start = np.polyfit(np.arange(12), np.log(values), 1)
    assert fitted_line(values) == (pytest.approx(slope, rel=1e-10), pytest.approx(start, rel=1e-10))
    np.testing.assert_allclose(NormsByLag(values[:, None]).fitted, np.exp(start + slope * np.arange(12)), rtol=1e-10)


@pytest.mark.parametrize(
    ("values", "word", "doing"),
    [
        ([1, 0.5, 0.25, 0.0], "vanishing", "falls, and is zero or not finite at 1 of 4 lags"),
        ([1, 2, 4, np.inf], "exploding", "rises, and is zero or not finite at 1 of 4 lags"),
        ([1, 2, 4, 0.0], "not a line", "rises, faster at"),
        ([4, 2, 1, np.inf], "not a line", "falls, faster at"),
        ([1, 1, 0.0, 0.0], "not a line", "stays level, and is zero or not finite at 2 of 4 lags"),
        ([1, 0.0, 0.0], "undefined", "stays level, and"),
        ([0.0, 0.0], "undefined", "is zero or not finite at every lag"),
        ([np.inf, np.nan], "undefined", "is zero or not finite at every lag"),
        ([], "undefined", "is zero or not finite at every lag"),
        ([1, 0.4], "vanishing", "falls"),
        ([1, 0.6], "kept", "stays level"),
        ([1, 0.2, 1], "not a line", "falls to lag 1, then rises"),
    ],
)
def test_lags_without_a_logarithm_and_short_curves(values, word, doing):
    values = np.array(values, float)
    assert verdict(values) == word
    assert phases(values).startswith(doing)
    assert np.isnan(line_fit(values)) == (word == "undefined")
