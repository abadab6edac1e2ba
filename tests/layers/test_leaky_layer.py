"""The leaky cell: what is special about its leak; the rest is the contract of every layer."""

import numpy as np
import pytest

from rnnexp.checks import InvalidValue, UserError
from rnnexp.layers import Leaky, Recurrent, TimeLeaky, TimeRNN, build_network, check_cell, to_state_dict


def arrays(dtype, copies=()):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((*copies, *shape)).astype(dtype) for shape in [(2, 5), (5, 5), (5,)]]


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity"])
@pytest.mark.parametrize(("dtype", "copies"), [(np.float32, ()), (np.float64, (3,))])
def test_without_a_leak_it_is_the_vanilla_layer_bit_for_bit(activation, dtype, copies):
    rng, params = np.random.default_rng(1), arrays(dtype, copies)
    layers = [
        TimeRNN(*params, True, activation=activation),
        TimeLeaky(*params, True, activation=activation, leak=1),
    ]
    for weights in (None, [0.5, 2.0, 1.0, 3.0]):
        xs = rng.standard_normal((4, *copies, 3, 2)).astype(dtype)
        dhs = rng.standard_normal((4, *copies, 3, 5)).astype(dtype)
        found = []
        for layer in layers:
            hs = layer.forward(xs).copy()
            dxs = layer.backward(dhs, norms=True, step_weights=weights)
            found.append([hs, dxs, *layer.grads, *layer.dstate, layer.norms["h"], layer.slopes(), *layer.handed_on()])
        assert all(one.tobytes() == other.tobytes() for one, other in zip(*found, strict=True))
    assert layers[0].max_slope == layers[1].max_slope


@pytest.mark.parametrize("leak", [0.01, 0.3, 1.0])
def test_its_gradients_are_complex_step_derivatives(leak):
    check_cell(TimeLeaky, rng=np.random.default_rng(0), leak=leak)


def test_a_wrong_gradient_of_the_state_is_not_taken_for_one_of_the_weights():
    class Forgetful(Recurrent):
        """h_t = h_{t-1} + x_t Wx, whose step_back forgets the first term."""

        def __init__(self, Wx, **options):
            super().__init__((Wx,), hidden_size=Wx.shape[-1], **options)

        @staticmethod
        def parameter_shapes(input_size, hidden_size):
            return {"Wx": (input_size, hidden_size)}

        def step(self, x, state):
            return (state[0] + x @ self.params[0],)

        def step_back(self, x, state, dstate):
            return dstate[0] @ self.params[0].T, (0 * dstate[0],), [x.T @ dstate[0]]

    with pytest.raises(AssertionError, match="gradient in h before the first step is wrong"):
        check_cell(Forgetful, rng=np.random.default_rng(0))


def test_the_state_decays_by_the_leak_alone_without_weights():
    cell = Leaky(np.zeros((1, 2)), np.zeros((2, 2)), np.zeros(2), leak=0.25)
    h = cell.forward(np.ones((1, 1)), np.array([[1.0, -2.0]]))
    assert np.array_equal(h, [[0.75, -1.5]])
    assert np.array_equal(cell.backward(np.ones((1, 2)))[1], [[0.75, 0.75]])


@pytest.mark.parametrize("leak", [0, -0.5, 1.5, float("nan"), "a", None, True])
def test_a_leak_that_is_none_is_refused(leak):
    with pytest.raises(InvalidValue, match=r"leak must be a number > 0"):
        TimeLeaky(*arrays(np.float64), leak=leak)


def test_pytorch_has_no_such_cell():
    network = build_network(hidden_size=3, output_size=2, cell="leaky", rng=np.random.default_rng(0))
    with pytest.raises(UserError, match="only a single network of TimeRNN, TimeGRU or TimeLSTM"):
        to_state_dict(network)
