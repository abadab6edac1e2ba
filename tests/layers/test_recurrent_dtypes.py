import numpy as np
import pytest
from pairwise import pairwise
from recurrent_cases import CASES, DTYPES, D, H, descend, every_layer, steps_back


@pairwise(case=CASES, dtype=DTYPES, as_array={"list": list, "array": np.asarray})
def test_a_layer_keeps_its_dtype_all_the_way(case, dtype, as_array):
    rng = np.random.default_rng(1)
    layer = case.make(case.draw(rng, dtype=dtype, learned=True))
    for steps in (5, 3):
        xs, dhs = rng.standard_normal((steps, 2, D)).astype(dtype), rng.standard_normal((steps, 2, H)).astype(dtype)
        arrays = [layer.forward(xs), layer.backward(dhs, norms=True, step_weights=as_array([0.5] * steps))]
        dx, earlier, grads = steps_back(layer, layer.after_each_step(dhs))
        arrays += [*layer.state, *layer.dstate, *layer.grads, layer.states, *layer.state_before(1)]
        arrays += [dx, *earlier, *grads, layer.jacobians(1), *layer.gates().values(), *layer.recurrent_weights()]
        arrays += [layer.slopes()] if layer.slopes().size else []
        assert {array.dtype for array in arrays} == {np.dtype(dtype)}
        assert {norms.dtype for norms in layer.norms.values()} == {np.dtype(np.float64)}
        descend(layer)


@every_layer
def test_float32_numbers_are_float64_ones_to_float32_precision(case, assert_close):
    rng = np.random.default_rng(2)
    single = case.draw(rng, dtype=np.float32, learned=True)
    small = case.make(single)
    for steps in (6, 4):
        large = case.make({name: array.astype(np.float64) for name, array in single.items()})
        xs, dhs = (rng.standard_normal((steps, 2, size)).astype(np.float32) for size in (D, H))
        small.reset_state()
        assert_close(small.forward(xs), large.forward(xs.astype(np.float64)), 2e-6)
        assert_close(small.backward(dhs, norms=True), large.backward(dhs.astype(np.float64), norms=True), 5e-6)
        for ours, theirs in zip(small.grads, large.grads, strict=True):
            assert_close(ours, theirs, 5e-6)
        for name in large.norms:
            assert_close(small.norms[name], large.norms[name], 5e-6)
        descend(small)


@every_layer
def test_a_layer_follows_a_change_of_dtype_between_windows(case, assert_close):
    rng = np.random.default_rng(3)
    single = case.draw(rng, dtype=np.float32)
    layer = case.make(single, stateful=False)
    double = case.make({name: array.astype(np.float64) for name, array in single.items()}, stateful=False)
    xs = rng.standard_normal((4, 2, D))
    expected = double.forward(xs)
    assert_close(layer.forward(xs.astype(np.float32)), expected, 1e-5)
    assert_close(layer.forward(xs), expected)
    assert_close(layer.forward(xs.astype(complex)), expected)
    assert layer.forward(xs.astype(np.float32)).dtype == np.float32


@every_layer
def test_complex_numbers_pass_through_forward(case, complex_step, assert_close):
    rng = np.random.default_rng(4)
    arrays, dhs = case.draw(rng, learned=True), rng.standard_normal((3, 2, H))
    layer = case.make(arrays)
    for xs in rng.standard_normal((2, 3, 2, D)):

        def loss(point, name, xs=xs):
            given = arrays | {"xs": xs} | {name: point}
            xs = given.pop("xs")
            hs = case.make(given).forward(xs)
            assert hs.dtype == complex
            return (dhs * hs).sum()

        layer.reset_state()
        layer.forward(xs)
        for name, gradient in {"xs": layer.backward(dhs), **dict(zip(arrays, layer.grads, strict=True))}.items():
            if name in ("xs", "1.b") or name[-2:] in ("h0", "c0"):
                assert_close(
                    gradient, complex_step(lambda point, name=name: loss(point, name), {"xs": xs, **arrays}[name])
                )
        descend(layer)


@every_layer
@pytest.mark.parametrize("real", [True, False], ids=["real gradient", "complex gradient"])
def test_complex_numbers_pass_through_backward(case, real, assert_close):
    rng = np.random.default_rng(5)
    arrays = case.draw(rng, learned=True)
    for steps in (4, 2):
        xs, dhs = rng.standard_normal((steps, 2, D)), rng.standard_normal((steps, 2, H))
        way = {name: rng.standard_normal(array.shape) for name, array in arrays.items()}

        def gradients(step, dhs=dhs, xs=xs, way=way):
            layer = case.make({name: array + step * way[name] for name, array in arrays.items()})
            layer.forward(xs)
            return [layer.backward(dhs), *layer.dstate, *layer.grads]

        small = 1e-6
        above, below = gradients(small), gradients(-small)
        dhs_given = dhs if real else dhs.astype(complex)
        for slope, plus, minus in zip(gradients(1e-20j, dhs_given), above, below, strict=True):
            assert slope.dtype == complex
            np.testing.assert_allclose(slope.real, (plus + minus) / 2, atol=1e-9)
            np.testing.assert_allclose(slope.imag / 1e-20, (plus - minus) / (2 * small), atol=1e-7)
            assert np.any(slope != 0)


@every_layer
def test_a_float32_gradient_of_a_float64_layer_is_taken_in_float64(case, same_bits):
    rng = np.random.default_rng(6)
    arrays = case.draw(rng)
    layer, other = case.make(arrays), case.make(arrays)
    for steps in (4, 2):
        xs, dhs = rng.standard_normal((steps, 2, D)), rng.standard_normal((steps, 2, H)).astype(np.float32)
        layer.forward(xs)
        other.forward(xs)
        same_bits(layer.backward(dhs), other.backward(dhs.astype(np.float64)))
        for ours, theirs in zip((*layer.grads, *layer.dstate), (*other.grads, *other.dstate), strict=True):
            same_bits(ours, theirs)
        descend(layer)
