"""One step of a recurrent layer, or a stack, differentiated for each sequence of a batch by itself.

x (N, D) is the step's input and `state` the arrays (N, H) before it. S are the units of the whole state, P the
parameters of the layers: the lowest layer's first, each layer's learned initial states last, which no step depends on.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from rnnexp.layers.base import Array
from rnnexp.layers.recurrent import Recurrent, State
from rnnexp.layers.stack import Stack


def step_jacobians(layer: Recurrent | Stack, x: Array, state: State) -> tuple[Array, Array]:
    """ds_t/ds_{t-1} (N, S, S) and ds_t/dx_t (N, S, D), rows the units after the step."""
    size = layer.state_size
    each = np.broadcast_to(np.eye(size, dtype=state[0].dtype), (len(x), size, size))
    given = [_repeated(array, size) for array in (x, *state)]
    try:
        dx, earlier, _ = layer.step_back(given[0], tuple(given[1:]), _parts(each, state))
        return np.concatenate(earlier, axis=-1), dx
    except ValueError:  # of a cell that knows no axes in front: each sequence by itself
        rows = [tuple(array[n] for array in given) for n in range(len(x))]
    apart = [layer.step_back(own, tuple(before), _parts(each[0], state)) for own, *before in rows]
    return np.stack([np.concatenate(one[1], axis=-1) for one in apart]), np.stack([one[0] for one in apart])


def step_vjp(layer: Recurrent | Stack, x: Array, state: State, vectors: Array) -> tuple[Array, Array]:
    """v^T ds_t/dtheta (N, C, P) and v^T ds_t/dx_t (N, C, D) for C `vectors` v (N, C, S) of each sequence."""
    shape, grads = vectors.shape[:2], list[Array]()
    given = [_repeated(array, shape[1])[:, :, np.newaxis] for array in (x, *state)]
    with suppress(ValueError):  # of a cell that knows no axes in front
        dx, _, grads = layer.step_back(given[0], tuple(given[1:]), _parts(vectors[:, :, np.newaxis], state))
    own = [(*shape, *param.shape) for one in layer.layers for param in one.own_params]
    if [grad.shape for grad in grads] != own:  # or of one that sums over them
        return _one_by_one(layer, x, state, vectors)
    return _flat(layer, [grad.reshape(*shape, -1) for grad in grads]), dx[:, :, 0]


def _one_by_one(layer: Recurrent | Stack, x: Array, state: State, vectors: Array) -> tuple[Array, Array]:
    """The same, with one vector and one sequence at a time."""
    rows: list[Any] = []
    for n, seeds in enumerate(vectors):
        before = tuple(array[n : n + 1] for array in state)
        for vector in seeds:
            dx, _, grads = layer.step_back(x[n : n + 1], before, _parts(vector[np.newaxis], before))
            rows.append((_flat(layer, [grad.reshape(-1) for grad in grads]), dx[0]))
    flat, dxs = (np.stack(part).reshape(*vectors.shape[:2], -1) for part in zip(*rows, strict=True))
    return flat, dxs


def _flat(layer: Recurrent | Stack, grads: Sequence[Array]) -> Array:
    """Gradients (..., p) of the layers' own parameters in one array (..., P), with zeros for the initial states."""
    found, parts = iter(grads), []
    for one in layer.layers:
        parts += [next(found) for _ in one.own_params]
        parts += [np.zeros((*grads[0].shape[:-1], start.size), grads[0].dtype) for start in one.initial_states]
    return np.concatenate(parts, axis=-1)


def _parts(whole: Array, state: State) -> State:
    """A whole state (..., S) as the arrays that it consists of."""
    return tuple(np.split(whole, np.cumsum([array.shape[-1] for array in state])[:-1], axis=-1))


def _repeated(array: Array, count: int) -> Array:
    """(N, D) -> (N, count, D), a view."""
    return np.broadcast_to(array[:, np.newaxis], (len(array), count, array.shape[-1]))
