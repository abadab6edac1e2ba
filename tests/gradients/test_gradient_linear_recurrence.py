"""Linear recurrences, of which every number is known: h_t = x_t Wx + h_{t-1} Wh with Wh = gain * orthogonal."""

import numpy as np
import pytest

from rnnexp.gradients import GradientStudy, lyapunov, norms_by_lag, singular_values, spectral_radius, step_jacobians
from rnnexp.tasks import Batch


def episodes(steps, count=3, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.zeros((steps, count), bool)
    mask[-1] = True
    return Batch(rng.integers(4, size=(steps, count)), rng.integers(3, size=(steps, count)), mask)


def test_an_orthogonal_recurrence_neither_shrinks_nor_grows_anything(linear_network):
    network, batch = linear_network(), episodes(30)
    norms = norms_by_lag(network, batch, "classes")
    assert norms.decay_rate == pytest.approx(0.0, abs=1e-13)
    assert norms.log10_ratio == pytest.approx(0.0, abs=1e-13)
    assert norms.horizon == 30
    assert norms.lag_range == (0, 30)
    np.testing.assert_allclose(lyapunov(network, batch, None), np.zeros(6), atol=1e-13)
    jacobians = step_jacobians(network, batch, sequence=2)
    assert jacobians.values.shape == (30, 6)
    np.testing.assert_allclose(jacobians.values, 1.0, rtol=1e-13)
    for summary in (jacobians.mean, jacobians.largest, jacobians.smallest):
        assert summary == pytest.approx(1.0, rel=1e-13)


def test_nine_tenths_of_an_orthogonal_recurrence(linear_network):
    network, batch = linear_network(0.9), episodes(100)
    norms = norms_by_lag(network, batch, "classes")
    assert norms.decay_rate == pytest.approx(np.log(0.9), rel=1e-12)
    assert norms.log10_ratio == pytest.approx(100 * np.log10(0.9), rel=1e-12)
    assert norms.half_life == pytest.approx(-np.log(2) / np.log(0.9), rel=1e-12)
    # 0.9 ** 65 = 1.062e-3 is above a thousandth, 0.9 ** 66 = 0.955e-3 is not.
    assert norms.horizon == 65
    # Geometric: (1 - 0.9 ** 10) / (1 - 0.9 ** 101) of the sum is in the first ten of the 101 lags.
    assert norms.seen_by_window(10) == pytest.approx((1 - 0.9**10) / (1 - 0.9**101), rel=1e-12)
    np.testing.assert_allclose(lyapunov(network, batch, None), np.full(6, np.log(0.9)), rtol=1e-12)
    np.testing.assert_allclose(step_jacobians(network, batch).values, 0.9, rtol=1e-12)


def test_a_sequence_shorter_than_the_horizon_is_its_own_horizon(linear_network):
    assert norms_by_lag(linear_network(0.9), episodes(20), "classes").horizon == 20


def test_a_growing_recurrence_has_no_half_life(linear_network):
    norms = norms_by_lag(linear_network(1.1), episodes(40), "classes")
    assert norms.decay_rate == pytest.approx(np.log(1.1), rel=1e-12)
    assert norms.half_life == np.inf
    assert norms.horizon == 40


@pytest.mark.parametrize("gain", [0.9, 1.0, 1.1])
def test_a_study_of_it_has_all_these_numbers(linear_network, gain):
    study = GradientStudy(jacobians=True, lag_split=True, lyapunov_exponents=6)
    found = study(linear_network(gain), episodes(30), "classes", length=30)
    metrics = found.metrics()
    assert metrics["recurrent/spectral_radius"] == pytest.approx(gain, rel=1e-12)
    assert metrics["recurrent/spectral_norm"] == pytest.approx(gain, rel=1e-12)
    assert metrics["recurrent/smallest_singular_value"] == pytest.approx(gain, rel=1e-12)
    assert metrics["recurrent/mean_slope"] == 1.0
    for name in ("mean", "largest", "smallest"):
        assert metrics[f"jacobian/{name}_singular_value"] == pytest.approx(gain, rel=1e-12)
    for name in ("gradient/decay_rate", "recurrent/pascanu_bound", *(f"lyapunov/{k}" for k in range(1, 7))):
        assert metrics[name] == pytest.approx(np.log(gain), abs=1e-12), name
    assert metrics["gradient/beta"] == pytest.approx(gain, rel=1e-12)
    assert metrics["gradient/alignment"] == 1.0
    assert metrics["gradient/alignment_error"] == 0.0


@pytest.mark.parametrize("gain", [0.9, 1.0, 1.1])
def test_the_bias_gradient_of_each_lag_changes_by_the_gain_a_step(linear_network, gain):
    # One sequence: b's share of lag l is the gradient in h_{T-l} itself, whose norm is that of the last times gain ^ l.
    found = GradientStudy(lag_split=True)(linear_network(gain), episodes(12, count=1), "classes")
    split = found.split.norms["recurrent.b"]
    assert split.shape == (12,)
    np.testing.assert_allclose(split, split[0] * gain ** np.arange(12), rtol=1e-12)
    np.testing.assert_allclose(split, found.norms.mean[:12], rtol=1e-12)


def test_a_long_vanishing_sequence_keeps_its_rate_as_far_as_float64_reaches(linear_network):
    # The norms go down to 1e-200, which float64 holds; only their squares are too small for it.
    norms = norms_by_lag(linear_network(0.1), episodes(200), "classes")
    assert norms.log10_ratio == pytest.approx(-200.0, rel=1e-10)
    assert norms.decay_rate == pytest.approx(np.log(0.1), rel=1e-10)
    assert norms.lag_range == (0, 200)


def test_a_long_exploding_sequence_keeps_its_rate_as_far_as_float64_reaches(linear_network):
    batch = episodes(200)
    network = linear_network(10.0)
    network.parameters.values["recurrent.Wx"][...] = 0.0  # the states stay zero; the gradient grows to 1e200
    norms = norms_by_lag(network, batch, "classes")
    assert norms.log10_ratio == pytest.approx(200.0, rel=1e-10)
    assert norms.decay_rate == pytest.approx(np.log(10.0), rel=1e-10)


def test_spectra_of_float32_weights(linear_network):
    weights = linear_network(0.9, dtype=np.float32).parameters.values["recurrent.Wh"]
    np.testing.assert_allclose(singular_values(weights), 0.9, rtol=1e-5)
    assert spectral_radius(weights) == pytest.approx(0.9, rel=1e-5)
