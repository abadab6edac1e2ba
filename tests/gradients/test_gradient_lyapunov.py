import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.gradients import lyapunov, lyapunov_exponents, norms_by_lag
from rnnexp.gradients.stability import transient
from rnnexp.layers import Gaussian, Initializers, build_network
from rnnexp.tasks import Batch


def constant(matrix, steps):
    return np.tile(np.asarray(matrix, float), (steps, 1, 1))


def test_a_diagonal_map_has_the_logarithms_of_its_moduli():
    found = lyapunov_exponents(constant(np.diag([0.3, -2.0, 0.9, -0.05]), 300), discard=150)
    np.testing.assert_allclose(found, np.log([2.0, 0.9, 0.3, 0.05]), rtol=1e-12)


def test_a_constant_map_has_the_logarithms_of_its_eigenvalues_moduli():
    matrix = np.random.default_rng(0).standard_normal((5, 5))
    moduli = np.sort(np.abs(np.linalg.eigvals(matrix)))[::-1]
    found = lyapunov_exponents(constant(matrix, 4000), discard=500)
    np.testing.assert_allclose(found, np.log(moduli), atol=2e-3)


def test_diagonal_maps_that_change_have_the_mean_of_the_logarithms():
    rng = np.random.default_rng(1)
    diagonals = np.array([2.0, 0.5, 0.02]) * rng.uniform(0.8, 1.25, (120, 3))
    jacobians = np.stack([np.diag(diagonal) for diagonal in diagonals])
    found = lyapunov_exponents(jacobians, discard=60)
    np.testing.assert_allclose(found, np.log(diagonals[60:]).mean(axis=0), rtol=1e-12)


def test_the_first_of_fewer_are_the_same():
    growth = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.1])
    jacobians = (np.eye(6) + 0.1 * np.random.default_rng(2).standard_normal((80, 6, 6))) * growth
    every = lyapunov_exponents(jacobians)
    assert every.shape == (6,)
    assert (np.diff(every) <= 0).all()
    # All starts turn into the same leading directions; after 40 steps nothing of the difference is left.
    late = lyapunov_exponents(jacobians, discard=40)
    np.testing.assert_allclose(lyapunov_exponents(jacobians, 2, discard=40), late[:2], rtol=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_they_come_largest_first_however_few_the_steps(steps):
    # After a step or two the directions have not yet found their order.
    for seed in range(20):
        found = lyapunov_exponents(np.random.default_rng(seed).standard_normal((steps, 4, 4)))
        assert (np.diff(found) <= 0).all()


def test_their_sum_is_the_mean_logarithm_of_the_determinant():
    jacobians = np.random.default_rng(3).standard_normal((25, 4, 4))
    for discard in (0, 7):
        volume = np.log(np.abs(np.linalg.det(jacobians)))[discard:].mean()
        assert lyapunov_exponents(jacobians, discard=discard).sum() == pytest.approx(volume, rel=1e-12)


def test_rows_are_the_earlier_states_units():
    # Row vectors: h_t = h_{t-1} J_1 ... J_t. The products in the other order stretch differently.
    rng = np.random.default_rng(4)
    jacobians = rng.standard_normal((60, 3, 3)) * np.exp(rng.standard_normal((60, 1, 3)))
    product, log_norm = rng.standard_normal(3), 0.0
    for step, jacobian in enumerate(jacobians):
        product = product @ jacobian
        size = np.linalg.norm(product)
        product /= size
        log_norm += np.log(size) if step >= 30 else 0.0
    assert lyapunov_exponents(jacobians, discard=30)[0] == pytest.approx(log_norm / 30, rel=1e-9)
    turned = lyapunov_exponents(jacobians.swapaxes(-1, -2), discard=30)[0]
    assert abs(turned - log_norm / 30) > 1e-3


@pytest.mark.parametrize(("steps", "discarded"), [(1, 0), (2, 1), (10, 5), (20, 10), (22, 11), (100, 20), (1000, 110)])
def test_the_steps_that_are_discarded(steps, discarded):
    assert transient(steps) == discarded
    values = np.exp(np.random.default_rng(steps).standard_normal(steps))
    found = lyapunov_exponents(values.reshape(steps, 1, 1))
    np.testing.assert_allclose(found, [np.log(values[discarded:]).mean()], rtol=1e-12, atol=1e-15)


def test_a_direction_that_is_killed_at_every_step():
    found = lyapunov_exponents(constant(np.diag([0.5, 0.0, 0.3]), 60), discard=30)
    np.testing.assert_allclose(found[:2], np.log([0.5, 0.3]), rtol=1e-9)
    assert found[2] == -np.inf


def test_one_dead_unit_kills_the_only_direction_of_one():
    jacobians = np.full((20, 1, 1), 0.5)
    jacobians[15] = 0.0
    assert lyapunov_exponents(jacobians).tolist() == [-np.inf]


def test_all_weights_zero_kill_every_direction():
    assert lyapunov_exponents(np.zeros((10, 3, 3))).tolist() == [-np.inf] * 3


def test_a_direction_that_is_killed_at_one_step_is_killed_for_good():
    # A relu unit that is dead at one step: the column is zero and the product of the Jacobians singular ever after.
    jacobians = constant(np.random.default_rng(5).standard_normal((5, 5)), 50)
    jacobians[40][:, 2] = 0.0
    found = lyapunov_exponents(jacobians)
    assert np.isfinite(found[:4]).all()
    assert found[4] == -np.inf


def test_a_map_of_rank_one_leaves_one_direction():
    matrix = np.outer([1.0, 2.0, 3.0], [0.3, 0.2, 0.5])
    found = lyapunov_exponents(constant(matrix, 50))
    assert found[0] == pytest.approx(np.log(np.trace(matrix)), rel=1e-10)
    assert found[1:].tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [0, 9])
def test_without_finite_jacobians_there_are_none(bad, step):
    jacobians = np.random.default_rng(0).standard_normal((10, 3, 3))
    jacobians[step, 1, 1] = bad
    assert np.isnan(lyapunov_exponents(jacobians, 2)).tolist() == [True, True]


def test_nothing_is_left_if_all_steps_are_discarded():
    assert np.isnan(lyapunov_exponents(np.ones((3, 1, 1)), discard=3)).all()


@pytest.mark.parametrize("count", [4, 100])
def test_more_than_there_are_units_are_refused(count):
    with pytest.raises(InvalidValue, match=f"^lyapunov_exponents must be <= hidden_size, which is 3, got {count}$"):
        lyapunov_exponents(np.ones((5, 3, 3)), count)


@pytest.mark.parametrize("count", [0, -1, 1.0, True])
def test_counts_that_are_none_are_refused(count):
    with pytest.raises(InvalidValue, match=r"^lyapunov_exponents must be a whole number >= 1, got "):
        lyapunov_exponents(np.ones((5, 3, 3)), count)


def test_the_jacobians_are_left_alone_and_the_result_is_repeatable():
    jacobians = np.random.default_rng(6).standard_normal((12, 4, 4)).astype(np.float32)
    kept = jacobians.copy()
    first = lyapunov_exponents(jacobians)
    assert first.dtype == np.float64
    assert np.array_equal(first, lyapunov_exponents(jacobians))
    assert np.array_equal(jacobians, kept)


def test_of_a_network_they_are_those_of_the_sequence_asked_for(tanh_network):
    rng = np.random.default_rng(0)
    batch = Batch(rng.integers(4, size=(30, 3)), rng.integers(3, size=(30, 3)), np.ones((30, 3), bool))
    network = tanh_network()
    for sequence in range(3):
        alone = Batch(*(array[:, [sequence]] for array in (batch.inputs, batch.targets, batch.mask)))
        found = lyapunov(network, batch, None, sequence)
        np.testing.assert_allclose(found, lyapunov(tanh_network(), alone, None), rtol=1e-9)
    assert abs(lyapunov(network, batch, 1, 0)[0] - lyapunov(network, batch, 1, 2)[0]) > 1e-6
    assert lyapunov(network, batch).shape == (3,)
    assert network.recurrent.h is None


def noisy(gain, steps=100, count=10, size=100):
    """A random tanh network, as in Sompolinsky, Crisanti & Sommers 1988, with weak noise coming in."""
    rng = np.random.default_rng(0)
    network = build_network(
        hidden_size=size,
        output_size=3,
        input_size=size,
        input_kind="values",
        rng=rng,
        init=Initializers(recurrent=Gaussian(gain), input=Gaussian(1.0)),
        dtype=np.float64,
    )
    mask = np.zeros((steps, count), bool)
    mask[-1] = True
    inputs = 0.1 * rng.standard_normal((steps, count, size))
    return network, Batch(inputs, rng.integers(3, size=(steps, count)), mask)


@pytest.mark.parametrize("gain", [0.5, 1.5, 3.0])
def test_the_gradients_slope_backward_is_the_leading_exponent_forward(gain):
    network, batch = noisy(gain)
    slope = norms_by_lag(network, batch, "classes").decay_rate
    leading = lyapunov(network, batch, 1)[0]
    assert slope * leading > 0
    assert (leading > 0) == (gain > 1)
    assert slope == pytest.approx(leading, abs=0.05)


def test_near_the_edge_of_chaos_both_are_small():
    network, batch = noisy(1.0)
    slope = norms_by_lag(network, batch, "classes").decay_rate
    leading = lyapunov(network, batch, 1)[0]
    assert -0.1 < slope < 0
    assert -0.1 < leading < 0
