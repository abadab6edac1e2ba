"""What a state is made of: copies of everything that changes, and how each is checked before it is put back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.layers import Network
from rnnexp.layers.base import Layer, Steps
from rnnexp.layers.network import recurrent_names
from rnnexp.layers.recurrent import Recurrent
from rnnexp.state import State, array_like, entry, expected, unfit

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


def checked_hidden(network: Network, saved: Any, batch_size: int) -> list[tuple[Array, ...] | None]:
    """The states that `hidden_state` made, each (N, H), for the network's layers."""
    states: list[tuple[Array, ...] | None] = []
    for name, layer in zip(recurrent_names(len(network.recurrent.layers)), network.recurrent.layers, strict=True):
        own = entry(saved, name, "hidden")
        if own is None:
            states.append(None)
            continue
        shape = (batch_size, layer.hidden_size)
        states.append(
            tuple(
                array_like(entry(own, part, f"hidden/{name}"), f"hidden/{name}/{part}", shape, network.dtype)
                for part in layer.state_names
            )
        )
    return states


def window_state(network: Network, inputs: Array) -> State:
    """The last window: its inputs, and what every layer keeps of it."""
    all_layers = layers_of(network)
    layers = {name: {key: np.copy(kept) for key, kept in kept_buffers(own).items()} for name, own in all_layers.items()}
    starts = {name: own._from_start for name, own in all_layers.items() if isinstance(own, Recurrent)}
    return {"inputs": inputs.copy("K"), "layers": layers, "from_start": starts}


def put_back_window(network: Network, inputs: Array, saved: Any) -> None:
    """Let the layers keep what `window_state` saved of a window of these inputs.

    Raises
    ------
    UserError
        If it does not fit the network, which has been through these inputs then: try a replica first.
    """
    buffers, starts = entry(saved, "layers", "window"), entry(saved, "from_start", "window")
    batch = inputs.shape[1] if inputs.ndim > 1 else 0
    for name, layer in zip(recurrent_names(len(network.recurrent.layers)), network.recurrent.layers, strict=True):
        # Before any room is made for so many steps.
        where, output = f"window/{name}", layer.state_names[0]
        saved_output = entry(entry(buffers, name, "window"), output, where)
        array_like(saved_output, where, (len(inputs) + 1, batch, layer.hidden_size), network.dtype)
    network.reset_state()
    try:
        with np.errstate(all="ignore"):
            network.forward(inputs, scored=slice(0, 0))
    except (IndexError, ValueError) as error:
        raise unfit(f"its window is no input of this network: {error}") from None
    for name, own in layers_of(network).items():
        for key, value in kept_buffers(own).items():
            where = f"window/{name}/{key}"
            part = entry(entry(buffers, name, "window"), key, f"window/{name}")
            value[...] = array_like(part, where, value.shape, value.dtype)
        if isinstance(own, Recurrent):
            own._from_start = expected(entry(starts, name, "window"), f"window/from_start/{name}", bool)
