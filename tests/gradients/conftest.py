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
