import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.layers import ACTIVATIONS, TimeRNN, activation, diff_relu, diff_sigmoid, diff_tanh, relu, sigmoid

HUGE = np.array([-1e4, -1e3, -50.0, 0.0, 50.0, 1e3, 1e4])


def test_diff_tanh_multiplies_elementwise():
    y = np.tanh(np.random.default_rng(0).standard_normal((3, 4)))
    np.testing.assert_array_equal(diff_tanh(y), 1.0 - y**2)


def test_values_at_hand_picked_points():
    x = np.array([-2.0, 0.0, 3.0])
    np.testing.assert_array_equal(relu(x), [0.0, 0.0, 3.0])
    np.testing.assert_array_equal(diff_relu(relu(x)), [0.0, 0.0, 1.0])
    np.testing.assert_allclose(sigmoid(x), 1.0 / (1.0 + np.exp(-x)), rtol=1e-14)
    np.testing.assert_allclose(sigmoid(np.log([0.25, 1.0, 3.0])), [0.2, 0.5, 0.75], rtol=1e-14)
    np.testing.assert_allclose(diff_sigmoid(np.array([0.2, 0.5, 0.75])), [0.16, 0.25, 0.1875], rtol=1e-14)
    np.testing.assert_array_equal(ACTIVATIONS["identity"].forward(x), x)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_from_the_output_is_the_complex_step_of_the_function(name, assert_close):
    phi = activation(name)
    x = np.random.default_rng(1).uniform(-4, 4, 200)
    assert_close(phi.derivative(phi.forward(x)), phi.forward(x + 1e-20j).imag / 1e-20)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_steepest_is_the_largest_derivative(name):
    phi = activation(name)
    x = np.linspace(-6, 6, 2401)  # 0, where tanh and the sigmoid are max_slope, is one of them
    np.testing.assert_allclose(phi.derivative(phi.forward(x)).max(), phi.max_slope, rtol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_real_and_complex_values_agree(name):
    phi = activation(name)
    x = np.random.default_rng(2).uniform(-4, 4, 50)
    np.testing.assert_allclose(phi.forward(x.astype(complex)), phi.forward(x), rtol=1e-14)
    y = phi.forward(x)
    np.testing.assert_allclose(phi.derivative(y.astype(complex)), phi.derivative(y), rtol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_out_receives_the_result_without_a_change_of_the_input(name):
    phi = activation(name)
    x = np.random.default_rng(3).standard_normal((4, 5))
    before, out, slope = x.copy(), np.empty((4, 5)), np.empty((4, 5))
    assert phi.forward(x, out=out) is out
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(out, phi.forward(x))
    assert phi.derivative(out, out=slope) is slope
    np.testing.assert_array_equal(out, phi.forward(x))
    np.testing.assert_array_equal(slope, phi.derivative(out))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_and_sigmoid_saturate_without_overflow(dtype):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for name, lowest in (("tanh", -1.0), ("sigmoid", 0.0)):
            phi = activation(name)
            y = phi.forward(HUGE.astype(dtype))
            np.testing.assert_array_equal(y[[0, 1, -2, -1]], [lowest, lowest, 1.0, 1.0])
            np.testing.assert_array_equal(phi.derivative(y)[[0, 1, -2, -1]], 0.0)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_a_window_of_huge_input_stays_finite_in_both_directions(name):
    layer = TimeRNN(np.ones((1, 2)), np.ones((2, 2)), np.zeros(2), activation=name)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        hs = layer.forward(HUGE.reshape(-1, 1, 1))
        dxs = layer.backward(np.ones_like(hs))
    assert np.isfinite(hs).all()
    assert np.isfinite(dxs).all()
    np.testing.assert_array_equal(hs[-1], 1.0)


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(
        InvalidValue, match="activation must be one of tanh, relu, identity, sigmoid, got tanhh"
    ) as error:
        activation("tanhh")
    assert error.value.hint == "did you mean 'tanh'?"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_number_gives_what_an_array_of_one_gives(name):
    found = ACTIVATIONS[name]
    for function in (found.forward, found.derivative):
        assert function(0.3) == function(np.array([0.3]))[0]
