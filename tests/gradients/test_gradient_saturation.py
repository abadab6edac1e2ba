import numpy as np
import pytest

from rnnexp.gradients import saturation
from rnnexp.gradients.saturated import SaturationCount
from rnnexp.layers import build_network
from rnnexp.tasks import Batch


def network_of(kind, seed=0, dtype=np.float64):
    network = build_network(
        hidden_size=6,
        output_size=3,
        input_size=4,
        rng=np.random.default_rng(seed),
        cell_options={"activation": kind},
        dtype=dtype,
    )
    network.parameters.vector *= 2.0
    return network


def batch_of(steps=9, count=4):
    rng = np.random.default_rng(0)
    return Batch(
        rng.integers(4, size=(steps, count)), rng.integers(3, size=(steps, count)), np.ones((steps, count), bool)
    )


def saturation_of(*windows):
    """Of states and slopes, one window after the other."""
    count = SaturationCount()
    for states, slopes in windows:
        count.add(states, slopes)
    return count.result()


FUNCTIONS = {
    "tanh": (np.tanh, lambda h: 1 - h**2),
    "relu": (lambda x: np.maximum(x, 0), lambda h: (h > 0) * 1.0),
    "identity": (lambda x: x, np.ones_like),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda h: h * (1 - h)),
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_of_a_network_it_is_of_all_states_but_the_first_zero(kind):
    network, batch = network_of(kind), batch_of()
    Wx, Wh, b = (network.parameters.values[f"recurrent.{name}"] for name in ("Wx", "Wh", "b"))
    phi, slope = FUNCTIONS[kind]
    states = []
    for sequence in range(4):
        h = np.zeros(6)
        for token in batch.inputs[:, sequence]:
            h = phi(Wx[token] + h @ Wh + b)
            states.append(h)
    states = np.array(states)
    found = saturation(network, batch)
    assert found.saturated_fraction == np.mean(np.abs(states) > 0.95)
    assert found.mean_slope == pytest.approx(slope(states).mean(), rel=1e-12)
    assert found.counts.sum() == states.size == 9 * 4 * 6
    np.testing.assert_array_equal(found.counts, np.histogram(states, found.edges)[0])
    assert type(found.saturated_fraction) is type(found.mean_slope) is float
    assert network.recurrent.h is None


def test_the_tests_networks_are_neither_all_saturated_nor_none():
    assert 0.1 < saturation(network_of("tanh"), batch_of()).saturated_fraction < 0.9


def test_the_limit_itself_is_not_saturated():
    states = np.array([0.95, -0.95, np.nextafter(0.95, 1), -0.96, 0.0, 0.94, 1.0, -1.0])
    assert saturation_of((states, states)).saturated_fraction == 0.5


def test_the_histogram_goes_from_minus_one_to_one_in_forty_bins():
    found = saturation_of((np.array([-1.0, -0.99, 0.01, 0.04, 0.06, 1.0]), np.ones(6)))
    np.testing.assert_allclose(found.edges, np.linspace(-1, 1, 41), rtol=0, atol=1e-15)
    expected = np.zeros(40, int)
    expected[[0, 20, 21, 39]] = [2, 2, 1, 1]
    assert found.counts.tolist() == expected.tolist()


def test_states_beyond_one_widen_it():
    states = np.array([0.0, 0.5, 8.0, -3.0, 2.0])  # of a relu or linear network
    found = saturation_of((states, np.ones(5)))
    assert (found.edges[0], found.edges[-1]) == (-8.0, 8.0)
    np.testing.assert_allclose(np.diff(found.edges), 0.4, rtol=1e-12)
    assert found.counts.sum() == 5
    assert found.counts[-1] == 1
    assert found.counts[np.searchsorted(found.edges, -3.0, "right") - 1] == 1
    assert found.saturated_fraction == 3 / 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1.1, 3.3, 1e30])
def test_every_finite_state_is_counted(dtype, scale):
    states = (scale * np.random.default_rng(0).uniform(-1, 1, 1000)).astype(dtype)
    states[0] = scale
    assert saturation_of((states, np.ones(1000))).counts.sum() == 1000


def test_window_by_window_it_is_that_of_all():
    rng = np.random.default_rng(0)
    parts = [scale * rng.uniform(-1, 1, (5, 7)) for scale in (0.9, 30.0, 1.5, 1.7e308)]
    slopes = [rng.random(5) for _ in parts]
    whole = saturation_of((np.concatenate(parts), np.concatenate(slopes)))
    found = saturation_of(*zip(parts, slopes, strict=True))
    assert found.counts.tolist() == whole.counts.tolist()
    assert found.edges.tolist() == whole.edges.tolist()
    assert found.saturated_fraction == whole.saturated_fraction
    assert found.mean_slope == pytest.approx(whole.mean_slope, rel=1e-14)
    assert saturation_of((parts[0], slopes[0]), (parts[1], slopes[1])).edges[-1] == 32.0


def test_what_is_not_finite_is_saturated_and_in_no_bin():
    states = np.array([[0.1, np.nan], [np.inf, -np.inf]])
    found = saturation_of((states, np.full((2, 2), 0.25)))
    assert found.saturated_fraction == 0.75
    assert found.counts.sum() == 1
    assert np.isfinite(found.edges).all()
    assert found.mean_slope == 0.25


def test_nothing_finite_at_all():
    found = saturation_of((np.full(3, np.nan), np.full(3, np.nan)))
    assert found.saturated_fraction == 1.0
    assert not found.counts.any()
    assert np.isnan(found.mean_slope)


def test_zero_states_are_in_the_linear_range():
    network = network_of("tanh")
    network.parameters.vector[...] = 0.0
    found = saturation(network, batch_of())
    assert (found.saturated_fraction, found.mean_slope) == (0.0, 1.0)
    assert found.counts[20] == 9 * 4 * 6


def test_the_mean_slope_of_many_float32_values_is_exact():
    slopes = np.random.default_rng(0).random(100_000).astype(np.float32)
    found = saturation_of((np.zeros(1), slopes))
    assert found.mean_slope == pytest.approx(slopes.astype(float).mean(), rel=1e-12)


def test_float32_agrees_with_float64():
    wide, narrow = (
        saturation(network_of("tanh"), batch_of()),
        saturation(network_of("tanh", dtype=np.float32), batch_of()),
    )
    assert narrow.saturated_fraction == wide.saturated_fraction
    assert narrow.mean_slope == pytest.approx(wide.mean_slope, rel=1e-5)
    assert narrow.counts.sum() == wide.counts.sum()


def test_it_starts_from_a_zero_state():
    network = network_of("tanh")
    expected = saturation(network, batch_of())
    network.recurrent.set_state(np.full((4, 6), 0.9))
    again = saturation(network, batch_of())
    assert again.mean_slope == expected.mean_slope
    assert np.array_equal(again.counts, expected.counts)
