"""What a stack of networks carries from update to update: joined from single trainers, and written back to them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.layers import Network
from rnnexp.training.clipping import Clipping
from rnnexp.training.network_state import kept_buffers, layers_of, put_back_window, starts_of
from rnnexp.training.optimizers import Optimizer
from rnnexp.training.past import Past, Windows
from rnnexp.training.stacked_data import stack_arrays
from rnnexp.training.trainer import Trainer

Array = NDArray[Any]


@dataclass
class ParamGroup:
    """Neighbours in the stack that share an optimizer's and a clipping's numbers.

    Attributes
    ----------
    part : slice
        Of the stack's first axis.
    optimizer : Optimizer
        Its slots are those of all of them.
    clipping : Clipping
    """

    part: slice
    optimizer: Optimizer
    clipping: Clipping

    def write_back(self, trainers: Sequence[Trainer]) -> None:
        """Give each trainer of the group its slots."""
        shape = trainers[0].network.parameters.vector.shape
        for row, trainer in enumerate(trainers):
            trainer.optimizer.slots = {
                name: (slot[row] if slot.shape[1:] == shape else slot).copy()
                for name, slot in self.optimizer.slots.items()
            }


def groups_of(trainers: Sequence[Trainer]) -> list[ParamGroup]:
    """Neighbours with the same numbers, and their slots joined."""
    shape, numbers = trainers[0].network.parameters.vector.shape, [numbers_of(trainer) for trainer in trainers]
    groups, start = [], 0
    for stop in range(1, len(trainers) + 1):
        if stop == len(trainers) or numbers[stop] != numbers[start]:
            own, optimizer = trainers[start:stop], copy.copy(trainers[start].optimizer)
            optimizer.slots = {
                name: np.stack([each.optimizer.slots[name] for each in own]) if slot.shape == shape else slot.copy()
                for name, slot in optimizer.slots.items()
            }
            groups.append(ParamGroup(slice(start, stop), optimizer, own[0].clipping))
            start = stop
    return groups


def numbers_of(trainer: Trainer) -> str:
    """The optimizer's and the clipping's numbers, the same text for the same ones."""
    optimizer, shape = trainer.optimizer, trainer.network.parameters.vector.shape
    settings = {name: value for name, value in vars(optimizer).items() if name != "slots"}
    counts = {name: slot.tolist() for name, slot in optimizer.slots.items() if slot.shape != shape}
    return repr((type(optimizer), settings, counts, type(trainer.clipping), vars(trainer.clipping)))


def join_states(network: Network, trainers: Sequence[Trainer]) -> Array:
    """Let a stack start from the single networks' hidden states and their last window; that window's inputs."""
    networks = [trainer.network for trainer in trainers]
    layers, inputs = network.recurrent.layers, np.empty(0)
    # A new sequence forgets the window.
    if not trainers[0].data.fresh and len(trainers[0].inputs):
        inputs = stack_arrays([trainer.inputs for trainer in trainers])
        singles = [layers_of(single) for single in networks]
        buffers = {
            name: {
                key: np.stack([kept_buffers(single[name])[key] for single in singles], axis=-3)
                for key in kept_buffers(layer)
            }
            for name, layer in singles[0].items()
        }
        put_back_window(network, inputs, {"layers": buffers, "from_start": starts_of(networks[0])})
    for layer, *own in zip(layers, *(single.recurrent.layers for single in networks), strict=True):
        states = [single.state for single in own]
        layer.state = None if states[0] is None else tuple(map(np.stack, zip(*states, strict=True)))
    return inputs


def write_back_networks(network: Network, trainers: Sequence[Trainer], inputs: Array | None) -> None:
    """Give each trainer its weights and hidden state, and its part of a last window of these inputs, if given."""
    for row, trainer in enumerate(trainers):
        trainer.network.parameters.vector[...] = network.parameters.vector[row]
    if inputs is not None:
        buffers = {name: kept_buffers(layer) for name, layer in layers_of(network).items()}
        for row, trainer in enumerate(trainers):
            own = {name: {key: kept[..., row, :, :] for key, kept in each.items()} for name, each in buffers.items()}
            trainer.inputs = inputs[:, row].copy()
            put_back_window(trainer.network, trainer.inputs, {"layers": own, "from_start": starts_of(network)})
    for row, trainer in enumerate(trainers):
        for layer, single in zip(network.recurrent.layers, trainer.network.recurrent.layers, strict=True):
            single.state = None if layer.state is None else tuple(state[row].copy() for state in layer.state)


def past_shape(trainer: Trainer) -> tuple[tuple[bool, int], ...] | None:
    """What must be the same for pasts to be joined: where each part begins, and how long it is."""
    return None if trainer.past is None else tuple((part.start is None, part.steps) for part in trainer.past.parts)


def join_pasts(network: Network, trainers: Sequence[Trainer]) -> Past | None:
    """The trainers' pasts, of one shape, as that of a stack; `network` is a replica of it."""
    first = trainers[0].past
    if first is None:
        return None
    joined = Past(network, first.steps)
    if not trainers[0].data.fresh:
        each = [trainer.past.state() for trainer in trainers if trainer.past is not None]
        for parts in zip(*each, strict=True):
            start = None if parts[0]["start"] is None else np.stack([part["start"] for part in parts])
            inputs = stack_arrays([part["inputs"] for part in parts])
            joined.parts.append(Windows(start, [inputs], len(inputs)))
    return joined


def split_past(past: Past, trainers: Sequence[Trainer]) -> None:
    """Give each trainer its part of a stack's past."""
    parts = past.state()
    for row, trainer in enumerate(trainers):
        if trainer.past is not None:
            own = [(None if part["start"] is None else part["start"][row], part["inputs"][:, row]) for part in parts]
            trainer.past.restore([{"start": start, "inputs": inputs} for start, inputs in own])
