import numpy as np
import pytest
from pairwise import pairwise

from rnnexp.gradients import (
    StepJacobians,
    eigenvalues,
    norms_by_lag,
    pascanu_bound,
    singular_values,
    spectral_radius,
    step_jacobians,
)
from rnnexp.layers import activation, build_network
from rnnexp.tasks import Batch


def batch_of(steps=12, count=4, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.zeros((steps, count), bool)
    mask[-1] = True
    return Batch(rng.integers(4, size=(steps, count)), rng.integers(3, size=(steps, count)), mask)


def network_with(weights, kind="tanh", seed=0):
    network = build_network(
        hidden_size=len(weights),
        output_size=3,
        input_size=4,
        rng=np.random.default_rng(seed),
        cell_options={"activation": kind},
        dtype=np.float64,
    )
    network.parameters.values["recurrent.Wh"][...] = weights
    return network


def random_weights(sigma, size=7, seed=0):
    weights = np.random.default_rng(seed).standard_normal((size, size))
    return weights * sigma / np.linalg.norm(weights, 2)


def test_eigenvalues_come_largest_modulus_first():
    weights = np.zeros((4, 4))
    weights[:2, :2] = [[0.0, -0.7], [0.7, 0.0]]
    weights[2, 2], weights[3, 3] = 0.2, -0.9
    found = eigenvalues(weights)
    assert found.dtype == complex
    np.testing.assert_allclose(found[[0, 3]], [-0.9, 0.2], atol=1e-15)
    np.testing.assert_allclose(sorted(found[1:3].imag), [-0.7, 0.7], rtol=1e-12)
    np.testing.assert_allclose(found[1:3].real, 0.0, atol=1e-15)


def test_eigenvalues_have_the_trace_and_the_determinant():
    weights = np.random.default_rng(0).standard_normal((8, 8))
    found = eigenvalues(weights)
    assert (np.diff(np.abs(found)) <= 1e-12).all()
    assert found.sum() == pytest.approx(np.trace(weights), rel=1e-10)
    assert found.prod() == pytest.approx(np.linalg.det(weights), rel=1e-10)
    assert spectral_radius(weights) == abs(found[0])


def test_eigenvalues_of_weights_that_are_not_finite():
    weights = np.eye(3)
    weights[0, 2] = np.inf
    found = eigenvalues(weights)
    assert found.shape == (3,)
    assert np.isnan(found.real).all()
    assert np.isnan(found.imag).all()


def test_singular_values_of_many_matrices():
    matrices = np.stack([np.diag([1.0, -3.0, 2.0]), np.zeros((3, 3)), np.full((3, 3), 2.0)])
    expected = [[3.0, 2.0, 1.0], [0.0, 0.0, 0.0], [6.0, 0.0, 0.0]]
    np.testing.assert_allclose(singular_values(matrices), expected, atol=1e-14)
    np.testing.assert_allclose(singular_values(matrices[0]), expected[0], rtol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_matrix_that_is_not_finite_has_none_and_leaves_the_others_theirs(bad):
    matrices = np.random.default_rng(0).standard_normal((4, 3, 3))
    whole = singular_values(matrices)
    matrices[2, 1, 0] = bad
    found = singular_values(matrices)
    assert np.isnan(found[2]).all()
    np.testing.assert_allclose(found[[0, 1, 3]], whole[[0, 1, 3]], rtol=1e-14)
    assert np.isnan(singular_values(matrices[2])).tolist() == [True] * 3


def test_a_summary_of_step_jacobians():
    found = StepJacobians(np.array([[3.0, 1.0], [5.0, 0.5]]), np.array([1, 2]))
    assert (found.mean, found.largest, found.smallest) == (9.5 / 4, 5.0, 0.5)


def test_without_finite_jacobians_the_summary_is_nan():
    found = StepJacobians(singular_values(np.full((2, 3, 3), np.nan)), np.array([1, 2]))
    assert np.isnan([found.mean, found.largest, found.smallest]).all()


def test_step_jacobians_are_those_of_the_sequence_asked_for(tanh_network):
    network, batch = tanh_network(), batch_of()
    values = network.parameters.values
    for sequence in (0, 2):
        h, expected = np.zeros(5), []
        for token in batch.inputs[:, sequence]:
            h = np.tanh(values["embedding.W"][token] @ values["recurrent.Wx"] + h @ values["recurrent.Wh"])
            expected.append(np.linalg.svd(np.diag(1 - h**2) @ values["recurrent.Wh"].T, compute_uv=False))
        found = step_jacobians(network, batch, sequence)
        np.testing.assert_allclose(found.values, expected, rtol=1e-10)
        assert found.largest == found.values[:, 0].max()
        assert found.smallest == found.values[:, -1].min()
    assert network.recurrent.h is None


def test_step_jacobians_start_from_a_zero_state(tanh_network):
    network, batch = tanh_network(), batch_of()
    expected = step_jacobians(network, batch).values
    network.recurrent.set_state(np.full((4, 5), 0.9))
    assert np.array_equal(step_jacobians(network, batch).values, expected)


def test_the_bound_is_the_logarithm_of_norm_times_slope():
    assert pascanu_bound(2.0, 0.25) == pytest.approx(np.log(0.5), rel=1e-15)
    assert pascanu_bound(3.0, 1.0) == pytest.approx(np.log(3.0), rel=1e-15)
    assert pascanu_bound(1.0, 1.0) == 0.0
    assert type(pascanu_bound(np.float32(0.5), 1.0)) is float


@pytest.mark.parametrize("sigma", [0.0, np.nan])
def test_there_is_no_bound_without_a_norm(sigma):
    assert np.isnan(pascanu_bound(sigma, 1.0))


@pairwise(seed=range(5), kind=["identity", "tanh", "relu", "sigmoid"], sigma=[0.3, 0.6, 0.95])
def test_below_zero_the_gradient_vanishes_at_least_as_fast(kind, sigma, seed):
    network = network_with(random_weights(sigma, seed=seed), kind, seed)
    norms = norms_by_lag(network, batch_of(seed=seed), "classes")
    bound = pascanu_bound(sigma, activation(kind).max_slope)
    assert bound < 0
    assert norms.per_sequence[0].min() > 0
    allowed = norms.per_sequence[:-1] * np.exp(bound) * (1 + 1e-12)
    assert (norms.per_sequence[1:] <= allowed).all()
    assert not norms.decay_rate > bound + 1e-12  # NaN if a relu network's gradient ends at once


@pytest.mark.parametrize("kind", ["identity", "tanh", "sigmoid"])
def test_the_bound_holds_above_zero_too(kind):
    network = network_with(random_weights(9.0), kind)
    norms = norms_by_lag(network, batch_of(), "classes")
    bound = pascanu_bound(9.0, activation(kind).max_slope)
    assert bound > 0
    assert norms.decay_rate <= bound


def test_the_bound_is_reached_by_an_orthogonal_linear_recurrence(linear_network):
    norms = norms_by_lag(linear_network(0.7), batch_of(), "classes")
    assert norms.decay_rate == pytest.approx(pascanu_bound(0.7, 1.0), rel=1e-12)
