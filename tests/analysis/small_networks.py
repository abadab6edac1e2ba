"""Small networks of every cell, a user's own among them, and maps whose fixed points are known."""

import numpy as np

from rnnexp.layers import Recurrent, TimeGRU, TimeLSTM, TimeRNN, build_network


class Leaky(Recurrent):
    """As a user writes one: parameters and one step, forward and back."""

    def __init__(self, Wx, Wh, b, **options):
        super().__init__((Wx, Wh, b), hidden_size=b.shape[-1], **options)

    @staticmethod
    def parameter_shapes(input_size, hidden_size):
        return {"Wx": (input_size, hidden_size), "Wh": (hidden_size, hidden_size), "b": (hidden_size,)}

    def step(self, x, state):
        (Wx, Wh, b), (h,) = self.params[:3], state
        return (0.7 * h + 0.3 * np.tanh(x @ Wx + h @ Wh + b),)

    def step_back(self, x, state, dstate):
        (Wx, Wh, b), (h,), (dh,) = self.params[:3], state, dstate
        dpre = 0.3 * dh * (1 - np.tanh(x @ Wx + h @ Wh + b) ** 2)
        grads = [x.swapaxes(-1, -2) @ dpre, h.swapaxes(-1, -2) @ dpre, dpre.sum(axis=-2)]
        return dpre @ Wx.T, (0.7 * dh + dpre @ Wh.T,), grads


CELLS = {"rnn": TimeRNN, "gru": TimeGRU, "lstm": TimeLSTM, "leaky": Leaky}


def network_of(cell, *, hidden_size=3, input_size=2, output_size=2, seed=0, scale=0.5, **options):
    """A network on values whose every parameter is drawn, biases and initial states too."""
    rng = np.random.default_rng(seed)
    options = {"input_kind": "values", "dtype": np.float64, **options}
    network = build_network(
        hidden_size=hidden_size, output_size=output_size, input_size=input_size, cell=cell, rng=rng, **options
    )
    network.parameters.vector[...] = scale * rng.standard_normal(network.parameters.vector.shape)
    return network


def vanilla(Wh, *, b=0.0, Wx=None, activation="tanh", dtype=np.float64):
    """h' = phi(x Wx + h Wh + b), its output h itself."""
    Wh = np.atleast_2d(np.asarray(Wh, float))
    size = len(Wh)
    network = network_of(
        TimeRNN,
        hidden_size=size,
        input_size=size,
        output_size=size,
        cell_options={"activation": activation},
        dtype=dtype,
    )
    values = network.parameters.values
    values["recurrent.Wh"][...], values["recurrent.b"][...] = Wh, b
    values["recurrent.Wx"][...] = np.eye(size) if Wx is None else Wx
    values["output.W"][...], values["output.b"][...] = np.eye(size), 0.0
    return network
