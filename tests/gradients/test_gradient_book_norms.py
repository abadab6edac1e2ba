"""The two lists of norms of 'Deep Learning from Scratch 2', chapter 6: dh = dh @ Wh.T, twenty times."""

import numpy as np
import pytest

from rnnexp.gradients import NormsByLag, singular_values, spectral_radius
from rnnexp.layers import TimeRNN

EXPLODING = [
    *(2.4684068094579303, 3.3357049741610365, 4.783279375373182, 6.279587332087612, 8.080776465019053),
    *(10.251163032292936, 12.936063506609896, 16.276861327786712, 20.45482961834598, 25.688972842084684),
    *(32.25315718048336, 40.48895641683869, 50.8244073070191, 63.79612654485427, 80.07737014308985),
    *(100.5129892205125, 126.16331847536827, 158.35920648258823, 198.7710796761195, 249.495615421267),
]
# The book's figure for Wh * 0.5; its k-th number is the k-th above times 0.5 ** k.
VANISHING_FIRST = [1.2342, 0.833926, 0.59791]
VANISHING_LAST = [0.000379126, 0.000237938]
WEIGHTS = np.random.RandomState(3).randn(3, 3)
STEPS = 20


def norms_on_the_way_back(weights):
    """||dh|| of the whole (2, 3) matrix divided by 2, for h_20 (the seed) and then h_19 ... h_0."""
    layer = TimeRNN(np.zeros((1, 3)), weights, np.zeros(3), activation="identity")
    layer.forward(np.zeros((STEPS, 2, 1)))
    dhs = np.zeros((STEPS, 2, 3))
    dhs[-1] = np.ones((2, 3))
    layer.backward(dhs, norms=True)
    assert layer.dh_norms.shape == (STEPS + 1, 2)
    return np.sqrt(np.sum(layer.dh_norms**2, axis=-1))[::-1] / 2


def test_the_books_exploding_norms():
    found = norms_on_the_way_back(WEIGHTS)
    assert found[0] == pytest.approx(np.sqrt(6) / 2, rel=1e-14)
    np.testing.assert_allclose(found[1:], EXPLODING, rtol=1e-12)
    np.testing.assert_allclose(found[[1, 2, 3, 19, 20]], [2.46841, 3.3357, 4.78328, 198.771, 249.496], rtol=1e-5)


def test_the_books_vanishing_norms():
    found = norms_on_the_way_back(0.5 * WEIGHTS)
    np.testing.assert_allclose(found[1:4], VANISHING_FIRST, rtol=1e-5)
    np.testing.assert_allclose(found[-2:], VANISHING_LAST, rtol=1e-5)
    np.testing.assert_allclose(found[1:], EXPLODING * 0.5 ** np.arange(1, STEPS + 1), rtol=1e-12)


def test_the_weights_that_the_layer_multiplies_by_are_not_transposed_twice():
    # The book multiplies by Wh.T on the way back; without the transpose the numbers are others.
    other = norms_on_the_way_back(WEIGHTS.T)
    assert abs(other[1] - EXPLODING[0]) > 0.01


@pytest.mark.parametrize(("factor", "radius"), [(1.0, 1.25519), (0.5, 0.627595)])
def test_the_spectrum_that_explains_them(factor, radius):
    assert spectral_radius(factor * WEIGHTS) == pytest.approx(radius, rel=1e-5)
    expected = factor * np.array([2.65943, 0.61007, 0.17776])
    np.testing.assert_allclose(singular_values(factor * WEIGHTS), expected, rtol=3e-5)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_in_the_long_run_they_grow_by_the_spectral_radius_a_step(factor):
    found = norms_on_the_way_back(factor * WEIGHTS)
    assert found[-1] / found[-2] == pytest.approx(spectral_radius(factor * WEIGHTS), rel=1e-4)
    rate = NormsByLag(found[10:, np.newaxis]).decay_rate
    assert rate == pytest.approx(np.log(spectral_radius(factor * WEIGHTS)), abs=2e-3)
