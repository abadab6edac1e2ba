import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.layers import ACTIVATIONS, RNN, TimeRNN

D, H = 3, 4
WINDOWS = [(5, 3), (2, 3), (4, 1), (1, 2)]


def draw_weights(rng, copies=()):
    Wx, Wh, b = (0.6 * rng.standard_normal((*copies, *shape)) for shape in ((D, H), (H, H), (H,)))
    return [Wx, Wh, b + 0.5]  # a relu needs some units that are on


def descend(layer):
    for param, grad in zip(layer.params, layer.grads, strict=True):
        param -= 0.1 * grad


def by_name(params, **others):
    return dict(zip(("Wx", "Wh", "b"), params, strict=True)) | others


# The teaching implementation in plain loops: a list of steps on the way forward, their gradients summed on the way
# back, sequences as (N, T, D).
class TaughtTimeRNN:
    def __init__(self, Wx, Wh, b, stateful):
        self.params, self.stateful, self.h = [Wx, Wh, b], stateful, None

    def forward(self, xs):
        Wx, Wh, b = self.params
        if not self.stateful or self.h is None:
            self.h = np.zeros((len(xs), len(Wh)))
        self.steps = []
        for t in range(xs.shape[1]):
            before, x = self.h, xs[:, t]
            self.h = np.tanh(x @ Wx + before @ Wh + b)
            self.steps.append((x, before, self.h))
        return np.stack([h for _, _, h in self.steps], axis=1)

    def backward(self, dhs):
        Wx, Wh, _ = self.params
        self.grads, self.dh, dxs = [0.0, 0.0, 0.0], 0.0, []
        for t, (x, before, h) in reversed(list(enumerate(self.steps))):
            dpre = (dhs[:, t] + self.dh) * (1.0 - h * h)
            self.grads = [
                total + part
                for total, part in zip(self.grads, (x.T @ dpre, before.T @ dpre, dpre.sum(axis=0)), strict=True)
            ]
            self.dh = dpre @ Wh.T
            dxs.insert(0, dpre @ Wx.T)
        return np.stack(dxs, axis=1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_one_step_has_the_gradients_of_its_formula(activation, check_gradients):
    rng = np.random.default_rng(1)
    layer = RNN(*draw_weights(rng), activation=activation)

    def update(batch):
        x, h_prev = rng.standard_normal((batch, D)), rng.standard_normal((batch, H))
        projection = rng.standard_normal((batch, H))
        layer.forward(x, h_prev)
        dx, dh_prev = layer.backward(projection)

        def loss(Wx, Wh, b, x, h_prev):
            return (projection * RNN(Wx, Wh, b, activation=activation).forward(x, h_prev)).sum()

        arrays = by_name(layer.params, x=x, h_prev=h_prev)
        check_gradients(loss, arrays, by_name(layer.grads, x=dx, h_prev=dh_prev))
        descend(layer)

    for batch in (3, 5, 1):
        update(batch)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_window_has_the_gradients_of_its_formula(activation, reuse, batch_first, check_gradients):
    rng = np.random.default_rng(2)
    options = {"stateful": True, "activation": activation, "batch_first": batch_first}
    layer = TimeRNN(*draw_weights(rng), reuse=reuse, **options)

    def update(steps, batch):
        lead = (batch, steps) if batch_first else (steps, batch)
        xs, projection = rng.standard_normal((*lead, D)), rng.standard_normal((*lead, H))
        h0 = rng.standard_normal((batch, H))

        def loss(Wx, Wh, b, xs, h0):
            fresh = TimeRNN(Wx, Wh, b, **options)
            fresh.set_state(h0)
            return (projection * fresh.forward(xs)).sum()

        layer.set_state(h0)
        layer.forward(xs)
        dxs = layer.backward(projection)
        check_gradients(loss, by_name(layer.params, xs=xs, h0=h0), by_name(layer.grads, xs=dxs, h0=layer.dh))
        descend(layer)

    for steps, batch in WINDOWS:
        update(steps, batch)


@pytest.mark.parametrize("stateful", [False, True])
def test_a_batch_first_window_is_the_taught_plain_loop(stateful, assert_close):
    rng = np.random.default_rng(3)
    weights = draw_weights(rng)
    layer = TimeRNN(*weights, stateful=stateful, batch_first=True)
    taught = TaughtTimeRNN(*weights, stateful)  # on the same arrays: it sees every update
    for steps in (6, 3, 3, 8):
        xs, dhs = rng.standard_normal((5, steps, D)), rng.standard_normal((5, steps, H))
        assert_close(layer.forward(xs), taught.forward(xs))
        assert_close(layer.h, taught.h)
        assert_close(layer.backward(dhs), taught.backward(dhs))
        assert_close(layer.dh, taught.dh)
        for ours, theirs in zip(layer.grads, taught.grads, strict=True):
            assert_close(ours, theirs)
        descend(layer)


@pytest.mark.parametrize("copies", [(), (2,), (2, 3)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_single_steps_on_shared_weights_make_up_a_window(activation, copies, assert_close):
    rng = np.random.default_rng(4)
    weights = draw_weights(rng, copies)
    layer = TimeRNN(*weights, stateful=True, activation=activation)
    for steps, batch in WINDOWS:
        xs = rng.standard_normal((steps, *copies, batch, D))
        dhs = rng.standard_normal((steps, *copies, batch, H))
        h = rng.standard_normal((*copies, batch, H))
        layer.set_state(h)
        hs = layer.forward(xs)
        dxs = layer.backward(dhs)

        cells = [RNN(*weights, activation=activation) for _ in range(steps)]
        states, slopes, dh = [h], [], 0.0
        for t, cell in enumerate(cells):
            states.append(cell.forward(xs[t], states[t]))
        assert_close(hs, states[1:])
        for t in reversed(range(steps)):
            dx, dh = cells[t].backward(dhs[t] + dh)
            slopes.insert(0, dx)
        assert_close(dxs, slopes)
        assert_close(layer.dh, dh)
        for k, grad in enumerate(layer.grads):
            assert_close(grad, sum(cell.grads[k] for cell in cells))
        descend(layer)


def test_every_step_uses_the_same_weights(assert_close):
    # With the identity and a constant input, sharing means h_t = x Wx (I + Wh + ... + Wh^t).
    rng = np.random.default_rng(5)
    Wx, Wh, _ = draw_weights(rng)
    x = rng.standard_normal((2, D))
    hs = TimeRNN(Wx, Wh, np.zeros(H), activation="identity").forward(np.stack([x] * 5))
    for t in range(5):
        assert_close(hs[t], x @ Wx @ sum(np.linalg.matrix_power(Wh, power) for power in range(t + 1)))
    assert np.abs(hs[1] - hs[0]).max() > 0.1  # the second step has a state of its own


def test_permuting_the_sequences_permutes_states_and_input_gradients_only(assert_close):
    rng = np.random.default_rng(6)
    weights = draw_weights(rng)
    straight, shuffled = TimeRNN(*weights), TimeRNN(*weights)
    for steps in (6, 4):
        order = rng.permutation(8)
        xs, dhs = rng.standard_normal((steps, 8, D)), rng.standard_normal((steps, 8, H))
        assert_close(shuffled.forward(xs[:, order]), straight.forward(xs)[:, order])
        assert_close(shuffled.backward(dhs[:, order]), straight.backward(dhs)[:, order])
        assert_close(shuffled.dh, straight.dh[order])
        for ours, theirs in zip(shuffled.grads, straight.grads, strict=True):
            assert_close(ours, theirs)
        descend(straight)


def test_the_same_input_gives_the_same_bits(same_bits):
    rng = np.random.default_rng(7)
    weights = draw_weights(rng)
    used, fresh = TimeRNN(*weights), TimeRNN(*weights)
    longer = rng.standard_normal((9, 4, D))
    used.backward(np.ones_like(used.forward(longer)))
    xs, dhs = rng.standard_normal((5, 4, D)), rng.standard_normal((5, 4, H))
    same_bits(used.forward(xs), fresh.forward(xs))
    same_bits(used.backward(dhs), fresh.backward(dhs))
    same_bits(used.dh, fresh.dh)
    for ours, theirs in zip(used.grads, fresh.grads, strict=True):
        same_bits(ours, theirs)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("steps", [1, 4])
def test_what_one_window_returned_is_left_alone_by_the_next(steps, batch_first):
    rng = np.random.default_rng(8)
    layer = TimeRNN(*draw_weights(rng), stateful=True, batch_first=batch_first)
    lead = (2, steps) if batch_first else (steps, 2)

    def window():
        hs = layer.forward(rng.standard_normal((*lead, D)))
        return hs, layer.backward(rng.standard_normal((*lead, H)), norms=True), layer.h, layer.dh, layer.dh_norms

    first = window()
    kept = [array.copy() for array in first]
    second = window()
    for array, before, after in zip(first, kept, second, strict=True):
        np.testing.assert_array_equal(array, before)
        assert np.abs(after - before).max() > 0


def test_weights_are_kept_and_gradients_overwritten_in_place():
    rng = np.random.default_rng(9)
    weights = draw_weights(rng)
    own = [np.full_like(array, 7.0) for array in weights]
    layer = TimeRNN(*weights, grads=own)
    assert all(kept is given for kept, given in zip(layer.params, weights, strict=True))
    xs, dhs = rng.standard_normal((3, 2, D)), rng.standard_normal((3, 2, H))
    layer.forward(xs)
    layer.backward(dhs)
    once = [array.copy() for array in own]
    layer.forward(xs)
    layer.backward(dhs)
    for array, before in zip(own, once, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("make", [RNN, TimeRNN])
def test_arrays_that_do_not_fit_together_are_refused(make):
    Wx, Wh, b = np.ones((D, H)), np.ones((H, H)), np.ones(H)
    with pytest.raises(ValueError, match=r"Wx must end in shape \(3, 4\), got \(3, 5\)"):
        make(np.ones((D, 5)), Wh, b)
    with pytest.raises(ValueError, match=r"Wh must end in shape \(4, 4\), got \(3, 4\)"):
        make(Wx, np.ones((3, H)), b)
    with pytest.raises(ValueError, match=r"b must end in shape \(4,\), got \(3,\)"):
        make(Wx, Wh, np.ones(3))
    with pytest.raises(InvalidValue, match="activation must be one of"):
        make(Wx, Wh, b, activation="softplus")


def test_sequences_that_do_not_fit_the_weights_are_refused():
    layer = TimeRNN(np.ones((D, H)), np.ones((H, H)), np.ones(H))
    with pytest.raises(ValueError, match=r"xs must end in shape \(3,\)"):
        layer.forward(np.ones((5, 2, D + 1)))
    layer.forward(np.ones((5, 2, D)))
    with pytest.raises(ValueError, match=r"dhs must have shape \(5, 2, 4\), got \(4, 2, 4\)"):
        layer.backward(np.ones((4, 2, H)))
