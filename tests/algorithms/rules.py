"""Small networks of every kind, and the rules that are held against the full gradient on them."""

import numpy as np

from rnnexp.layers import Recurrent, build_network
from rnnexp.tasks import Batch

V, H, T, N = 4, 4, 7, 3


class Residual(Recurrent):
    """A cell as a user writes one: h_t = h_{t-1} + rate tanh(x_t Wx + h_{t-1} Wh + b)."""

    def __init__(self, Wx, Wh, b, *, rate=0.3, **options):
        super().__init__((Wx, Wh, b), hidden_size=np.shape(b)[-1], **options)
        self.rate = rate

    @staticmethod
    def parameter_shapes(input_size, hidden_size):
        return {"Wx": (input_size, hidden_size), "Wh": (hidden_size, hidden_size), "b": (hidden_size,)}

    def step(self, x, state):
        (Wx, Wh, b), (h,) = self.params[:3], state
        return (h + self.rate * np.tanh(x @ Wx + h @ Wh + b),)

    def step_back(self, x, state, dstate):
        (Wx, Wh, b), (h,), (dh,) = self.params[:3], state, dstate
        dpre = self.rate * dh * (1 - np.tanh(x @ Wx + h @ Wh + b) ** 2)
        grads = [x.swapaxes(-1, -2) @ dpre, h.swapaxes(-1, -2) @ dpre, dpre.sum(axis=-2)]
        return dpre @ Wx.T, (dh + dpre @ Wh.T,), grads


class Summing(Residual):
    """The same cell, which sums its gradients over all axes in front."""

    def step_back(self, x, state, dstate):
        dx, earlier, grads = super().step_back(x, state, dstate)
        params = self.params[:3]
        return dx, earlier, [g.sum(axis=tuple(range(g.ndim - p.ndim))) for g, p in zip(grads, params, strict=True)]


class Flat(Residual):
    """The same cell, which knows a batch and nothing in front of it."""

    def step_back(self, x, state, dstate):
        (Wx, Wh, b), (h,), (dh,) = self.params[:3], state, dstate
        dpre = self.rate * dh * (1 - np.tanh(x @ Wx + h @ Wh + b) ** 2)
        return np.dot(dpre, Wx.T), (dh + np.dot(dpre, Wh.T),), [x.T @ dpre, h.T @ dpre, dpre.sum(axis=0)]


CELLS = {"rnn": "rnn", "gru": "gru", "lstm": "lstm", "leaky": "leaky", "own": Residual}
#: What a network may be beside its cell.
KINDS = {
    "one layer": {"embedding_dim": 3, "learn_initial_state": True},
    "one-hot": {"embedding_dim": None},
    "values": {"input_kind": "values", "embedding_dim": 2},
    "raw values": {"input_kind": "values", "embedding_dim": None, "learn_initial_state": True},
    "two layers": {"embedding_dim": 3, "num_layers": 2, "learn_initial_state": True, "shortcut": True},
    "tied": {"embedding_dim": H, "tie": True},
    "frozen": {"embedding_dim": 3, "freeze": ["recurrent.Wh", "output.b"], "shortcut": True},
}


def network_of(cell="rnn", kind="one layer", *, dtype=np.float64, seed=1, **options):
    """A network whose every number is drawn."""
    rng = np.random.default_rng(seed)
    sizes = {"hidden_size": H, "input_size": V, "output_size": V, **KINDS[kind], **options}
    network = build_network(cell=CELLS.get(cell, cell), rng=rng, dtype=dtype, **sizes)
    vector = network.parameters.vector
    vector[...] = (0.5 * rng.standard_normal(vector.shape)).astype(dtype)
    return network


def batch_of(network, *, steps=T, count=N, seed=2, scored=0.6):
    """Random sequences, some of whose steps are scored."""
    rng = np.random.default_rng(seed)
    tokens = network.design.input_kind == "tokens"
    inputs = rng.integers(V, size=(steps, count)) if tokens else rng.standard_normal((steps, count, V))
    mask = rng.random((steps, count)) < scored
    mask[-1] = True
    return Batch(inputs, rng.integers(V, size=(steps, count)), mask)


def gradient_of(algorithm, network, batch, *, seed=0):
    return algorithm.gradient(network.replica(), batch, "classes", rng=np.random.default_rng(seed))


def parts_of(network, gradient):
    """A gradient by the table's columns."""
    shapes, start, found = network.parameters.shapes, 0, {}
    lower = [f"recurrent.{layer}" for layer in range(1, network.design.num_layers)]
    for name, shape in shapes.items():
        stop = start + int(np.prod(shape))
        column = "weights of the one layer"
        if name.startswith("output."):
            column = "output"
        elif name == "embedding.W":
            column = "embedding, also tied"
        elif name.endswith("0"):
            column = "initial state"
        elif name.rpartition(".")[0] in lower:
            column = "of a lower layer"
        found.setdefault(column, []).append(gradient[start:stop])
        start = stop
    return {column: np.concatenate(each) for column, each in found.items()}
