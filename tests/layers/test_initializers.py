import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.layers import Gaussian, Glorot, Identity, Initializers, Normal, Orthogonal, Sparse, build_network

SHAPES = [(300, 200), (200, 300)]


@pytest.mark.parametrize("std", [1.0, 0.05])
def test_normal_has_its_mean_and_standard_deviation(std):
    W = Normal(std)((300, 200), rng=np.random.default_rng(1))
    assert abs(W.mean()) < 5 * std / np.sqrt(W.size)
    assert abs(W.std() / std - 1) < 5 / np.sqrt(2 * W.size)
    assert abs(np.mean((W / std) ** 4) - 3) < 0.2  # a uniform one would have 1.8
    assert not Normal(0)((3, 2), rng=np.random.default_rng(1)).any()


@pytest.mark.parametrize("gain", [1.0, 2.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_gaussian_has_its_gain_over_the_root_of_the_fan_in(shape, gain):
    W = Gaussian(gain)(shape, rng=np.random.default_rng(8))
    std = gain / np.sqrt(shape[0])
    assert abs(W.mean()) < 5 * std / np.sqrt(W.size)
    assert abs(W.std() / std - 1) < 5 / np.sqrt(2 * W.size)
    assert abs(np.mean((W / std) ** 4) - 3) < 0.2


def test_a_square_gaussian_has_its_gain_as_spectral_radius():
    W = Gaussian(1.5)((150, 150), rng=np.random.default_rng(9))
    assert abs(np.abs(np.linalg.eigvals(W)).max() / 1.5 - 1) < 0.1


@pytest.mark.parametrize("gain", [1.0, 2.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_glorot_fills_its_limits_evenly(shape, gain):
    W = Glorot(gain)(shape, rng=np.random.default_rng(2))
    limit = gain * np.sqrt(6 / 500)
    assert 0.999 * limit < W.max() <= limit
    assert 0.999 * limit < -W.min() <= limit
    assert abs(W.mean()) < 5 * limit / np.sqrt(3 * W.size)
    np.testing.assert_allclose(W.var(), gain**2 * 2 / 500, rtol=0.02)


@pytest.mark.parametrize("gain", [1.0, 0.5])
@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (5, 1), (1, 5), (1, 1)])
def test_orthogonal_has_all_singular_values_at_its_gain(shape, gain):
    W = Orthogonal(gain)(shape, rng=np.random.default_rng(3))
    assert W.shape == shape
    product = W.T @ W if shape[0] >= shape[1] else W @ W.T
    np.testing.assert_allclose(product, gain**2 * np.eye(min(shape)), atol=1e-14)


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5), (1, 1)])
def test_orthogonal_prefers_no_sign_on_its_diagonal(shape):
    # Householder QR alone makes the first diagonal entry negative every time.
    rng = np.random.default_rng(4)
    signs = np.array([np.sign(np.diagonal(Orthogonal()(shape, rng=rng))) for _ in range(500)])
    assert np.all(np.abs(signs.mean(axis=0)) < 4 / np.sqrt(500))


def test_orthogonal_is_uniform_over_rotations_and_reflections():
    # Haar measure: the trace has mean 0 and mean square 1, and half of the matrices are reflections.
    rng = np.random.default_rng(5)
    draws = np.array([Orthogonal()((4, 4), rng=rng) for _ in range(2000)])
    traces = np.trace(draws, axis1=1, axis2=2)
    assert abs(traces.mean()) < 0.1
    assert abs(np.square(traces).mean() - 1) < 0.15
    assert abs(np.linalg.det(draws).mean()) < 0.1


def test_identity_is_a_multiple_of_the_unit_matrix():
    rng = np.random.default_rng(6)
    np.testing.assert_array_equal(Identity()((3, 3), rng=rng), np.eye(3))
    np.testing.assert_array_equal(Identity(0.01)((3, 3), rng=rng), 0.01 * np.eye(3))
    with pytest.raises(
        InvalidValue,
        match=r"_target_ must be another initialiser for a matrix of shape \(3, 4\): this one is square, got Identity",
    ):
        Identity()((3, 4), rng=rng)


@pytest.mark.parametrize("hidden_size, non_zeros", [(20, 15), (6, 1), (6, 6), (40, 3)])
def test_sparse_connects_each_unit_to_so_many_others_whatever_comes_into_them(hidden_size, non_zeros):
    W = Sparse(non_zeros)((hidden_size, hidden_size), rng=np.random.default_rng(3))
    assert (np.count_nonzero(W, axis=1) == non_zeros).all()
    if 1 < non_zeros < hidden_size:
        assert len(set(np.count_nonzero(W, axis=0))) > 1, "the connections into a unit are as they come"
    assert np.abs(np.linalg.eigvals(W)).max() == pytest.approx(0.95)


def test_a_sparse_network_sends_the_state_of_a_unit_to_15_units():
    sparse, zero = Initializers(recurrent=Sparse(), input=Normal(0.0)), np.zeros((1, 40))
    network = build_network(
        hidden_size=40, output_size=3, input_size=3, init=sparse, rng=np.random.default_rng(4), dtype=np.float64
    )
    for unit in range(40):
        state = zero.copy()
        state[0, unit] = 1.0
        network.recurrent.set_state(state)
        assert np.count_nonzero(network.recurrent.forward(np.zeros((1, 1, 3)))) == 15


@pytest.mark.parametrize("draw", [Normal(), Gaussian(), Glorot(), Orthogonal(), Identity()])
def test_all_draw_float64_and_the_same_from_the_same_seed(draw):
    first, again = (draw((5, 5), rng=np.random.default_rng(7)) for _ in range(2))
    assert first.dtype == np.float64
    np.testing.assert_array_equal(first, again)
    if not isinstance(draw, Identity):
        rng = np.random.default_rng(7)
        assert np.all(draw((5, 5), rng=rng) != draw((5, 5), rng=rng))


@pytest.mark.parametrize(
    ("make", "key", "bound"),
    [
        (Normal, "std", ">= 0"),
        (Gaussian, "gain", ">= 0"),
        (Glorot, "gain", "> 0"),
        (Orthogonal, "gain", "> 0"),
        (Identity, "gain", "> 0"),
    ],
)
def test_a_bad_scale_is_refused_by_name(make, key, bound):
    for value in (-1, -1e-9, np.nan, np.inf, "1", True, None):
        with pytest.raises(InvalidValue) as error:
            make(**{key: value})
        assert error.value.key == key
        assert str(error.value).startswith(f"{key} must be a number {bound}, got ")


@pytest.mark.parametrize("make", [Glorot, Orthogonal, Identity])
def test_a_gain_of_zero_is_refused(make):
    with pytest.raises(InvalidValue, match="gain must be a number > 0, got 0"):
        make(0)
