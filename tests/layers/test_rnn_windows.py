import numpy as np
import pytest

from rnnexp.layers import ACTIVATIONS, TimeRNN

D, H, N = 2, 3, 4


def draw_weights(rng):
    Wx, Wh, b = (0.6 * rng.standard_normal(shape) for shape in ((D, H), (H, H), (H,)))
    return [Wx, Wh, b + 0.5]  # a relu needs some units that are on


def loop(weights, xs, h):
    Wx, Wh, b = weights
    hs = []
    for x in xs:
        h = np.tanh(x @ Wx + h @ Wh + b)
        hs.append(h)
    return np.stack(hs)


def test_without_stateful_every_window_starts_from_zero(same_bits):
    rng = np.random.default_rng(1)
    layer = TimeRNN(*draw_weights(rng))
    xs = rng.standard_normal((5, N, D))
    first = layer.forward(xs)
    same_bits(layer.forward(xs), first)
    layer.set_state(np.ones((N, H)))
    same_bits(layer.forward(xs), first)
    layer.forward(xs[:, :1])  # another batch size is no matter either
    same_bits(layer.forward(xs), first)


def test_a_stateful_layer_carries_sets_and_resets_its_state(assert_close):
    rng = np.random.default_rng(2)
    weights = draw_weights(rng)
    layer = TimeRNN(*weights, stateful=True)
    assert layer.h is None
    xs, h0 = rng.standard_normal((6, N, D)), rng.standard_normal((N, H))
    from_zero = loop(weights, xs, np.zeros((N, H)))
    assert_close(layer.forward(xs), from_zero)
    assert_close(layer.h, from_zero[-1])
    assert_close(layer.forward(xs), loop(weights, xs, from_zero[-1]))
    layer.set_state(h0)
    assert_close(layer.forward(xs), loop(weights, xs, h0))
    layer.reset_state()
    assert layer.h is None
    assert_close(layer.forward(xs), from_zero)


def test_the_given_state_is_copied(assert_close):
    rng = np.random.default_rng(3)
    weights = draw_weights(rng)
    layer = TimeRNN(*weights, stateful=True)
    given, xs = rng.standard_normal((N, H)), rng.standard_normal((2, N, D))
    expected = loop(weights, xs, given)
    layer.set_state(given)
    given[...] = 100.0
    assert_close(layer.forward(xs), expected)
    assert np.all(given == 100.0)


def test_a_carried_state_of_another_batch_size_is_refused_until_reset(assert_close):
    rng = np.random.default_rng(4)
    weights = draw_weights(rng)
    layer = TimeRNN(*weights, stateful=True)
    layer.forward(rng.standard_normal((3, N, D)))
    xs = rng.standard_normal((3, N + 1, D))
    with pytest.raises(ValueError, match=r"shape \(4, 3\), the window needs \(5, 3\): call reset_state"):
        layer.forward(xs)
    layer.reset_state()
    assert_close(layer.forward(xs), loop(weights, xs, np.zeros((N + 1, H))))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("cut", [1, 4, 7])
def test_two_carried_windows_are_one_long_window(cut, activation, batch_first, assert_close):
    rng = np.random.default_rng(5)
    weights = draw_weights(rng)
    options = {"stateful": True, "activation": activation, "batch_first": batch_first}
    whole, parts = TimeRNN(*weights, **options), TimeRNN(*weights, **options)
    time = 1 if batch_first else 0
    for _ in range(2):  # the second long window starts where the first ended
        xs = rng.standard_normal((N, 8, D) if batch_first else (8, N, D))
        old, new = np.split(xs, [cut], axis=time)
        joined = np.concatenate([parts.forward(old), parts.forward(new)], axis=time)
        assert_close(joined, whole.forward(xs))
        assert_close(parts.h, whole.h)


def test_chained_backward_through_two_windows_is_backward_through_one(assert_close):
    rng = np.random.default_rng(6)
    weights = draw_weights(rng)
    whole, early, late = (TimeRNN(*weights, stateful=True) for _ in range(3))
    for cut in (3, 5):
        xs, dhs = rng.standard_normal((8, N, D)), rng.standard_normal((8, N, H))
        whole.reset_state()
        early.reset_state()
        whole.forward(xs)
        late.set_state(early.forward(xs[:cut])[-1])
        late.forward(xs[cut:])
        dxs = whole.backward(dhs)
        late_dxs = late.backward(dhs[cut:])
        into_early = dhs[:cut].copy()
        into_early[-1] += late.dh
        assert_close(np.concatenate([early.backward(into_early), late_dxs]), dxs)
        assert_close(early.dh, whole.dh)
        for total, first, second in zip(whole.grads, early.grads, late.grads, strict=True):
            assert_close(first + second, total)
        for param, grad in zip(weights, whole.grads, strict=True):
            param -= 0.1 * grad


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("new", "kept"), [(1, 4), (2, 6), (3, 5), (4, 4)])
def test_a_sliding_window_has_the_states_of_one_long_forward(new, kept, batch_first, assert_close):
    rng = np.random.default_rng(7)
    weights = draw_weights(rng)
    xs = rng.standard_normal((kept + 4 * new, N, D))
    states = loop(weights, xs, np.zeros((N, H)))
    layer = TimeRNN(*weights, stateful=True, batch_first=batch_first)

    def forward(window, first):
        return (
            layer.forward(window.swapaxes(0, 1), first).swapaxes(0, 1) if batch_first else layer.forward(window, first)
        )

    assert_close(forward(xs[:kept], 0), states[:kept])
    for start in range(new, len(xs) - kept + 1, new):
        layer.drop(new)
        assert_close(forward(xs[start : start + kept], kept - new), states[start : start + kept])
        assert_close(layer.h, states[start + kept - 1])


@pytest.mark.parametrize(("new", "kept"), [(1, 4), (2, 6), (3, 5)])
def test_backward_of_a_sliding_window_is_the_gradient_of_a_fresh_one(new, kept, check_gradients):
    rng = np.random.default_rng(8)
    weights = draw_weights(rng)
    xs = rng.standard_normal((kept + 3 * new, N, D))
    states = loop(weights, xs, np.zeros((N, H)))
    layer = TimeRNN(*weights, stateful=True, reuse=True)

    def slide(start):
        window, projection = xs[start : start + kept], rng.standard_normal((new, N, H))
        layer.drop(new)
        layer.forward(window, first=kept - new)
        dhs = np.zeros((kept, N, H))
        dhs[-new:] = projection
        dxs = layer.backward(dhs)

        def loss(Wx, Wh, b, window, h0):
            return (projection * loop((Wx, Wh, b), window, h0)[-new:]).sum()

        arrays = dict(zip(("Wx", "Wh", "b"), weights, strict=True), window=window, h0=states[start - 1])
        gradients = dict(zip(("Wx", "Wh", "b"), layer.grads, strict=True), window=dxs, h0=layer.dh)
        check_gradients(loss, arrays, gradients)

    layer.forward(xs[:kept])
    for start in range(new, len(xs) - kept + 1, new):
        slide(start)


def test_a_window_can_grow_step_by_step_before_it_slides(assert_close):
    rng = np.random.default_rng(9)
    weights = draw_weights(rng)
    xs = rng.standard_normal((12, N, D))
    states = loop(weights, xs, np.zeros((N, H)))
    layer = TimeRNN(*weights, stateful=True)
    for stop in range(1, 6):
        assert_close(layer.forward(xs[:stop], first=stop - 1), states[:stop])
    layer.drop(2)
    assert_close(layer.forward(xs[2:9], first=3), states[2:9])  # drops two, adds four: longer than ever before
    layer.drop(4)
    assert_close(layer.forward(xs[6:10], first=3), states[6:10])


def test_a_sliding_window_keeps_old_states_and_computes_new_ones_with_new_weights(assert_close):
    rng = np.random.default_rng(10)
    weights = draw_weights(rng)
    xs = rng.standard_normal((7, N, D))
    layer = TimeRNN(*weights, stateful=True)
    old = layer.forward(xs[:5])
    for param in weights:
        param *= 0.5
    layer.drop(2)
    hs = layer.forward(xs[2:7], first=3)
    assert_close(hs[:3], old[2:])
    assert_close(hs[3:], loop(weights, xs[5:], old[-1]))


def test_a_fresh_window_after_a_sliding_one_starts_from_the_carried_state(assert_close):
    rng = np.random.default_rng(11)
    weights = draw_weights(rng)
    xs = rng.standard_normal((10, N, D))
    layer = TimeRNN(*weights, stateful=True)
    layer.forward(xs[:4])
    layer.drop(2)
    layer.forward(xs[2:6], first=2)
    states = loop(weights, xs, np.zeros((N, H)))
    assert_close(layer.forward(xs[6:]), states[6:])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("steps", [1, 6])
def test_norms_are_those_of_the_loss_differentiated_in_each_state(activation, steps, complex_step, assert_close):
    rng = np.random.default_rng(12)
    phi = ACTIVATIONS[activation].forward
    layer = TimeRNN(*draw_weights(rng), stateful=True, activation=activation)

    def update():
        xs, dhs = rng.standard_normal((steps, N, D)), rng.standard_normal((steps, N, H))
        h0 = rng.standard_normal((N, H))
        layer.set_state(h0)
        states = [h0, *layer.forward(xs)]
        layer.backward(dhs, norms=True)
        Wx, Wh, b = layer.params

        def continued(t, h):
            total = (dhs[t - 1] * h).sum() if t else 0.0
            for later in range(t, steps):
                h = phi(xs[later] @ Wx + h @ Wh + b)
                total = total + (dhs[later] * h).sum()
            return total

        slopes = [complex_step(lambda h, t=t: continued(t, h), states[t]) for t in range(steps + 1)]
        assert layer.dh_norms.shape == (steps + 1, N)
        assert_close(layer.dh_norms, np.linalg.norm(slopes, axis=-1))
        assert_close(np.linalg.norm(layer.dh, axis=-1), layer.dh_norms[0])
        for param, grad in zip(layer.params, layer.grads, strict=True):
            param -= 0.1 * grad

    for _ in range(2):
        update()


def test_norms_are_left_only_when_asked_for_and_change_no_gradient(same_bits):
    rng = np.random.default_rng(13)
    layer = TimeRNN(*draw_weights(rng))
    layer.forward(rng.standard_normal((5, N, D)))
    dhs = rng.standard_normal((5, N, H))
    with_norms = layer.backward(dhs, norms=True)
    gradients = [grad.copy() for grad in layer.grads]
    assert layer.dh_norms is not None
    same_bits(layer.backward(dhs), with_norms)
    assert layer.dh_norms is None
    for grad, before in zip(layer.grads, gradients, strict=True):
        same_bits(grad, before)


def test_norms_of_tiny_float32_gradients_do_not_underflow():
    layer = TimeRNN(np.ones((1, 1), np.float32), np.full((1, 1), 0.1, np.float32), np.zeros(1, np.float32))
    layer.forward(np.zeros((31, 1, 1), np.float32))
    layer.backward(np.concatenate([np.zeros((30, 1, 1), np.float32), np.ones((1, 1, 1), np.float32)]), norms=True)
    np.testing.assert_allclose(layer.dh_norms[:, 0], 0.1 ** np.arange(31.0, -1.0, -1.0), rtol=1e-5)


def test_norms_of_huge_gradients_do_not_overflow():
    layer = TimeRNN(np.ones((1, 2)), np.zeros((2, 2)), np.zeros(2), activation="identity")
    layer.forward(np.zeros((3, 2, 1)))
    dhs = np.zeros((3, 2, 2))
    dhs[1, 0], dhs[2, 0], dhs[2, 1] = [3.0, 4.0], [3e200, -4e200], [0.6, 0.8]
    layer.backward(dhs, norms=True)
    np.testing.assert_allclose(layer.dh_norms, [[0, 0], [0, 0], [5, 0], [5e200, 1]], rtol=1e-14)
