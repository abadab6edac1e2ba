"""One step of a network as a map of its state, at a constant input."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnexp.analysis.state_space import in_float64
from rnnexp.checks import InvalidValue
from rnnexp.layers import Network

Array = NDArray[np.float64]


class StepMap:
    """F(h, x): the state after one step, as a function of the whole state (S,) before it; in float64.

    Made of what every recurrent layer has, so that a cell of one's own needs nothing more: `forward` over a window of
    one step, and `jacobians`, which go back through that step by hand.

    Parameters
    ----------
    network : Network
    x : array (D_in,), or int
        The constant input: values, 0 when not given, or a token.

    Raises
    ------
    InvalidValue
        If `x` does not fit the network's input.
    """

    def __init__(self, network: Network, x: ArrayLike | None = None) -> None:
        self.network = in_float64(network)
        self.recurrent = self.network.recurrent
        self.x = constant_input(network, x)
        inputs = self.x[np.newaxis, np.newaxis]
        self._xs = inputs if self.network.embedding is None else self.network.embedding.forward(inputs).copy()
        self._parts = sum(len(layer.state_names) for layer in self.recurrent.layers)
        self._at: Array | None = None

    @property
    def size(self) -> int:
        """S, units of the whole state."""
        return self.recurrent.state_size

    def __call__(self, state: Array) -> Array:
        """F(h, x) of a state (S,)."""
        self._at = state.copy()
        self.recurrent.set_state(*np.split(state[np.newaxis], self._parts, axis=-1))
        self.recurrent.forward(self._xs)
        after: Any = self.recurrent.state
        return np.asarray(np.concatenate(after, axis=-1)[0])

    def displacement(self, state: Array) -> Array:
        """F(h, x) - h."""
        return self(state) - state

    def jacobian(self, state: Array) -> Array:
        """dF/dh at a state: (S, S), rows the earlier state's units, as in `Recurrent.jacobians`."""
        if self._at is None or not np.array_equal(self._at, state):  # an optimiser has just been here
            self(state)
        return np.asarray(self.recurrent.jacobians()[0])

    def output(self, state: Array) -> Array:
        """What the network says at a state: (O,), logits of classes or values."""
        units = self.recurrent.layers[-1]
        h = state[self.size - units.state_size :][: units.hidden_size]
        return np.array(self.network.read_out(h[np.newaxis, np.newaxis], self.x[np.newaxis, np.newaxis])[0, 0])


def constant_input(network: Network, x: ArrayLike | None) -> NDArray[Any]:
    """`x` as an array (D_in,) of values, or () of a token; `InvalidValue` if it is neither."""
    size = network.design.input_size
    hint = "the input that is held constant"
    try:
        given = np.zeros(size) if x is None and network.design.input_kind == "values" else np.asarray(x)
    except ValueError:  # rows of different lengths
        given = np.array(None)
    if network.design.input_kind == "tokens":
        if given.shape != () or given.dtype.kind not in "iu" or not 0 <= given < size:
            raise InvalidValue("x", x, f"a token from 0 to {size - 1}", f"{hint}, such as x=0")
        return given.astype(np.int64)
    given = np.atleast_1d(given)
    if given.shape != (size,) or given.dtype.kind not in "iuf" or not np.isfinite(given).all():
        allowed = "a finite number" if size == 1 else f"{size} finite numbers"
        raise InvalidValue("x", x, allowed, f"{hint}; 0 when not given")
    return given.astype(np.float64)
