"""What the layers with a class of their own for one step share, such as `TimeRNN` with `RNN`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .base import Array, check_shapes
from .recurrent import Recurrent, State


def check_parameters(owner: Any, layer: type[Recurrent], params: Sequence[Array]) -> None:
    """Raise a ValueError that names `owner`'s class if `params` are not as `layer.parameter_shapes` has them."""
    shapes = layer.parameter_shapes(params[0].shape[-2], params[1].shape[-1])
    fits = {name: (array, shape) for (name, shape), array in zip(shapes.items(), params, strict=False)}
    check_shapes(type(owner).__name__, **fits)


class TimeCell(Recurrent):
    """A window of steps of a cell: an object with ``forward(x, *state)``, ``backward(*dstate)`` and ``grads``.

    Parameters
    ----------
    params : sequence of arrays
        Wx and Wh first.
    **options
        Those of `Recurrent`.
    """

    def __init__(self, params: Sequence[ArrayLike], **options: Any) -> None:
        super().__init__(params, hidden_size=np.shape(params[1])[-1], **options)
        check_parameters(self, type(self), self.params)

    def _cell(self) -> Any:
        """The cell of one step, on this layer's parameters."""
        raise NotImplementedError

    def step(self, x: Array, state: State) -> State:
        """One step, as the cell takes it."""
        new = self._cell().forward(x, *state)
        return new if isinstance(new, tuple) else (new,)

    def step_back(self, x: Array, state: State, dstate: State) -> tuple[Array, State, list[Array]]:
        """Back through one step, as the cell goes."""
        cell = self._cell()
        cell.forward(x, *state)
        dx, *earlier = cell.backward(*dstate)
        return dx, tuple(earlier), list(getattr(cell, "unsummed", cell.grads))

    def _check_input(self, xs: Array) -> None:
        if xs.shape[-1] != self.params[0].shape[-2]:
            check_shapes(type(self).__name__, xs=(xs, (self.params[0].shape[-2],)))
