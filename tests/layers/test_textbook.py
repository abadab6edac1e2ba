from pathlib import Path

import numpy as np
import pytest

from rnnexp.layers import RNN, TimeRNN, textbook

T, N, D, H = 6, 3, 2, 4


def draw(rng, *shapes, dtype=np.float64):
    return [(0.7 * rng.standard_normal(shape)).astype(dtype) for shape in shapes]


def draw_weights(rng, dtype=np.float64):
    return draw(rng, (D, H), (H, H), (H,), dtype=dtype)


def agree_on_a_window(taught, fast, rng, assert_close, steps=T, batch=N):
    xs, dhs = draw(rng, (steps, batch, D), (steps, batch, H))
    assert_close(taught.forward(xs), fast.forward(xs))
    assert_close(taught.h, fast.h)
    assert_close(taught.backward(dhs), fast.backward(dhs, norms=True))
    assert_close(taught.dh, fast.dh)
    assert_close(taught.norms, fast.dh_norms.mean(axis=1))
    for ours, theirs in zip(taught.grads, fast.grads, strict=True):
        assert_close(ours, theirs)


def test_the_page_is_one_page():
    assert len(Path(textbook.__file__).read_text(encoding="utf-8").splitlines()) <= 100


@pytest.mark.parametrize("stateful", [False, True])
def test_windows_are_those_of_the_fast_layer(stateful, assert_close):
    rng = np.random.default_rng(1)
    weights = draw_weights(rng)
    taught, fast = textbook.TimeRNN(*weights, stateful), TimeRNN(*weights, stateful)
    for steps in (T, 2, T + 3):
        agree_on_a_window(taught, fast, rng, assert_close, steps)
        for weight, grad in zip(weights, fast.grads, strict=True):
            weight -= 0.1 * grad  # both see the update: nothing was copied
    if not stateful:
        agree_on_a_window(taught, fast, rng, assert_close, batch=N + 2)


def test_the_state_can_be_set_and_reset(assert_close):
    rng = np.random.default_rng(2)
    weights = draw_weights(rng)
    taught, fast, other = (kind(*weights, stateful=True) for kind in (textbook.TimeRNN, TimeRNN, TimeRNN))
    (h,) = draw(rng, (N, H))
    for layer in (taught, fast):
        layer.set_state(h)
    agree_on_a_window(taught, fast, rng, assert_close)
    for layer in (taught, fast):
        layer.reset_state()
    assert taught.h is None
    agree_on_a_window(taught, fast, rng, assert_close)
    agree_on_a_window(textbook.TimeRNN(*weights, stateful=True), other, rng, assert_close)


def test_a_set_state_is_where_a_stateful_layer_alone_begins(assert_close):
    rng = np.random.default_rng(3)
    weights = draw_weights(rng)
    xs, h = draw(rng, (T, N, D), (N, H))
    step = textbook.RNN(*weights).forward(xs[0], h)
    for stateful in (False, True):
        layer = textbook.TimeRNN(*weights, stateful)
        layer.set_state(h)
        first = layer.forward(xs)[0]
        assert (np.abs(first - step).max() < 1e-15) == stateful


def test_gradients_are_complex_step_derivatives(check_gradients):
    rng = np.random.default_rng(4)
    weights = draw_weights(rng)
    xs, dhs, h = draw(rng, (T, N, D), (T, N, H), (N, H))

    def loss(Wx, Wh, b, xs, h):
        layer = textbook.TimeRNN(Wx, Wh, b, stateful=True)
        layer.set_state(h)
        return (dhs * layer.forward(xs)).sum()

    layer = textbook.TimeRNN(*weights, stateful=True)
    layer.set_state(h)
    layer.forward(xs)
    dxs = layer.backward(dhs)
    arrays = dict(zip(("Wx", "Wh", "b"), weights, strict=True)) | {"xs": xs, "h": h}
    check_gradients(loss, arrays, dict(zip(arrays, [*layer.grads, dxs, layer.dh], strict=True)))


def test_norms_are_those_of_complex_step_derivatives_in_each_state(assert_close, complex_step):
    rng = np.random.default_rng(5)
    weights = draw_weights(rng)
    xs, dhs, h = draw(rng, (T, N, D), (T, N, H), (N, H))
    layer = textbook.TimeRNN(*weights, stateful=True)
    layer.set_state(h)
    hs = layer.forward(xs)
    layer.backward(dhs)
    assert layer.norms.shape == (T + 1,)
    for t, state in enumerate([h, *hs]):

        def loss_from(point, t=t):
            later = textbook.TimeRNN(*weights, stateful=True)
            later.set_state(point)
            own = (dhs[t - 1] * point).sum() if t else 0.0
            return own + ((dhs[t:] * later.forward(xs[t:])).sum() if t < T else 0.0)

        assert_close(layer.norms[t], np.linalg.norm(complex_step(loss_from, state), axis=1).mean())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_numbers_keep_their_dtype(dtype):
    rng = np.random.default_rng(6)
    weights = draw_weights(rng, dtype)
    xs, dhs = draw(rng, (T, N, D), (T, N, H), dtype=dtype)
    layer = textbook.TimeRNN(*weights)
    assert layer.forward(xs).dtype == layer.h.dtype == dtype
    assert layer.backward(dhs).dtype == layer.dh.dtype == dtype
    assert {grad.dtype for grad in layer.grads} == {np.dtype(dtype)}
    assert all(kept is given for kept, given in zip(layer.params, weights, strict=True))
    assert all(step.params[k] is weights[k] for step in layer.steps for k in range(3))


def test_one_step_is_that_of_the_public_cell(assert_close):
    rng = np.random.default_rng(7)
    weights = draw_weights(rng)
    x, h_prev, dh = draw(rng, (N, D), (N, H), (N, H))
    taught, public = textbook.RNN(*weights), RNN(*weights)
    own = list(public.grads)
    assert_close(taught.forward(x, h_prev), np.tanh(x @ weights[0] + h_prev @ weights[1] + weights[2]))
    assert_close(public.forward(x.tolist(), h_prev.tolist()), taught.forward(x, h_prev))
    for ours, theirs in zip(public.backward(dh.tolist()), taught.backward(dh), strict=True):
        assert_close(ours, theirs)
    for kept, ours, theirs in zip(own, public.grads, taught.grads, strict=True):
        assert kept is ours  # overwritten, so that an optimizer may hold them
        assert_close(ours, theirs)
