"""Which parameters influence the recurrent state, and which units each of them can reach."""

import numpy as np
from numpy.typing import NDArray

from rnnexp.algorithms.step_derivatives import derivatives_at
from rnnexp.layers import Network, Parameters
from rnnexp.layers.base import Array
from rnnexp.layers.network import recurrent_names

Pattern = NDArray[np.bool_]
#: Units of the state whose derivatives are taken at a time, where all are.
AT_A_TIME = 64


class Influencing:
    """The parameters theta (P,) that the state depends on: those of a network's vector before the output layer's.

    Attributes
    ----------
    count, embedding, features : int
        P, how many of them, the first, are the embedding's, and what it makes of an input.
    trained : boolean array (P,)
        Those that are not frozen, and no zeros that stay, but for the embedding's.
    starts : (integer array, integer array)
        Units of the state and parameters that are their learned initial states.
    units : integer array (S,)
        Which unit each number of the state belongs to: h and c of an LSTM to the same.
    """

    def __init__(self, network: Network) -> None:
        names = [name for name in network.parameters.shapes if not name.startswith("output.")]
        values = network.parameters.values
        sizes = {name: values[name].size for name in names}
        self.count, self.embedding = sum(sizes.values()), sizes.get("embedding.W", 0)
        self.features = network.parameters.shapes["embedding.W"][1] if self.embedding else 0
        zeros = set(network.design.keep_zeros) - {"embedding.W"}
        fixed = [(values[name] == 0).ravel() if name in zeros else False for name in names]
        frozen = [name in network.design.frozen for name in names]
        self.trained = ~np.concatenate(
            [np.full(sizes[name], False) | one | zeros for name, one, zeros in zip(names, frozen, fixed, strict=True)]
        )
        begins = dict(zip(names, np.cumsum([0, *sizes.values()]), strict=False))
        units = [
            begins.get(f"{prefix}.{state}0", -1) + np.arange(layer.hidden_size)
            for prefix, layer in zip(recurrent_names(network.design.num_layers), network.recurrent.layers, strict=True)
            for state in layer.state_names
        ]
        learned = bool(network.recurrent.layers[0].initial_states)
        columns = np.concatenate(units) if learned else np.empty(0, int)
        self.starts = (np.arange(len(columns)), columns)
        each = [(layer.hidden_size, len(layer.state_names)) for layer in network.recurrent.layers]
        self.units = np.concatenate(
            [np.tile(np.arange(size), states) + number * size for number, (size, states) in enumerate(each)]
        )

    def add_embedding(self, inputs: Array, dx: Array, into: Array) -> None:
        """Add ds_t/dW of the embedding to the first columns of `into` (N, r, p), from ds_t/dx_t (N, r, d)."""
        size, features = self.embedding // self.features, dx.shape[-1]
        place = into[..., : size * features].reshape(*dx.shape[:-1], size, features)
        if inputs.ndim == 1:
            for own, token, added in zip(place, inputs, dx, strict=True):
                own[:, token] += added
        else:
            place += inputs[:, np.newaxis, :, np.newaxis] * dx[:, :, np.newaxis]


def patterns(network: Network, parameters: Influencing) -> tuple[Pattern, Pattern]:
    """Where ds_t/dtheta of one step (S, P), and ds_t/ds_{t-1} (S, S), are not zero whatever the numbers are.

    They are evaluated at two random points; weights that stay at zero are zero there, too.
    """
    design, rng = network.design, np.random.default_rng(0)
    probe = Network(Parameters(network.parameters.shapes, dtype=np.float64), design)
    layer, size = probe.recurrent, probe.recurrent.state_size
    features = parameters.features or design.input_size
    direct, onward = np.zeros((size, parameters.count), bool), np.zeros((size, size), bool)
    for low in (0.5, -1.0):
        for name, value in probe.parameters.values.items():
            stays = (network.parameters.values[name] == 0) & (name in (*design.frozen, *design.keep_zeros))
            fan_in = value.shape[-2] if value.ndim > 1 else 1
            value[...] = np.where(stays, 0.0, rng.uniform(low, 1.0, value.shape) / fan_in)
        x = rng.uniform(low, 1.0, (1, 1, features))
        layer.set_state(*(rng.uniform(low, 1.0, (1, one.hidden_size)) for one in layer.layers for _ in one.state_names))
        layer.forward(x)
        step = derivatives_at(layer, 0)
        onward |= step.onward[0] != 0
        if parameters.embedding:
            direct[:, : parameters.embedding] |= np.tile(step.from_input[0] != 0, parameters.embedding // features)
        for start in range(0, size, AT_A_TIME):
            rows = np.eye(size)[np.newaxis, start : start + AT_A_TIME]
            direct[start : start + AT_A_TIME, parameters.embedding :] |= step.vjp(rows)[0] != 0
    return direct, onward


def colours(direct: Pattern) -> NDArray[np.int64]:
    """A number (S,) for each unit, different for two units that one parameter of (S, P) acts on directly.

    One product with a vector then has the derivatives of all units of a colour (Curtis, Powell & Reid 1974).
    """
    together = np.zeros((len(direct), len(direct)), np.float32)
    for start in range(0, direct.shape[1], len(direct)):
        part = direct[:, start : start + len(direct)].astype(np.float32)
        together += part @ part.T
    found = np.full(len(direct), -1)
    for unit, others in enumerate(together > 0):
        taken = set(found[others].tolist())
        found[unit] = next(colour for colour in range(len(direct)) if colour not in taken)
    return found
