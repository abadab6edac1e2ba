"""Passes through whole sequences that keep one window of them at a time."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.layers import CRITERIA, Network
from rnnexp.layers.base import Array, row_norms
from rnnexp.layers.fit import check_batch
from rnnexp.layers.recurrent import State
from rnnexp.tasks import Batch

#: Steps of a window.
WINDOW = 200
#: An overflowing gradient is a result and reported as such; no warning is needed.
QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore", "divide": "ignore"}


class Passes:
    """Forward and backward passes through whole sequences, from the initial state.

    Of a long sequence only the states before each window are kept; on the way back, each window is computed again
    (Gruslys et al. 2016, "Memory-efficient backpropagation through time"). So the memory is that of one window, and of
    a state for each window. The windows end with the sequences; the first may be shorter.

    Parameters
    ----------
    network : Network
        Its state and gradient are overwritten.
    batch : Batch
        Sequences (T, N, ...).
    target_kind : {"classes", "values"}, optional
        Where losses are sent back.
    """

    def __init__(self, network: Network, batch: Batch, target_kind: str | None = None) -> None:
        check_batch(network, batch, target_kind)
        self.network, self.batch, self.target_kind = network, batch, target_kind
        edges = [0, *range(len(batch.inputs), 0, -WINDOW)[::-1]]
        self.windows = [slice(start, stop) for start, stop in pairwise(edges)]
        self._before: list[State | None] = []
        self._held: dict[int, State] = {}

    def forward(self) -> Iterator[slice]:
        """The windows, the first one first; the network has just computed the one that is yielded."""
        self.network.reset_state()
        for window in self.windows:
            self.network.forward(self.batch.inputs[window], scored=slice(0, 0))
            yield window
        self.network.reset_state()

    def back(self, mask: NDArray[np.bool_], total: int, *, norms: bool = False) -> Iterator[slice]:
        """The windows, the last one first; the network has just been back through the one that is yielded.

        Its gradient is that window's part of the whole one. Back goes the sum of the losses that `mask` (T, N) marks
        over `total`; `norms` as for `Network.backward`.
        """
        network, criterion = self.network, CRITERIA[str(self.target_kind)]()
        self._prepare()
        later: State | None = None
        for number in reversed(range(len(self.windows))):
            window = self.windows[number]
            scoring = mask[window].any(axis=-1)
            scored: Any = slice(None) if scoring.all() else np.flatnonzero(scoring)
            outputs = self._compute(number, scored)
            if len(outputs):
                part = mask[window][scored]
                criterion.forward(outputs, self.batch.targets[window][scored], part)
                outputs = criterion.backward() * (int(part.sum()) / total)
            network.backward(outputs, norms=norms, later=later)
            later = network.recurrent.dstate
            yield window
        network.reset_state()

    def states_before(self, steps: NDArray[np.int64], sequences: NDArray[np.int64]) -> State:
        """States (R, H) before some steps of some sequences, (R,) each; before step T is after the last one.

        The windows they are in are kept until other ones are asked for.
        """
        self._prepare()
        starts = [window.start for window in self.windows]
        number = np.searchsorted(starts, steps, side="right") - 1
        needed = np.unique(number).tolist()
        self._held = {each: self._held.get(each) or self._states_of(each) for each in needed}
        if len(needed) == 1:
            return tuple(states[steps - starts[needed[0]], sequences] for states in self._held[needed[0]])
        found = tuple(np.empty((len(steps), *states.shape[2:]), states.dtype) for states in self._held[needed[0]])
        for each in needed:
            rows = number == each
            for array, states in zip(found, self._held[each], strict=True):
                array[rows] = states[steps[rows] - starts[each], sequences[rows]]
        return found

    def _states_of(self, number: int) -> State:
        """The states of a window, the one before its first step and the one after its last included."""
        self._compute(number, slice(0, 0))
        self.network.reset_state()
        return tuple(states.copy() for states in self.network.recurrent.state_before(slice(None)))

    def _prepare(self) -> None:
        """Compute the states before each window, unless they are there."""
        if self._before:
            return
        self.network.reset_state()
        self._before = [None]
        for window in self.windows[:-1]:
            self.network.forward(self.batch.inputs[window], scored=slice(0, 0))
            self._before.append(self.network.recurrent.state)
        self.network.reset_state()

    def _compute(self, number: int, scored: Any) -> Array:
        """One window, from the state before it; the outputs of its scored steps."""
        enter(self.network, self._before[number])
        return self.network.forward(self.batch.inputs[self.windows[number]], scored=scored)


def enter(network: Network, state: State | None) -> None:
    """Let the next window start from a state; from the initial one, which may be learned, for None."""
    network.reset_state()
    if state is not None:
        network.recurrent.set_state(*state)


class NormsByStep:
    """Norms (T + 1, N) of the gradient in the states of whole sequences, put together from windows.

    Attributes
    ----------
    of : dict of str to array (T + 1, N)
        ``outputs`` is ||dL/dh_t|| in all layers' h as the next step takes them, ``state`` the same in all that it takes
        (of an LSTM c, too); the others are `Recurrent.norms` beside that of h, and ``layer1``, ... in a stack.
    """

    def __init__(self, passes: Passes) -> None:
        self._network, self._shape = passes.network, passes.batch.mask.shape
        self.of: dict[str, Array] = {}

    def add(self, window: slice) -> None:
        """Take in what the last backward pass through a window left."""
        layer = self._network.recurrent
        found = dict(zip(("outputs", "state"), handed_on_norms(self._network), strict=True))
        found |= {name: own for name, own in (layer.norms or {}).items() if name != "h"}
        if len(layer.layers) > 1:
            found |= {f"layer{k}": one.norms["h"] for k, one in enumerate(layer.layers, 1) if one.norms}
        for name, norms in found.items():
            # Among the smallest numbers rounding can keep a gradient from shrinking any further: these are none.
            norms[norms < np.finfo(self._network.dtype).tiny] = 0.0
            rows = self.of.setdefault(name, np.empty((self._shape[0] + 1, self._shape[1])))
            # Before a window's first step its own loss is missing: that step belongs to the window before.
            first = 0 if window.start == 0 else 1
            rows[window.start + first : window.stop + 1] = norms[first:]


def handed_on_norms(network: Network) -> tuple[Array, Array]:
    """Norms (T + 1, N) of the last gradients in all layers' h, and in the whole state: c of an LSTM, too.

    The state is what the output layer reads and the next step takes (`Recurrent.handed_on`), so that
    dL/dstate_{t-1} = dL/dstate_t dstate_t/dstate_{t-1}, with the Jacobians of which the Lyapunov exponents are made.
    """
    state = network.recurrent.handed_on()
    each = len(state) // len(network.recurrent.layers)
    outputs = row_norms(np.concatenate(state[::each], axis=-1))
    return outputs, outputs if each == 1 else row_norms(np.concatenate(state, axis=-1))
