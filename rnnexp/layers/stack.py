"""Recurrent layers on top of one another, which together are one recurrent layer."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .base import Array, Layer
from .recurrent import Recurrent, State


class Stack(Layer):
    """Recurrent layers, each fed with the states of the one below; the top one's are the output.

    It has the interface of a single `Recurrent` layer. Its state is that of all layers, the lowest first, since the
    past may reach the loss through any of them. In `norms` a path through several layers of one step counts in each of
    them; `handed_on` has it once.

    Parameters
    ----------
    layers : sequence of Recurrent
        All of one class; the lowest first, all stateful or none, time first.
    **options
        Those of `Layer`: ``batch_first``, ``reuse``.
    """

    def __init__(self, layers: Sequence[Recurrent], **options: Any) -> None:
        if len({type(layer) for layer in layers}) != 1:
            raise TypeError("the layers of a stack must be of one class")
        params = [array for layer in layers for array in layer.params]
        grads = [array for layer in layers for array in layer.grads]
        super().__init__(params, grads=grads, **options)
        self.layers = list(layers)
        self.max_slope = float("nan")

    @property
    def state(self) -> State | None:
        """After the last window: every layer's, the lowest first; None before the first window."""
        return _together([layer.state for layer in self.layers])

    @property
    def from_start(self) -> bool:
        """Whether the last window began at the initial state."""
        return self.layers[0].from_start

    @property
    def h(self) -> Array | None:
        """The top layer's output state after the last window (..., N, H)."""
        return self.layers[-1].h

    @property
    def state_size(self) -> int:
        """Units of the whole state, of all layers."""
        return sum(layer.state_size for layer in self.layers)

    @property
    def dh(self) -> Array | None:
        """dL/dh of the top layer for the state before the window's first step, left by `backward`."""
        return self.layers[-1].dh

    @property
    def dstate(self) -> State | None:
        """dL/dstate for the state before the window's first step, left by `backward`."""
        return _together([layer.dstate for layer in self.layers])

    @property
    def norms(self) -> dict[str, Array] | None:
        """||dL/dh_t|| (and ||dL/dc_t||) over all layers together, (T + 1, ..., N)."""
        each = [layer.norms for layer in self.layers]
        if each[0] is None:
            return None
        # hypot neither over- nor underflows on the way.
        return {name: np.hypot.reduce([norms[name] for norms in each if norms]) for name in each[0]}

    @property
    def dh_norms(self) -> Array | None:
        """||dL/dh_t|| over all layers together, (T + 1, ..., N)."""
        return None if self.norms is None else self.norms["h"]

    def _parts(self, arrays: Sequence[Any]) -> list[tuple[Any, ...]]:
        """A flat sequence of states, as a tuple for each layer."""
        parts, start = [], 0
        for layer in self.layers:
            parts.append(tuple(arrays[start : start + len(layer.state_names)]))
            start += len(layer.state_names)
        return parts

    def set_state(self, *state: ArrayLike) -> None:
        """Let the next window start from `state`: every layer's, the lowest first."""
        needed = sum(len(layer.state_names) for layer in self.layers)
        if not needed - len(self.layers[-1].state_names) < len(state) <= needed:
            raise TypeError(f"the state of the stack is {needed} arrays, got {len(state)}")
        for layer, part in zip(self.layers, self._parts(state), strict=True):
            layer.set_state(*part)

    def reset_state(self) -> None:
        """Let the next window start from the initial states."""
        for layer in self.layers:
            layer.reset_state()

    def forward(self, xs: ArrayLike, first: int = 0) -> Array:
        """States of the top layer: xs (T, ..., N, D) -> hs (T, ..., N, H); `first` as for `Recurrent`."""
        hs = self._given(xs)
        for layer in self.layers:
            hs = layer.forward(hs, first)
        return self._returned(hs)

    def backward(self, dhs: ArrayLike, *, later: State | None = None, **options: Any) -> Array:
        """dL/dhs (T, ..., N, H) of the top layer -> dL/dxs (T, ..., N, D); options as for `Recurrent`."""
        dxs = self._given(dhs)
        parts = self._parts(later) if later else [None] * len(self.layers)
        for layer, part in zip(reversed(self.layers), reversed(parts), strict=True):
            dxs = layer.backward(dxs, later=part, **options)
        return self._returned(dxs)

    def handed_on(self) -> State:
        """dL/dstate_t of all layers, as `Recurrent.handed_on`: only the top layer's h is read by the output layer."""
        below = [array for layer in self.layers[:-1] for array in layer.through_next_step()]
        return (*below, *self.layers[-1].handed_on())

    def drop(self, steps: int) -> None:
        """Forget the oldest `steps` steps of the window."""
        for layer in self.layers:
            layer.drop(steps)

    @property
    def states(self) -> Array:
        """Output states of all layers, concatenated: (T + 1, ..., N, L * H), the one before the first step included."""
        return np.concatenate([layer.states for layer in self.layers], axis=-1)

    def state_before(self, step: int | slice) -> State:
        """The state before a step of the last window, as `set_state` takes it, or before each step of a slice."""
        return tuple(array for layer in self.layers for array in layer.state_before(step))

    def slopes(self) -> Array:
        """phi' of the units of all layers, concatenated: (T, ..., N, L * H)."""
        return np.concatenate([layer.slopes() for layer in self.layers], axis=-1)

    def gates(self) -> dict[str, Array]:
        """Every gate of the units of all layers, concatenated: each (T, ..., N, L * H)."""
        each = [layer.gates() for layer in self.layers]
        return {name: np.concatenate([gates[name] for gates in each], axis=-1) for name in each[0]}

    def recurrent_weights(self) -> list[Array]:
        """Every layer's matrix: the eigenvalues of the whole step are theirs together, since it is block-triangular."""
        return [matrix for layer in self.layers for matrix in layer.recurrent_weights()]

    def after_each_step(self, dhs: Array) -> State:
        """Gradients in the states of all layers after each step from those in the top layer's outputs alone."""
        below = [np.zeros_like(dhs) for layer in self.layers[:-1] for _ in layer.state_names]
        return (*below, *self.layers[-1].after_each_step(dhs))

    def step_back(self, x: Array, state: State, dstate: State) -> tuple[Array, State, list[Array]]:
        """Back through one step of all layers, as `Recurrent.step_back`; gradients of the lowest layer first."""
        xs, before = [x], self._parts(state)
        for layer, part in zip(self.layers[:-1], before, strict=False):
            xs.append(layer.step(xs[-1], part)[0])
        earlier: list[Array] = []
        grads: list[Array] = []
        dx: Any = 0.0
        for layer, *given, after in reversed(list(zip(self.layers, xs, before, self._parts(dstate), strict=True))):
            dx, own_earlier, own_grads = layer.step_back(*given, (after[0] + dx, *after[1:]))
            earlier[:0], grads[:0] = own_earlier, own_grads
        return dx, tuple(earlier), grads

    def jacobians(self, sequence: int = 0, steps: Any = slice(None)) -> Array:
        """d state_t / d state_{t-1} of one sequence of the last window: (T, ..., S, S), S over all layers."""
        blocks = []
        for at, layer in enumerate(self.layers):
            # This layer's earlier state reaches its own next one, and within the step those of the layers above.
            row = self._upwards(at, layer.jacobians(sequence, steps), sequence, steps)
            below = [np.zeros((*row[0].shape[:-1], lower.state_size), row[0].dtype) for lower in self.layers[:at]]
            blocks.append(np.concatenate(below + row, axis=-1))
        return np.concatenate(blocks, axis=-2)

    def input_jacobians(self, sequence: int = 0, steps: Any = slice(None)) -> Array:
        """d state_t / d x_t of one sequence of the last window: (T, ..., D, S), S over all layers."""
        lowest = self.layers[0].input_jacobians(sequence, steps)
        return np.concatenate(self._upwards(0, lowest, sequence, steps), axis=-1)

    def _upwards(self, at: int, block: Array, sequence: int, steps: Any) -> list[Array]:
        """From derivatives of the state of layer `at` to those of it and all layers above, within one step."""
        blocks = [block]
        for below, above in pairwise(self.layers[at:]):
            blocks.append(blocks[-1][..., : below.hidden_size] @ above.input_jacobians(sequence, steps))
        return blocks


def _together(states: list[State | None]) -> State | None:
    """Every layer's arrays in one tuple; None if a layer has none yet."""
    return None if None in states else tuple(array for state in states for array in state or ())
