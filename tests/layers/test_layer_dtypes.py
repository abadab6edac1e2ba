import numpy as np
import pytest

from rnnexp.layers import ACTIVATIONS, CRITERIA, RNN, TimeEmbedding, TimeLinear, TimeOneHot, TimeRNN, build_network

DTYPES = [np.float32, np.float64]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
D, H = 3, 4


def draw_weights(rng, dtype):
    return [rng.standard_normal(shape).astype(dtype) for shape in ((D, H), (H, H), (H,))]


@both_dtypes
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_recurrent_layer_keeps_its_dtype_all_the_way(activation, dtype):
    rng = np.random.default_rng(1)
    step, layer = (make(*draw_weights(rng, dtype), activation=activation) for make in (RNN, TimeRNN))
    layer.stateful = True
    for steps in (5, 3):
        xs, dhs = rng.standard_normal((steps, 2, D)).astype(dtype), rng.standard_normal((steps, 2, H)).astype(dtype)
        hs = layer.forward(xs)
        arrays = [hs, layer.backward(dhs), layer.h, layer.dh, *layer.grads]
        arrays += [step.forward(xs[0], hs[0]), *step.backward(dhs[0]), *step.grads]
        assert {array.dtype for array in arrays} == {np.dtype(dtype)}


@both_dtypes
def test_input_and_output_layers_keep_their_dtype_all_the_way(dtype):
    rng = np.random.default_rng(2)
    tokens = rng.integers(5, size=(4, 2))
    table = TimeEmbedding(rng.standard_normal((5, D)).astype(dtype))
    linear = TimeLinear(rng.standard_normal((D, H)).astype(dtype), rng.standard_normal(H).astype(dtype))
    xs = table.forward(tokens)
    ys = linear.forward(xs)
    dxs = linear.backward(np.ones_like(ys))
    table.backward(dxs)
    arrays = [xs, ys, dxs, *table.grads, *linear.grads, TimeOneHot(5, dtype=dtype).forward(tokens)]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


@both_dtypes
@pytest.mark.parametrize("masked", [False, True])
def test_the_slope_of_a_loss_has_the_dtype_of_the_outputs(masked, dtype):
    rng = np.random.default_rng(3)
    outputs = rng.standard_normal((4, 2, H)).astype(dtype)
    mask = rng.random((4, 2)) < 0.5 if masked else None
    for kind, targets in (("classes", rng.integers(H, size=(4, 2))), ("values", np.zeros_like(outputs))):
        loss = CRITERIA[kind]()
        loss.forward(outputs, targets, mask)
        assert loss.backward().dtype == dtype


@both_dtypes
@pytest.mark.parametrize("embedding_dim", [None, 2])
@pytest.mark.parametrize("input_kind", ["tokens", "values"])
def test_a_network_keeps_its_dtype_all_the_way(input_kind, embedding_dim, dtype):
    rng = np.random.default_rng(4)
    network = build_network(
        hidden_size=H, output_size=D, embedding_dim=embedding_dim, input_kind=input_kind, rng=rng, dtype=dtype
    )
    loss = CRITERIA["classes"]()
    for steps in (5, 3):
        tokens = rng.integers(D, size=(steps, 2))
        inputs = tokens if input_kind == "tokens" else rng.standard_normal((steps, 2, D)).astype(dtype)
        outputs = network.forward(inputs, scored=slice(-2, None))
        loss.forward(outputs, tokens[-2:])
        doutputs = loss.backward()
        arrays = [outputs, doutputs, network.backward(doutputs), network.recurrent.h, network.recurrent.dh]
        assert {array.dtype for array in arrays} == {np.dtype(dtype)}
        assert network.dtype == dtype


def test_float32_gradients_are_float64_ones_to_float32_precision(assert_close):
    rng = np.random.default_rng(5)
    single, double = (
        build_network(hidden_size=H, output_size=D, embedding_dim=2, rng=np.random.default_rng(6), dtype=dtype)
        for dtype in DTYPES
    )
    for steps in (6, 4):
        tokens, doutputs = rng.integers(D, size=(steps, 2)), rng.standard_normal((steps, 2, D))
        double.parameters.vector[...] = single.parameters.vector
        assert_close(single.forward(tokens), double.forward(tokens), 1e-6)
        gradient = single.backward(doutputs.astype(np.float32), norms=True)
        assert_close(gradient, double.backward(doutputs, norms=True), 3e-6)
        assert_close(single.recurrent.dh_norms, double.recurrent.dh_norms, 3e-6)
        single.parameters.vector -= np.float32(0.1) * gradient


def test_whole_numbers_become_float64():
    layer = TimeRNN([[1, 0]], [[0, 1], [1, 0]], [0, 0], activation="identity")
    hs = layer.forward([[[1]], [[2]]])
    np.testing.assert_array_equal(hs, [[[1, 0]], [[2, 1]]])
    assert hs.dtype == layer.grads[0].dtype == np.float64


@pytest.mark.parametrize("name", ["Wx", "Wh", "b", "xs", "h0"])
def test_one_complex_array_among_real_ones_passes_through_the_recurrence(name, complex_step):
    rng = np.random.default_rng(7)
    arrays = dict(zip(("Wx", "Wh", "b"), draw_weights(rng, np.float64), strict=True))
    arrays |= {"xs": rng.standard_normal((3, 2, D)), "h0": rng.standard_normal((2, H))}

    def states(xs, h0, **weights):
        layer = TimeRNN(**weights, stateful=True)
        layer.set_state(h0)
        return layer.forward(xs)

    slope = states(**arrays | {name: arrays[name] + 1e-20j})
    assert slope.dtype == np.complex128
    np.testing.assert_allclose(slope.real, states(**arrays), rtol=1e-12)
    step = 1e-6
    finite = (states(**arrays | {name: arrays[name] + step}) - states(**arrays | {name: arrays[name] - step})) / (
        2 * step
    )
    np.testing.assert_allclose(slope.imag / 1e-20, finite, atol=1e-8)


def test_a_layer_follows_a_change_of_dtype_between_windows(assert_close):
    rng = np.random.default_rng(8)
    layer = TimeRNN(*draw_weights(rng, np.float32))
    xs = rng.standard_normal((4, 2, D))
    double = TimeRNN(*(array.astype(np.float64) for array in layer.params)).forward(xs)
    assert_close(layer.forward(xs.astype(np.float32)), double, 1e-5)
    hs = layer.forward(xs)
    assert hs.dtype == np.float64
    assert_close(hs, double)
    assert_close(layer.forward(xs.astype(complex)), double)
    assert layer.forward(xs.astype(np.float32)).dtype == np.float32
