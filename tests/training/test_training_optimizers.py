import math

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.training import SGD, Adam


@pytest.fixture
def gradients():
    """Ten gradients of five numbers of very different size, one of them always zero."""
    drawn = np.random.default_rng(0).standard_normal((10, 5)) * [1.0, 1e-3, 100.0, 1e-9, 0.0]
    assert (drawn[:, :4] != 0).all()
    return drawn


def sgd_alone(weight, gradients, learning_rate):
    path = []
    for gradient in gradients:
        weight = weight - learning_rate * gradient
        path.append(weight)
    return path


def adam_alone(weight, gradients, alpha, beta1, beta2, epsilon):
    """Algorithm 1 of the paper, for one number in Python floats."""
    m = v = 0.0
    path = []
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        corrected_m, corrected_v = m / (1 - beta1**t), v / (1 - beta2**t)
        weight = weight - alpha * corrected_m / (math.sqrt(corrected_v) + epsilon)
        path.append(weight)
    return path


def follow(optimizer, gradients, start):
    """The weights after each update, made in place on one vector."""
    vector = np.array(start)
    address, path = vector.ctypes.data, []
    for gradient in gradients:
        given = gradient.astype(vector.dtype)
        kept = given.copy()
        assert optimizer.update(vector, given) is None
        assert np.array_equal(given, kept), "the gradient was changed"
        path.append(vector.copy())
    assert vector.ctypes.data == address
    return np.array(path)


START = [0.5, -2.0, 30.0, 1e-6, 4.0]


@pytest.mark.parametrize("learning_rate", [0.1, 1.7])
def test_sgd_follows_the_formula_for_ten_updates(gradients, learning_rate):
    path = follow(SGD(learning_rate), gradients, START)
    for index, weight in enumerate(START):
        expected = sgd_alone(weight, gradients[:, index].tolist(), learning_rate)
        np.testing.assert_allclose(path[:, index], expected, rtol=1e-14)


@pytest.mark.parametrize("settings", [(0.001, 0.9, 0.999, 1e-8), (0.05, 0.5, 0.9, 1e-3), (0.01, 0.0, 0.0, 1e-8)])
def test_adam_follows_the_paper_for_ten_updates(gradients, settings):
    path = follow(Adam(*settings), gradients, START)
    for index, weight in enumerate(START):
        expected = adam_alone(weight, gradients[:, index].tolist(), *settings)
        np.testing.assert_allclose(path[:, index], expected, rtol=1e-12)
    assert (path[:, 4] == START[4]).all()


def test_adam_has_the_defaults_of_the_paper(gradients):
    assert np.array_equal(follow(Adam(), gradients, START), follow(Adam(0.001, 0.9, 0.999, 1e-8), gradients, START))


@pytest.mark.parametrize("make", [lambda: SGD(0.1), lambda: Adam(0.1)])
def test_the_vector_stays_the_same_array_and_its_dtype(make):
    for dtype in (np.float32, np.float64):
        vector, optimizer = np.ones(3, dtype), make()
        view = vector[1:]
        for _ in range(2):
            optimizer.update(vector, np.full(3, 0.5, dtype))
        assert vector.dtype == dtype
        assert (view < 1.0).all()
        assert all(slot.dtype in (dtype, np.int64) for slot in optimizer.slots.values())


@pytest.mark.parametrize("make", [lambda: SGD(0.1), lambda: Adam(0.1)])
def test_stacked_vectors_are_updated_as_each_alone(make, gradients):
    both = np.stack([gradients[:, :2], gradients[:, 2:4]], axis=1)
    stacked = follow(make(), both, [[0.5, -2.0], [30.0, 1e-6]])
    for copy, start in enumerate([[0.5, -2.0], [30.0, 1e-6]]):
        assert np.array_equal(stacked[:, copy], follow(make(), both[:, copy], start))


def test_adam_goes_on_from_its_slots_alone(gradients):
    whole = follow(Adam(0.1), gradients, START)
    first, second = Adam(0.1), Adam(0.1)
    half = follow(first, gradients[:5], START)
    second.slots = {name: slot.copy() for name, slot in first.slots.items()}
    assert np.array_equal(follow(second, gradients[5:], half[-1]), whole[5:])


def test_sgd_remembers_nothing(gradients):
    optimizer = SGD(0.1)
    follow(optimizer, gradients, START)
    assert optimizer.slots == {}


@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("value", [0, -1, 0.0, float("nan"), float("inf"), "abc", "0.1", True, None, 1j])
def test_a_learning_rate_that_is_no_number_above_zero_is_refused(optimizer, value):
    with pytest.raises(InvalidValue, match=r"^learning_rate must be a number > 0, got "):
        optimizer(learning_rate=value)


@pytest.mark.parametrize("key", ["beta1", "beta2"])
@pytest.mark.parametrize("value", [1, 1.5, -0.1, float("nan"), "abc", True])
def test_a_decay_outside_zero_and_one_is_refused(key, value):
    with pytest.raises(InvalidValue, match=f"^{key} must be a number >= 0 and < 1, got "):
        Adam(**{key: value})


@pytest.mark.parametrize("value", [0, -1e-8, float("inf"), None])
def test_an_epsilon_not_above_zero_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^epsilon must be a number > 0, got "):
        Adam(epsilon=value)
