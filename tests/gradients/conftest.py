import numpy as np
import pytest

from rnnexp.layers import Initializers, Orthogonal, build_network


@pytest.fixture
def linear_network():
    """A linear recurrence whose Wh is `gain` times a random orthogonal matrix."""

    def make(gain=1.0, *, hidden_size=6, output_size=3, seed=0, **settings):
        return build_network(
            hidden_size=hidden_size,
            output_size=output_size,
            input_size=4,
            rng=np.random.default_rng(seed),
            init=Initializers(recurrent=Orthogonal(gain)),
            cell_options={"activation": "identity"},
            **{"dtype": np.float64, **settings},
        )

    return make


@pytest.fixture
def tanh_network():
    """A network with large weights, so that the tanh bends; for tokens or for real values."""

    def make(*, input_kind="tokens", output_size=3, seed=0):
        network = build_network(
            hidden_size=5,
            output_size=output_size,
            embedding_dim=3,
            input_size=4 if input_kind == "tokens" else 2,
            input_kind=input_kind,
            rng=np.random.default_rng(seed),
            dtype=np.float64,
        )
        network.parameters.vector *= 1.3
        return network

    return make


@pytest.fixture
def last_loss_gradients():
    """dL/dh_t of one sequence's loss at its step `last`, for t = 0 (before the first step) to last + 1.

    Taken by complex steps through a continuation of the sequence written here, not by any backward pass.
    """

    def gradients(network, inputs, target, last):
        values = network.parameters.values
        Wx, Wh, b = (values[f"recurrent.{name}"] for name in ("Wx", "Wh", "b"))
        xs = inputs @ values["embedding.W"] if inputs.ndim == 2 else values["embedding.W"][inputs]

        def continued(h, start):
            """The loss at step `last` if the state before step `start` is h."""
            for x in xs[start : last + 1]:
                h = np.tanh(x @ Wx + h @ Wh + b)
            output = h @ values["output.W"] + values["output.b"]
            if np.ndim(target):
                return np.mean((output - target) ** 2)
            return np.log(np.exp(output).sum()) - output[target]

        states = [np.zeros(Wh.shape[0])]
        for x in xs:
            states.append(np.tanh(x @ Wx + states[-1] @ Wh + b))
        step, found = 1e-30, np.empty((last + 2, Wh.shape[0]))
        for t in range(last + 2):
            for unit in range(Wh.shape[0]):
                moved = states[t].astype(complex)
                moved[unit] += 1j * step
                found[t, unit] = continued(moved, t).imag / step
        return found

    return gradients


@pytest.fixture
def loss_paths():
    """Every way from a loss at step t back to step s <= t: {(t, s): {parameter: its share of the gradient}}.

    The loss is the mean over all scored steps. Plain loops over sequences and steps, one outer product at a time,
    for networks with an embedding; the output layer's gradient goes the way (t, t).
    """
    slope = {"tanh": lambda h: 1.0 - h * h, "identity": np.ones_like, "relu": lambda h: (h > 0) * 1.0}
    forward = {"tanh": np.tanh, "identity": np.copy, "relu": lambda x: x * (x > 0)}

    def find(network, batch):
        activation = network.design.cell_options.get("activation", "tanh")
        values = network.parameters.values
        E, Wx, Wh, b = values["embedding.W"], *(values[f"recurrent.{name}"] for name in ("Wx", "Wh", "b"))
        V, c = values["output.W"], values["output.b"]
        steps, count = batch.mask.shape
        found = {(t, s): {k: np.zeros_like(v) for k, v in values.items()} for t in range(steps) for s in range(t + 1)}
        for n in range(count):
            hs = [np.zeros(len(Wh))]
            for t in range(steps):
                x = E[batch.inputs[t, n]] if batch.inputs.ndim == 2 else batch.inputs[t, n] @ E
                hs.append(forward[activation](x @ Wx + hs[-1] @ Wh + b))
            for t in np.flatnonzero(batch.mask[:, n]):
                y = hs[t + 1] @ V + c
                if batch.targets.ndim == 2:
                    dy = np.exp(y) / np.exp(y).sum() - np.eye(len(y))[batch.targets[t, n]]
                else:
                    dy = 2.0 * (y - batch.targets[t, n]) / len(y)
                dy = dy / batch.mask.sum()
                found[t, t]["output.W"] += np.outer(hs[t + 1], dy)
                found[t, t]["output.b"] += dy
                dh = V @ dy
                for s in range(t, -1, -1):
                    dpre = dh * slope[activation](hs[s + 1])
                    way, token = found[t, s], batch.inputs[s, n]
                    x = E[token] if batch.inputs.ndim == 2 else token @ E
                    way["recurrent.Wx"] += np.outer(x, dpre)
                    way["recurrent.Wh"] += np.outer(hs[s], dpre)
                    way["recurrent.b"] += dpre
                    if batch.inputs.ndim == 2:
                        way["embedding.W"][token] += Wx @ dpre
                    else:
                        way["embedding.W"] += np.outer(token, Wx @ dpre)
                    dh = Wh @ dpre
        return found

    return find
