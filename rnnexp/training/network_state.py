"""What a network carries from one window to the next: as a state, its template, and how it is restored."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.layers import Network
from rnnexp.layers.base import Layer, Steps
from rnnexp.layers.network import recurrent_names
from rnnexp.layers.recurrent import Recurrent
from rnnexp.state import Maybe, Shaped, State

Array = NDArray[Any]


class _Moved(Steps):
    """In place of a layer's buffers: the names of those that `drop` moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def drop(self, name: str, steps: int) -> None:
        self.names.append(name)


def kept_buffers(layer: Layer) -> dict[str, Array]:
    """What a layer keeps of its last window for the next one: the buffers that its `drop` moves on, as views."""
    own, moved = layer._steps, _Moved()
    layer._steps = moved
    try:
        layer.drop(0)
    finally:
        layer._steps = own
    return {name: own._latest[name][3] for name in moved.names if name in own._latest}


def layers_of(network: Network) -> dict[str, Layer]:
    """The layers that keep something of a window, by name."""
    recurrent = network.recurrent.layers
    layers: dict[str, Layer] = dict(zip(recurrent_names(len(recurrent)), recurrent, strict=True))
    return layers if network.embedding is None else {"embedding": network.embedding, **layers}


def hidden_state(network: Network) -> State:
    """Each recurrent layer's state by name, None before the first window."""
    names, layers = recurrent_names(len(network.recurrent.layers)), network.recurrent.layers
    return {
        name: None if layer.state is None else dict(zip(layer.state_names, map(np.copy, layer.state), strict=True))
        for name, layer in zip(names, layers, strict=True)
    }


def hidden_template(network: Network, batch_size: int) -> State:
    """What a `hidden_state` must match."""
    names, layers = recurrent_names(len(network.recurrent.layers)), network.recurrent.layers
    return {
        name: Maybe({part: Shaped((batch_size, layer.hidden_size), network.dtype) for part in layer.state_names})
        for name, layer in zip(names, layers, strict=True)
    }


def starts_of(network: Network) -> dict[str, bool]:
    """Whether the last window of each recurrent layer began with a sequence."""
    return {name: layer.from_start for name, layer in layers_of(network).items() if isinstance(layer, Recurrent)}


def window_state(network: Network, inputs: Array) -> State:
    """The last window: its inputs, and what every layer keeps of it."""
    all_layers = layers_of(network)
    layers = {name: {key: np.copy(kept) for key, kept in kept_buffers(own).items()} for name, own in all_layers.items()}
    return {"inputs": inputs.copy("K"), "layers": layers, "from_start": starts_of(network)}


def window_template(network: Network, inputs: Array) -> State:
    """What the `window_state` of a window of these inputs must match; no room is made for so many steps."""
    replica, states = network.replica(), []
    for steps in (1, 2):
        few = np.zeros_like(inputs, shape=(steps, *inputs.shape[1:]))
        replica.reset_state()
        with np.errstate(all="ignore"):
            replica.forward(few, scored=slice(0, 0))
        states.append(window_state(replica, few))
    one, two = (state["layers"] for state in states)
    layers = {
        name: {key: _extended(kept, two[name][key], len(inputs)) for key, kept in own.items()}
        for name, own in one.items()
    }
    return {"inputs": inputs, "layers": layers, "from_start": states[0]["from_start"]}


def _extended(one: Array, two: Array, steps: int) -> Shaped:
    """What a buffer of so many steps must match, from those of one step and of two."""
    shape = tuple(n + (m - n) * (steps - 1) for n, m in zip(one.shape, two.shape, strict=True))
    return Shaped(shape, one.dtype)


def put_back_window(network: Network, inputs: Array, saved: State) -> None:
    """Let the layers keep what `window_state` saved of a window of these inputs, which fits the network."""
    network.reset_state()
    with np.errstate(all="ignore"):
        network.forward(inputs, scored=slice(0, 0))
    for name, own in layers_of(network).items():
        for key, kept in kept_buffers(own).items():
            kept[...] = saved["layers"][name][key]
        if isinstance(own, Recurrent):
            own.from_start = saved["from_start"][name]
