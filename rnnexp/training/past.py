"""What training has read of its current sequence, to tell how stale the state is that a window takes over."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.gradients import state_staleness
from rnnexp.layers import Network
from rnnexp.state import Many, Maybe, Shaped, State, copied

Array = NDArray[Any]


@dataclass
class Windows:
    """Consecutive windows of a sequence.

    Attributes
    ----------
    start : array (..., N, S), or None
        The whole state that training had before them; None at a sequence's beginning.
    inputs : list of arrays (T, ..., N, ...)
    steps : int
        Of all of them.
    """

    start: Array | None
    inputs: list[Array] = field(default_factory=list)
    steps: int = 0

    def add(self, inputs: Array) -> None:
        """One more window."""
        self.inputs.append(inputs)
        self.steps += len(inputs)


class Past:
    """The latest inputs of a sequence, and the state that training had before them.

    Episodes are kept from their beginning. Of streams at least the last `steps` steps are kept, and fewer than
    2 (steps + window): a new part is begun when the last one is long enough, and the one before it is forgotten.

    Parameters
    ----------
    network : Network
        A replica of the one in training; its state is overwritten.
    steps : int or None
        None keeps everything.
    """

    def __init__(self, network: Network, steps: int | None) -> None:
        self.network, self.steps = network, steps
        self.parts: list[Windows] = []

    def window(self, inputs: Array, state: Sequence[Array] | None, *, measure: bool) -> Array | None:
        """Keep a window that comes next; if asked for, how stale the state is that it takes over.

        `state` is None if it begins a sequence.
        """
        found = self.staleness(state) if measure else None
        self._add(inputs, state)
        return found

    def _add(self, inputs: Array, state: Sequence[Array] | None) -> None:
        if state is None:
            self.parts = [Windows(None)]
        elif not self.parts or (self.steps is not None and self.parts[-1].steps >= self.steps):
            self.parts = [*self.parts[-1:], Windows(np.concatenate(state, axis=-1))]
        self.parts[-1].add(inputs)

    def staleness(self, state: Sequence[Array] | None) -> Array:
        """`state_staleness` of the state that the next window takes over; 0 if it begins a sequence.

        NaN where nothing was kept: the run was resumed from a checkpoint without a past.
        """
        if state is None or not self.parts:
            return np.full(self.network.parameters.copies, 0.0 if state is None else np.nan)
        return state_staleness(self.network, self.inputs(), state, self.start(len(state)), window=self.steps)

    def inputs(self) -> Array:
        """All inputs that are kept, (T, ..., N, ...)."""
        return np.concatenate([each for part in self.parts for each in part.inputs])

    def start(self, count: int) -> list[Array] | None:
        """The state before them, as `count` arrays; None at a sequence's beginning."""
        start = self.parts[0].start
        return None if start is None else np.split(start, count, axis=-1)

    def state(self) -> list[State]:
        """A copy of everything that is kept."""
        return [{"start": copied(part.start), "inputs": np.concatenate(part.inputs)} for part in self.parts]

    def restore(self, parts: Sequence[State]) -> None:
        """Continue from what `state` gave."""
        self.parts = [Windows(part["start"], [part["inputs"]], len(part["inputs"])) for part in parts]


def past_template(network: Network, inputs: Shaped, batch_size: int) -> Maybe:
    """What the state of a `Past` must match; None where nothing is kept."""
    start = Shaped((batch_size, network.recurrent.state_size), network.dtype)
    return Maybe(Many({"start": Maybe(start), "inputs": inputs}))
