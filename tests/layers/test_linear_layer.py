import numpy as np
import pytest

from rnnexp.layers import TimeLinear

D, K = 3, 2
WINDOWS = [(5, 4), (2, 4), (6, 1), (1, 2)]


def draw_arrays(rng, bias):
    return {"W": rng.standard_normal((D, K))} | ({"b": rng.standard_normal(K)} if bias else {})


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("reuse", [False, True])
def test_the_map_has_the_gradients_of_its_formula(reuse, batch_first, bias, check_gradients):
    rng = np.random.default_rng(1)
    layer = TimeLinear(**draw_arrays(rng, bias), reuse=reuse, batch_first=batch_first)

    def update(steps, batch):
        lead = (batch, steps) if batch_first else (steps, batch)
        xs, projection = rng.standard_normal((*lead, D)), rng.standard_normal((*lead, K))

        def loss(xs, **arrays):
            arrays = {name: array.astype(complex) for name, array in arrays.items()}
            return (projection * TimeLinear(**arrays, batch_first=batch_first).forward(xs)).sum()

        layer.forward(xs)
        dxs = layer.backward(projection)
        arrays = dict(zip(("W", "b"), layer.params, strict=False))
        gradients = dict(zip(("W", "b"), layer.grads, strict=False))
        check_gradients(loss, arrays | {"xs": xs}, gradients | {"xs": dxs})
        for param, grad in zip(layer.params, layer.grads, strict=True):
            param -= 0.1 * grad

    for steps, batch in WINDOWS:
        update(steps, batch)


@pytest.mark.parametrize("name", ["xs", "W", "b"])
def test_one_complex_array_among_real_ones_passes_through(name):
    arrays = {"xs": np.ones((2, 1, D)), "W": np.ones((D, K)), "b": np.zeros(K)}
    arrays[name] = arrays[name] + 1e-20j
    ys = TimeLinear(arrays["W"], arrays["b"]).forward(arrays["xs"])
    np.testing.assert_allclose(ys.imag, {"xs": 3e-20, "W": 3e-20, "b": 1e-20}[name], rtol=1e-14)


def test_by_hand():
    layer = TimeLinear([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [10.0, 20.0])
    np.testing.assert_array_equal(layer.forward([[[1.0, 0.0, -1.0]], [[0.0, 2.0, 0.0]]]), [[[6, 16]], [[16, 28]]])
    dxs = layer.backward([[[1.0, 0.0]], [[0.0, 2.0]]])
    np.testing.assert_array_equal(dxs, [[[1, 3, 5]], [[4, 8, 12]]])
    np.testing.assert_array_equal(layer.grads[0], [[1, 0], [0, 4], [-1, 0]])
    np.testing.assert_array_equal(layer.grads[1], [1, 2])


@pytest.mark.parametrize("bias", [False, True])
def test_a_sliding_window_keeps_old_outputs_and_adds_new_ones(bias, assert_close):
    rng = np.random.default_rng(2)
    arrays = draw_arrays(rng, bias)
    xs = rng.standard_normal((11, 2, D))
    layer, fresh = TimeLinear(**arrays), TimeLinear(**arrays)
    whole = TimeLinear(**arrays).forward(xs)
    assert_close(layer.forward(xs[:5]), whole[:5])
    for start in (2, 4, 6):
        window, dys = xs[start : start + 5], rng.standard_normal((5, 2, K))
        layer.drop(2)
        assert_close(layer.forward(window, first=3), whole[start : start + 5])
        fresh.forward(window)
        assert_close(layer.backward(dys), fresh.backward(dys))
        for ours, theirs in zip(layer.grads, fresh.grads, strict=True):
            assert_close(ours, theirs)


def test_what_one_window_returned_is_left_alone_by_the_next():
    rng = np.random.default_rng(3)
    layer = TimeLinear(**draw_arrays(rng, bias=True))
    ys = layer.forward(rng.standard_normal((3, 2, D)))
    dxs = layer.backward(rng.standard_normal((3, 2, K)))
    before = ys.copy(), dxs.copy()
    layer.forward(rng.standard_normal((3, 2, D)))
    layer.backward(rng.standard_normal((3, 2, K)))
    np.testing.assert_array_equal(ys, before[0])
    np.testing.assert_array_equal(dxs, before[1])


def test_sequences_that_do_not_fit_the_weights_are_refused():
    with pytest.raises(ValueError, match=r"TimeLinear: xs must end in shape \(3,\), got \(2, 1, 4\)"):
        TimeLinear(np.ones((D, K))).forward(np.ones((2, 1, 4)))
