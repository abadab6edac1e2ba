import math

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.training import SGD, Adagrad, Adam, AdamW, RMSProp


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


def momentum_alone(weight, gradients, learning_rate, momentum, nesterov):
    """Polyak's velocity for one number, or Nesterov's look ahead by it."""
    velocity, path = 0.0, []
    for g in gradients:
        velocity = momentum * velocity + g
        weight = weight - learning_rate * (g + momentum * velocity if nesterov else velocity)
        path.append(weight)
    return path


def adagrad_alone(weight, gradients, learning_rate, epsilon, initial):
    total, path = initial, []
    for g in gradients:
        total = total + g * g
        weight = weight - learning_rate * g / (math.sqrt(total) + epsilon)
        path.append(weight)
    return path


def rmsprop_alone(weight, gradients, learning_rate, decay, epsilon, momentum, initial):
    square, velocity, path = initial, 0.0, []
    for g in gradients:
        square = decay * square + (1 - decay) * g * g
        velocity = momentum * velocity + g / (math.sqrt(square) + epsilon)
        weight = weight - learning_rate * velocity
        path.append(weight)
    return path


def adamw_alone(weight, gradients, alpha, beta1, beta2, epsilon, weight_decay):
    """Algorithm 2 of Loshchilov & Hutter 2019, for one number; the decay is not part of the gradient."""
    m = v = 0.0
    path = []
    for t, g in enumerate(gradients, start=1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        adam = (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + epsilon)
        weight = weight - alpha * (adam + weight_decay * weight)
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


FURTHER = [
    (SGD, momentum_alone, (0.1, 0.9, False)),
    (SGD, momentum_alone, (0.01, 0.5, True)),
    (SGD, momentum_alone, (0.3, 0.99, True)),
    (Adagrad, adagrad_alone, (0.1, 1e-10, 0.0)),
    (Adagrad, adagrad_alone, (0.5, 0.3, 0.1)),
    (RMSProp, rmsprop_alone, (0.001, 0.9, 1e-8, 0.0, 0.0)),
    (RMSProp, rmsprop_alone, (0.05, 0.5, 1e-3, 0.9, 0.0)),
    (RMSProp, rmsprop_alone, (0.01, 0.95, 0.0, 0.0, 1.0)),
    (RMSProp, rmsprop_alone, (0.01, 0.0, 0.1, 0.3, 2.0)),
    (AdamW, adamw_alone, (0.001, 0.9, 0.999, 1e-8, 0.01)),
    (AdamW, adamw_alone, (0.05, 0.5, 0.9, 1e-3, 0.7)),
    (AdamW, adamw_alone, (0.1, 0.0, 0.0, 1e-8, 3.0)),
]
further = pytest.mark.parametrize(("optimizer", "alone", "settings"), FURTHER)


@further
def test_the_others_follow_their_formulas_for_ten_updates(optimizer, alone, settings, gradients):
    path = follow(optimizer(*settings), gradients, START)
    for index, weight in enumerate(START):
        expected = alone(weight, gradients[:, index].tolist(), *settings)
        np.testing.assert_allclose(path[:, index], expected, rtol=1e-12)
    decayed = START[4] * (1 - settings[0] * settings[-1]) ** np.arange(1, 11) if optimizer is AdamW else START[4]
    np.testing.assert_allclose(path[:, 4], decayed, rtol=1e-13)


def test_nesterovs_steps_are_those_from_where_the_velocity_leads():
    """Sutskever et al. 2013, equations 3 and 4, on a parabola: the weights are their theta + mu v."""
    slope, rate, mu = 3.0, 0.1, 0.8
    optimizer, weight = SGD(rate, mu, nesterov=True), np.array([2.0])
    theta, v = 2.0, 0.0
    for _ in range(10):
        v = mu * v - rate * slope * (theta + mu * v)
        theta = theta + v
        optimizer.update(weight, slope * weight)
        assert weight[0] == pytest.approx(theta + mu * v, rel=1e-12)


def test_adamw_without_decay_is_adam_bit_for_bit(gradients):
    settings = (0.05, 0.5, 0.9, 1e-3)
    assert np.array_equal(follow(AdamW(*settings, 0.0), gradients, START), follow(Adam(*settings), gradients, START))
    assert not np.array_equal(follow(AdamW(*settings), gradients, START), follow(Adam(*settings), gradients, START))


def test_without_momentum_nothing_is_remembered_of_it(gradients):
    plain, alone = SGD(0.1, 0.0), RMSProp(0.1)
    assert np.array_equal(follow(plain, gradients, START), follow(SGD(0.1), gradients, START))
    follow(alone, gradients, START)
    assert (set(plain.slots), set(alone.slots)) == (set(), {"square"})


@further
def test_a_learning_rate_that_is_set_between_updates_holds_from_the_next_one(optimizer, alone, settings, gradients):
    steps = []
    for factor in (1, 2):
        vector, made = np.array(START), optimizer(*settings)
        made.update(vector, gradients[0])
        before = vector.copy()
        made.learning_rate *= factor
        made.update(vector, gradients[1])
        steps.append(vector - before)
    np.testing.assert_allclose(steps[1], 2 * steps[0], rtol=1e-9, atol=1e-14)
    assert np.linalg.norm(steps[0]) > 1e-4


DEFAULTS = [
    (SGD, {"learning_rate": 0.1, "momentum": 0.0, "nesterov": False}),
    (Adagrad, {"learning_rate": 0.1, "epsilon": 1e-10, "initial": 0.0}),
    (RMSProp, {"learning_rate": 0.001, "decay": 0.9, "epsilon": 1e-8, "momentum": 0.0, "initial": 0.0}),
    (AdamW, {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01}),
]


@pytest.mark.parametrize(("optimizer", "expected"), DEFAULTS)
def test_the_defaults(optimizer, expected):
    assert vars(optimizer()) == {**expected, "slots": {}}


def test_adam_has_the_defaults_of_the_paper(gradients):
    assert np.array_equal(follow(Adam(), gradients, START), follow(Adam(0.001, 0.9, 0.999, 1e-8), gradients, START))


MAKERS = {
    "sgd": lambda: SGD(0.1),
    "momentum": lambda: SGD(0.1, 0.9),
    "nesterov": lambda: SGD(0.1, 0.9, nesterov=True),
    "adagrad": lambda: Adagrad(0.1, initial=0.1),
    "rmsprop": lambda: RMSProp(0.1, momentum=0.5, initial=0.1),
    "adam": lambda: Adam(0.1),
    "adamw": lambda: AdamW(0.1),
}
every_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@every_optimizer
def test_the_vector_stays_the_same_array_and_its_dtype(make):
    for dtype in (np.float32, np.float64):
        vector, optimizer = np.ones(3, dtype), make()
        view = vector[1:]
        for _ in range(2):
            optimizer.update(vector, np.full(3, 0.5, dtype))
        assert vector.dtype == dtype
        assert (view < 1.0).all()
        assert all(slot.dtype in (dtype, np.int64) for slot in optimizer.slots.values())


@every_optimizer
def test_stacked_vectors_are_updated_as_each_alone(make, gradients):
    both = np.stack([gradients[:, :2], gradients[:, 2:4]], axis=1)
    stacked = follow(make(), both, [[0.5, -2.0], [30.0, 1e-6]])
    for copy, start in enumerate([[0.5, -2.0], [30.0, 1e-6]]):
        assert np.array_equal(stacked[:, copy], follow(make(), both[:, copy], start))


@every_optimizer
def test_an_optimizer_goes_on_from_its_slots_alone(make, gradients):
    whole = follow(make(), gradients, START)
    first, second = make(), make()
    half = follow(first, gradients[:5], START)
    second.slots = {name: slot.copy() for name, slot in first.slots.items()}
    assert np.array_equal(follow(second, gradients[5:], half[-1]), whole[5:])


def test_sgd_remembers_nothing(gradients):
    optimizer = SGD(0.1)
    follow(optimizer, gradients, START)
    assert optimizer.slots == {}


@pytest.mark.parametrize("optimizer", [SGD, Adagrad, RMSProp, Adam, AdamW])
@pytest.mark.parametrize("value", [0, -1, 0.0, float("nan"), float("inf"), "abc", "0.1", True, None, 1j])
def test_a_learning_rate_that_is_no_number_above_zero_is_refused(optimizer, value):
    with pytest.raises(InvalidValue, match=r"^learning_rate must be a number > 0, got "):
        optimizer(learning_rate=value)


DECAYS = [(Adam, "beta1"), (AdamW, "beta2"), (SGD, "momentum"), (RMSProp, "decay"), (RMSProp, "momentum")]


@pytest.mark.parametrize(("optimizer", "key"), [*DECAYS, (Adam, "beta2"), (AdamW, "beta1")])
@pytest.mark.parametrize("value", [1, 1.5, -0.1, float("nan"), "abc", True])
def test_a_decay_outside_zero_and_one_is_refused(optimizer, key, value):
    with pytest.raises(InvalidValue, match=f"^{key} must be a number >= 0 and < 1, got "):
        optimizer(**{key: value})


@pytest.mark.parametrize("optimizer", [Adam, AdamW, Adagrad])
@pytest.mark.parametrize("value", [0, -1e-8, float("inf"), None])
def test_an_epsilon_not_above_zero_is_refused(optimizer, value):
    with pytest.raises(InvalidValue, match=r"^epsilon must be a number > 0, got "):
        optimizer(epsilon=value)


@pytest.mark.parametrize(
    ("optimizer", "key"),
    [(Adagrad, "initial"), (RMSProp, "initial"), (RMSProp, "epsilon"), (AdamW, "weight_decay")],
)
@pytest.mark.parametrize("value", [-1e-8, float("nan"), float("inf"), "0", None, True])
def test_a_number_below_zero_is_refused_where_zero_will_do(optimizer, key, value):
    with pytest.raises(InvalidValue, match=f"^{key} must be a number >= 0, got "):
        optimizer(**{key: value})


def test_zero_will_do_there():
    assert Adagrad(initial=0).initial == RMSProp(initial=0).initial == RMSProp(epsilon=0, initial=1).epsilon == 0.0
    assert AdamW(weight_decay=0).weight_decay == 0.0


def test_rmsprop_needs_an_epsilon_where_its_squares_start_at_zero():
    with pytest.raises(InvalidValue, match=r"^epsilon must be a number > 0 where initial is 0, got 0\ntry 1e-8"):
        RMSProp(epsilon=0)
    assert RMSProp(epsilon=0, initial=0.1).epsilon == 0.0


def test_nesterov_is_yes_or_no_and_needs_momentum():
    for value in (1, 0, None, "true"):
        with pytest.raises(InvalidValue, match=r"^nesterov must be true or false, got "):
            SGD(momentum=0.9, nesterov=value)
    with pytest.raises(InvalidValue, match=r"^momentum must be a number > 0 and < 1 with nesterov=true, got 0"):
        SGD(nesterov=True)
