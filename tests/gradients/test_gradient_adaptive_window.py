"""Aicher, Foti & Fox 2019. For phi_k = c beta^k everything has a closed form, whatever tau:

err(K) = c beta^K / (1 - beta),  g_K - err(K) = c (1 - 2 beta^K) / (1 - beta),
relative bias = beta^K / (1 - 2 beta^K) where 2 beta^K < 1, else none; below delta from beta^K < delta / (1 + 2 delta).
"""

import math

import numpy as np
import pytest
from pairwise import pairwise

from rnnexp.gradients import adaptive_window


def geometric(beta, lags=60, c=0.7):
    return c * beta ** np.arange(lags)


def by_the_definition(phi, beta, tau, windows):
    """The docstring's formulas one number at a time."""

    def error(K):
        beyond = phi[tau] * beta ** max(K - tau, 0) / (1.0 - beta)
        return sum(phi[k] for k in range(K, tau)) + beyond

    def gradient(j):
        return sum(phi[k] for k in range(min(j, len(phi))))

    biases = []
    for K in range(1, windows + 1):
        sure = max(gradient(j) - error(j) for j in range(1, K + 1))
        biases.append(error(K) / sure if sure > 0 else math.nan)
    return biases


@pairwise(beta=[0.05, 0.4, 0.6, 0.9, 0.97], start=[None, 0, 3, 9], c=[1e-6, 1.0, 1e6])
def test_geometric_norms_have_the_closed_form(beta, start, c):
    lags = 60 if beta > 0.5 else 12  # values below exp(-50) would be left out
    norms = c * geometric(beta, lags)
    found = adaptive_window(norms, 0.1, start)
    assert found.beta == pytest.approx(beta, rel=1e-10)
    power = beta ** np.arange(1.0, lags + 1)
    expected = np.where(2 * power < 1, power / np.where(2 * power < 1, 1 - 2 * power, 1.0), np.nan)
    clear = np.abs(2 * power - 1) > 1e-9
    np.testing.assert_allclose(found.relative_bias[clear], expected[clear], rtol=1e-7, atol=1e-15)
    window = math.floor(math.log(0.1 / 1.2) / math.log(beta)) + 1
    assert found.window == (window if window <= lags else None)


@pytest.mark.parametrize("tolerance", [1e-4, 0.01, 0.1, 0.5, 3.0])
def test_the_window_is_the_first_under_the_tolerance(tolerance):
    found = adaptive_window(geometric(0.8), tolerance)
    window = math.floor(math.log(tolerance / (1 + 2 * tolerance)) / math.log(0.8)) + 1
    assert found.window == window
    assert type(found.window) is int
    assert found.relative_bias[window - 1] < tolerance
    assert not found.relative_bias[window - 2] < tolerance


def test_a_smaller_tolerance_never_has_a_smaller_window():
    rng = np.random.default_rng(0)
    norms = geometric(0.85) * np.exp(0.3 * rng.standard_normal(60))
    tolerances = np.geomspace(5.0, 1e-4, 40)
    windows = [adaptive_window(norms, tolerance).window for tolerance in tolerances]
    reached = [window for window in windows if window is not None]
    assert len(reached) > 20
    assert len(set(reached)) > 10
    assert (np.diff(reached) >= 0).all()
    assert windows[len(reached) :] == [None] * (len(windows) - len(reached))


@pytest.mark.parametrize("start", [None, 0, 1, 5, 39])
@pytest.mark.parametrize("seed", range(4))
def test_norms_of_any_shape_have_the_bias_of_the_definition(seed, start):
    rng = np.random.default_rng(seed)
    norms = geometric(0.8, 40) * np.exp(0.4 * rng.standard_normal(40))
    tau = 4 if start is None else start
    found = adaptive_window(norms, 0.1, start)
    if tau == 39:  # one lag has no slope
        assert np.isnan(found.beta)
        return
    beta = np.exp(np.polyfit(np.arange(tau, 40), np.log(norms[tau:]), 1)[0])
    assert found.beta == pytest.approx(beta, rel=1e-10)
    np.testing.assert_allclose(found.relative_bias, by_the_definition(norms, beta, tau, 40), rtol=1e-9)
    enough = [K for K, bias in enumerate(found.relative_bias, 1) if bias < 0.1]
    assert found.window == (enough[0] if enough else None)


def test_the_decay_is_measured_beyond_the_start_alone():
    # A rise over the first tenth of the lags, then 0.9 a step.
    norms = np.concatenate([[0.1, 0.4, 0.7], 0.9 ** np.arange(27)])
    assert adaptive_window(norms).beta == pytest.approx(0.9, rel=1e-12)
    assert adaptive_window(norms, start=0).beta == pytest.approx(np.exp(np.polyfit(range(30), np.log(norms), 1)[0]))
    assert adaptive_window(norms, start=3).beta == pytest.approx(0.9, rel=1e-12)


@pytest.mark.parametrize("beta", [1.0, 1.05, 3.0])
def test_without_decay_no_window_is_enough(beta):
    found = adaptive_window(geometric(beta))
    assert found.beta == pytest.approx(beta, rel=1e-10)
    assert found.window is None
    assert found.relative_bias.shape == (60,)
    if beta > 1:
        assert np.isnan(found.relative_bias).all()
    else:  # the measured beta may be a rounding error below 1: no window of this length is enough then, either
        assert not (found.relative_bias < 0.1).any()


def test_a_window_that_would_have_to_be_longer_than_the_sequence_is_none():
    assert adaptive_window(geometric(0.97, 60), 0.1).window is None
    assert adaptive_window(geometric(0.97, 90), 0.1).window == 82


@pytest.mark.parametrize(
    "norms",
    [[1.0], [0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.5], [1.0, 0.0, 0.5], [np.nan, 1.0], [np.inf, 1.0], [1.0, np.nan, 1.0]],
)
def test_with_fewer_than_two_norms_from_the_first_on_there_is_no_estimate(norms):
    found = adaptive_window(np.array(norms))
    assert np.isnan(found.beta)
    assert np.isnan(found.relative_bias).tolist() == [True] * len(norms)
    assert found.window is None


@pytest.mark.parametrize("end", [0.0, np.nan, np.inf, 1e-30])
def test_norms_from_the_first_unusable_one_on_are_left_out(end):
    norms = geometric(0.5, 12)
    norms[8] = end
    found, short = adaptive_window(norms), adaptive_window(norms[:8])
    assert found.beta == pytest.approx(0.5, rel=1e-12)
    assert found.window == short.window == 4
    np.testing.assert_allclose(found.relative_bias[:8], short.relative_bias, rtol=1e-12)
    # Longer windows are judged by the extrapolation: the error goes on shrinking by beta, the norm is no longer added.
    assert (np.diff(found.relative_bias[1:]) < 0).all()


def test_norms_below_exp_minus_fifty_are_left_out():
    norms = np.exp(-50.0) * np.array([16.0, 4.0, 2.0, 0.99, 7.0])
    found = adaptive_window(norms, start=0)
    assert found.beta == pytest.approx(math.exp(np.polyfit([0, 1, 2], np.log(norms[:3]), 1)[0]), rel=1e-10)


@pytest.mark.parametrize("start", [5, 99])
def test_a_start_beyond_the_lags_is_their_last(start):
    found = adaptive_window(geometric(0.5, 5), start=start)
    assert np.isnan(found.beta)
    assert found.window is None


def test_a_rise_beyond_float64_gives_no_warning():
    found = adaptive_window(np.array([1e-21, 1e300]))
    assert found.beta > 1
    assert found.window is None
