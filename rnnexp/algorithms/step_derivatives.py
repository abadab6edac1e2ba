"""One step of the last window of a recurrent layer, or a stack, differentiated for each sequence by itself.

S are the units of the whole state, P the parameters of the layers: the lowest layer's first, each layer's learned
initial states last, which no step depends on.
"""

from abc import ABC, abstractmethod
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from typing import Protocol, cast

import numpy as np

from rnnexp.layers.base import Array
from rnnexp.layers.recurrent import Recurrent, State
from rnnexp.layers.stack import Stack


class StepDerivatives(ABC):
    """Step t; `first` if the sequence begins with it."""

    def __init__(self, layer: Recurrent | Stack, t: int) -> None:
        self.first = t == 0 and layer.from_start

    @property
    @abstractmethod
    def onward(self) -> Array:
        """D_t = ds_t/ds_{t-1} (N, S, S), rows the units after the step."""

    @property
    @abstractmethod
    def from_input(self) -> Array:
        """ds_t/dx_t (N, S, D)."""

    @abstractmethod
    def vjp(self, vectors: Array) -> Array:
        """v^T ds_t/dtheta (N, C, P) for C vectors v (N, C, S) of each sequence, or (1, C, S) for all."""


def derivatives_at(layer: Recurrent | Stack, t: int) -> StepDerivatives:
    """Those of step t of the layer's last window."""
    if isinstance(layer, Stack):
        return _OfStack(layer, t)
    return ByFormula(layer, t) if has_formula(layer) else ByStepBack(layer, t)


class Slopes(Protocol):
    """A layer that knows how unit j after a step depends on unit j of its products, and of the state before."""

    def step_slopes(self, t: int) -> tuple[Array, Array, Array | None]:
        """Of step t of the last window, for A states after it and G gates.

        d state_a/d(x Wx_g + b_g) and d state_a/d(h_prev Wh_g), each (N, A, G, H); and d state_a/d(state_b before) apart
        from these products, in a shape that broadcasts to (N, A, A, H), or None where that is zero.
        """


def has_formula(layer: Recurrent) -> bool:
    """Whether its very class has `step_slopes`: one derived from it may have changed the step."""
    return "step_slopes" in vars(type(layer))


class ByFormula(StepDerivatives):
    """From the `step_slopes` i, r and k of one layer, for unit j of state a, and gate g.

    ::

        ds_aj/dh_k = sum_g r_agj Wh_gkj, and k      ds_aj/dx_d = sum_g i_agj Wx_gdj
        ds_aj/dWh_gkj = r_agj h_k      ds_aj/dWx_gdj = i_agj x_d      ds_aj/db_gj = i_agj      ds_aj/dbn_j = r_anj
    """

    def __init__(self, layer: Recurrent, t: int) -> None:
        super().__init__(layer, t)
        self.layer, self.x, self.h = layer, layer._xs[t], layer._states[0][t]
        self.inputs, self.recurrent, self.kept = cast(Slopes, layer).step_slopes(t)

    @cached_property
    def onward(self) -> Array:
        """D_t (N, S, S)."""
        count, states, gates, size = self.recurrent.shape
        found = np.zeros((count, states, size, states, size), self.recurrent.dtype)
        Wh = self.layer.params[1].reshape(gates, size, size)
        np.einsum("nagj,gkj->najk", self.recurrent, Wh, out=found[:, :, :, 0])
        if self.kept is not None:
            np.einsum("najbj->nabj", found)[...] += self.kept
        return found.reshape(count, states * size, states * size)

    @cached_property
    def from_input(self) -> Array:
        """ds_t/dx_t (N, S, D)."""
        count, states, gates, size = self.inputs.shape
        Wx = self.layer.params[0].reshape(gates, -1, size)
        found: Array = np.einsum("nagj,gdj->najd", self.inputs, Wx)
        return found.reshape(count, states * size, -1)

    def vjp(self, vectors: Array) -> Array:
        """v^T ds_t/dtheta (N, C, P)."""
        count, states, _, size = self.inputs.shape
        own, shape = vectors.reshape(*vectors.shape[:2], states, size), (count, vectors.shape[1])
        dinputs = np.einsum("ncaj,nagj->ncgj", own, self.inputs)
        same = self.recurrent is self.inputs
        drecurrent = dinputs if same else np.einsum("ncaj,nagj->ncgj", own, self.recurrent)
        found = {
            "Wx": self.x[:, np.newaxis, np.newaxis, :, np.newaxis] * dinputs[..., np.newaxis, :],
            "Wh": self.h[:, np.newaxis, np.newaxis, :, np.newaxis] * drecurrent[..., np.newaxis, :],
            "b": dinputs,
            "bn": drecurrent[:, :, -1],
        }
        return _flat(self.layer, [found[name] for name in self.layer.parameter_shapes(1, 1)], shape)


class ByStepBack(StepDerivatives):
    """Through the `step_back` of one layer, with a vector for each unit."""

    def __init__(self, layer: Recurrent, t: int) -> None:
        super().__init__(layer, t)
        self.layer, self.x, self.state = layer, layer._xs[t], layer.state_before(t)

    @cached_property
    def _jacobians(self) -> tuple[Array, Array]:
        size = self.layer.state_size
        each = np.broadcast_to(np.eye(size, dtype=self.state[0].dtype), (len(self.x), size, size))
        given = [_repeated(array, size) for array in (self.x, *self.state)]
        try:
            dx, earlier, _ = self.layer.step_back(given[0], tuple(given[1:]), self._parts(each))
            return np.concatenate(earlier, axis=-1), dx
        except ValueError:  # of a cell that knows no axes in front: each sequence by itself
            rows = [tuple(array[n] for array in given) for n in range(len(self.x))]
        apart = [self.layer.step_back(own, tuple(before), self._parts(each[0])) for own, *before in rows]
        return np.stack([np.concatenate(one[1], axis=-1) for one in apart]), np.stack([one[0] for one in apart])

    @cached_property
    def onward(self) -> Array:
        """D_t (N, S, S)."""
        return self._jacobians[0]

    @cached_property
    def from_input(self) -> Array:
        """ds_t/dx_t (N, S, D)."""
        return self._jacobians[1]

    def vjp(self, vectors: Array) -> Array:
        """v^T ds_t/dtheta (N, C, P)."""
        vectors, grads = np.broadcast_to(vectors, (len(self.x), *vectors.shape[1:])), list[Array]()
        shape = vectors.shape[:2]
        given = [_repeated(array, shape[1])[:, :, np.newaxis] for array in (self.x, *self.state)]
        with suppress(ValueError):  # of a cell that knows no axes in front
            grads = self.layer.step_back(given[0], tuple(given[1:]), self._parts(vectors[:, :, np.newaxis]))[2]
        if [grad.shape for grad in grads] != [(*shape, *param.shape) for param in self.layer.own_params]:
            grads = self._one_by_one(vectors)  # or of one that sums over them
        return _flat(self.layer, grads, shape)

    def _one_by_one(self, vectors: Array) -> list[Array]:
        """The same, with one vector and one sequence at a time."""
        rows: list[list[Array]] = []
        for n, seeds in enumerate(vectors):
            before = tuple(array[n : n + 1] for array in self.state)
            rows += [
                self.layer.step_back(self.x[n : n + 1], before, self._parts(seed[np.newaxis]))[2] for seed in seeds
            ]
        return [np.stack(each) for each in zip(*rows, strict=True)]

    def _parts(self, whole: Array) -> State:
        """A whole state (..., S) as the arrays that it consists of."""
        return tuple(np.split(whole, len(self.state), axis=-1))


class _OfStack(StepDerivatives):
    """Of layers that act on those above them within the step, through their output h, the first state."""

    def __init__(self, layer: Stack, t: int) -> None:
        super().__init__(layer, t)
        self.each = [derivatives_at(one, t) for one in layer.layers]
        starts = np.cumsum([0, *(one.state_size for one in layer.layers)]).tolist()
        self.states = [slice(*ends) for ends in pairwise(starts)]
        self.outputs = [slice(at, at + one.hidden_size) for at, one in zip(starts, layer.layers, strict=False)]

    @cached_property
    def onward(self) -> Array:
        own, size = [one.onward for one in self.each], self.states[-1].stop
        whole = np.zeros((len(own[0]), size, size), own[0].dtype)
        for number, rows in enumerate(self.states):
            if number:
                whole[:, rows] = self.each[number].from_input @ whole[:, self.outputs[number - 1]]
            whole[:, rows, rows] = own[number]
        return whole

    @cached_property
    def from_input(self) -> Array:
        found = [self.each[0].from_input]
        for one, below in zip(self.each[1:], self.outputs, strict=False):
            found.append(one.from_input @ found[-1][:, : below.stop - below.start])
        return np.concatenate(found, axis=1)

    def vjp(self, vectors: Array) -> Array:
        found: list[Array] = []
        vectors = np.repeat(vectors, len(self.each[-1].from_input) // len(vectors), axis=0)
        for number in reversed(range(len(self.each))):
            own = vectors[..., self.states[number]]
            found.insert(0, self.each[number].vjp(own))
            if number:
                vectors[..., self.outputs[number - 1]] += own @ self.each[number].from_input
        return np.concatenate(found, axis=-1)


def _flat(layer: Recurrent, grads: list[Array], shape: tuple[int, ...]) -> Array:
    """Gradients of the layer's own parameters in one array (*shape, P), with zeros for the initial states."""
    grads = grads + [np.zeros((*shape, start.size), grads[0].dtype) for start in layer.initial_states]
    return np.concatenate([grad.reshape(*shape, -1) for grad in grads], axis=-1)


def _repeated(array: Array, count: int) -> Array:
    """(N, D) -> (N, count, D), a view."""
    return np.broadcast_to(array[:, np.newaxis], (len(array), count, array.shape[-1]))
