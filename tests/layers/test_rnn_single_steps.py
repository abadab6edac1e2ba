import numpy as np
import pytest
from recurrent_cases import steps_back

from rnnexp.layers import RNN, TimeRNN

T, N, D, H = 6, 3, 2, 4
KINDS = ["tanh", "relu", "identity", "sigmoid"]


def weights(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((D, H)), rng.standard_normal((H, H)), rng.standard_normal(H)]


def window(kind, *, steps=T, seed=0, **settings):
    layer = TimeRNN(*weights(), activation=kind, **settings)
    xs = np.random.default_rng(seed + 10).standard_normal((steps, N, D))
    layer.forward(xs)
    return layer, xs


@pytest.mark.parametrize("kind", KINDS)
def test_jacobians_are_the_finite_differences_of_one_step_of_the_cell(kind):
    layer, xs = window(kind)
    cell, step = RNN(*weights(), activation=kind), 1e-6
    for sequence in range(N):
        found = layer.jacobians(sequence)
        assert found.shape == (T, H, H)
        for t in range(T):
            h, x = layer.states[t, sequence], xs[t, [sequence]]
            differences = [
                (cell.forward(x, [h + step * unit]) - cell.forward(x, [h - step * unit]))[0] / (2 * step)
                for unit in np.eye(H)
            ]
            np.testing.assert_allclose(found[t], differences, rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_jacobians_carry_a_gradient_as_the_cells_backward_does(kind):
    layer, xs = window(kind)
    cell, dh = RNN(*weights(), activation=kind), np.random.default_rng(1).standard_normal((N, H))
    for t in range(T):
        cell.forward(xs[t], layer.states[t])
        _, dh_prev = cell.backward(dh)
        carried = [layer.jacobians(sequence)[t] @ dh[sequence] for sequence in range(N)]
        np.testing.assert_allclose(carried, dh_prev, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_are_the_finite_differences_of_the_activation(kind):
    layer, xs = window(kind)
    Wx, Wh, b = layer.params
    pre = xs @ Wx + layer.states[:-1] @ Wh + b
    phi, step = layer.activation.forward, 1e-6
    expected = (phi(pre + step) - phi(pre - step)) / (2 * step)
    assert layer.slopes().shape == (T, N, H)
    np.testing.assert_allclose(layer.slopes(), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_on_its_own_is_the_cells_backward(kind):
    layer, xs = window(kind)
    cell, dhs = RNN(*weights(), activation=kind), np.random.default_rng(2).standard_normal((T, N, H))
    _, (dh_prev,), grads = steps_back(layer, (dhs,))
    total = [np.zeros_like(grad) for grad in cell.grads]
    for t in range(T):
        cell.forward(xs[t], layer.states[t])
        np.testing.assert_allclose(dh_prev[t], cell.backward(dhs[t])[1], rtol=1e-12, atol=1e-15)
        for sum_, grad in zip(total, cell.grads, strict=True):
            sum_ += grad
    for found, expected in zip(grads, total, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)


def test_single_steps_one_after_another_are_the_backward_pass_of_the_window():
    layer, _ = window("tanh")
    last = np.random.default_rng(3).standard_normal((N, H))
    dhs, total = np.zeros((T, N, H)), [np.zeros_like(param) for param in layer.params]
    dhs[-1] = last
    for _ in range(T):
        _, (earlier,), grads = steps_back(layer, (dhs,))
        for sum_, grad in zip(total, grads, strict=True):
            sum_ += grad
        dhs = np.concatenate([earlier[1:], np.zeros((1, N, H))])
    seed = np.zeros((T, N, H))
    seed[-1] = last
    layer.backward(seed)
    for found, expected in zip(total, layer.grads, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)


def test_a_shorter_window_has_as_many_jacobians_as_steps():
    layer, _ = window("tanh", steps=9)
    xs = np.random.default_rng(4).standard_normal((4, N, D))
    layer.forward(xs)
    alone = TimeRNN(*weights())
    alone.forward(xs)
    assert layer.states.shape == (5, N, H)
    assert layer.slopes().shape == (4, N, H)
    np.testing.assert_array_equal(layer.jacobians(2), alone.jacobians(2))
    assert np.any(layer.jacobians(2) != layer.jacobians(0))


def test_a_carried_state_is_the_first_of_the_states():
    layer = TimeRNN(*weights(), stateful=True)
    xs = np.random.default_rng(5).standard_normal((T, N, D))
    layer.forward(xs)
    whole, jacobians = layer.states.copy(), layer.jacobians(1)
    layer.reset_state()
    layer.forward(xs[:4])
    layer.forward(xs[4:])
    np.testing.assert_allclose(layer.states, whole[4:], rtol=1e-13)
    np.testing.assert_allclose(layer.jacobians(1), jacobians[4:], rtol=1e-12)
    layer.reset_state()
    layer.forward(xs[4:])
    assert not layer.states[0].any()


def test_batch_first_layers_have_the_same_states_and_jacobians():
    layer, xs = window("tanh")
    turned = TimeRNN(*weights(), batch_first=True)
    turned.forward(xs.swapaxes(0, 1))
    np.testing.assert_array_equal(turned.states, layer.states)
    np.testing.assert_array_equal(turned.jacobians(2), layer.jacobians(2))


def test_backward_does_not_change_them_and_they_follow_the_weights():
    layer, xs = window("tanh")
    before, slopes = layer.jacobians(1), layer.slopes()
    layer.backward(np.ones((T, N, H)), norms=True)
    np.testing.assert_array_equal(layer.jacobians(1), before)
    np.testing.assert_array_equal(layer.slopes(), slopes)
    layer.params[1] *= 0.5
    layer.forward(xs)
    fresh = TimeRNN(weights()[0], 0.5 * weights()[1], weights()[2])
    fresh.forward(xs)
    np.testing.assert_allclose(layer.jacobians(1), fresh.jacobians(1), rtol=1e-13)
