import numpy as np
import pytest
from recurrent_cases import steps_back

from rnnexp.layers import ACTIVATIONS, TimeRNN

T, N, D, H = 5, 3, 2, 4


def draw_weights(rng, copies=()):
    Wx, Wh, b = (0.6 * rng.standard_normal((*copies, *shape)) for shape in ((D, H), (H, H), (H,)))
    return [Wx, Wh, b + 0.5]  # a relu needs some units that are on


def run_windows(layer, rng, copies=()):
    for steps, batch in ((T, N), (T - 2, N + 1)):
        h0 = rng.standard_normal((*copies, batch, H))
        xs = rng.standard_normal((steps, *copies, batch, D))
        layer.set_state(h0)
        hs = layer.forward(xs)
        yield xs, np.concatenate([h0[np.newaxis], hs])
        layer.backward(np.ones_like(hs))
        for param, grad in zip(layer.params, layer.grads, strict=True):
            param -= 0.1 * grad


def test_states_are_those_of_the_last_window_with_the_one_before_it(same_bits):
    rng = np.random.default_rng(1)
    layer = TimeRNN(*draw_weights(rng), stateful=True)
    for _, states in run_windows(layer, rng):
        same_bits(layer.states, states)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jacobians_are_those_of_one_step_of_one_sequence(activation, assert_close):
    rng = np.random.default_rng(2)
    phi = ACTIVATIONS[activation].forward
    layer = TimeRNN(*draw_weights(rng), stateful=True, activation=activation)
    for xs, states in run_windows(layer, rng):
        Wx, Wh, b = layer.params
        for sequence in (0, 2):
            perturbed = states[:-1, sequence, np.newaxis] + 1e-20j * np.eye(H)  # row i: unit i of the earlier state
            after = phi(xs[:, sequence, np.newaxis] @ Wx + perturbed @ Wh + b)
            assert_close(layer.jacobians(sequence), after.imag / 1e-20)
        assert_close(layer.jacobians(), layer.jacobians(0))


def test_the_product_of_jacobians_carries_the_last_gradient_to_the_first_state(assert_close):
    rng = np.random.default_rng(3)
    layer = TimeRNN(*draw_weights(rng), stateful=True)
    for _, states in run_windows(layer, rng):
        dhs = np.zeros_like(states[1:])
        dhs[-1] = rng.standard_normal(dhs[-1].shape)
        layer.backward(dhs)
        for sequence in range(dhs.shape[1]):
            row = dhs[-1, sequence]
            for jacobian in reversed(layer.jacobians(sequence)):
                row = jacobian @ row
            assert_close(layer.dh[sequence], row)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_step_on_its_own_has_the_gradients_of_one_step(activation, check_gradients):
    rng = np.random.default_rng(4)
    phi = ACTIVATIONS[activation].forward
    layer = TimeRNN(*draw_weights(rng), stateful=True, activation=activation)

    def check(xs, states):
        dhs = rng.standard_normal(states[1:].shape)

        def loss(Wx, Wh, b, before):
            return (dhs * phi(xs @ Wx + before @ Wh + b)).sum()

        _, (dh_prev,), grads = steps_back(layer, (dhs,))
        arrays = dict(zip(("Wx", "Wh", "b"), layer.params, strict=True), before=states[:-1])
        check_gradients(loss, arrays, dict(zip(("Wx", "Wh", "b"), grads, strict=True), before=dh_prev))

    for xs, states in run_windows(layer, rng):
        check(xs, states)


def test_looking_at_single_steps_leaves_the_gradients_of_the_window_alone(same_bits):
    rng = np.random.default_rng(5)
    layer = TimeRNN(*draw_weights(rng))
    hs = layer.forward(rng.standard_normal((T, N, D)))
    layer.backward(np.ones_like(hs), norms=True)
    kept = [array.copy() for array in (*layer.grads, layer.dh, layer.dh_norms, layer.states)]
    layer.jacobians()
    layer.slopes()
    steps_back(layer, (rng.standard_normal(hs.shape),))
    for array, before in zip((*layer.grads, layer.dh, layer.dh_norms, layer.states), kept, strict=True):
        same_bits(array, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_stacked_networks_have_the_jacobians_and_single_steps_of_each(dtype, same_bits):
    rng = np.random.default_rng(6)
    weights = [array.astype(dtype) for array in draw_weights(rng, (3,))]
    stack = TimeRNN(*weights)
    xs, dhs = (rng.standard_normal((T, 3, N, size)).astype(dtype) for size in (D, H))
    stack.forward(xs)
    _, (dh_prev,), grads = steps_back(stack, (dhs,))
    for copy in range(3):
        alone = TimeRNN(*(array[copy].copy() for array in weights))
        alone.forward(xs[:, copy].copy())
        _, (own_dh_prev,), own_grads = steps_back(alone, (dhs[:, copy].copy(),))
        same_bits(stack.jacobians(1)[:, copy], alone.jacobians(1))
        same_bits(stack.slopes()[:, copy], alone.slopes())
        same_bits(dh_prev[:, copy], own_dh_prev)
        for ours, theirs in zip(grads, own_grads, strict=True):
            same_bits(ours[copy], theirs)
