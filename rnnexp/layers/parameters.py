"""All parameters of a network in one contiguous vector, all gradients in another, with named views of both."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike

from ..components import Shown
from .base import Array


class Parameters(Shown):
    """One vector of parameters and one of gradients.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Name and shape of every parameter, in the order in which they lie in the vector.
    copies : tuple of int
        Axes before each shape: independent copies of the network.
    dtype : dtype
    vector : array (*copies, P), optional
        An existing vector to share.

    Attributes
    ----------
    vector, gradient : arrays (*copies, P)
        Everything; the views below are windows on them and are only ever written into.
    values, grads : dicts of arrays (*copies, *shape)
        The same numbers by name.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        copies: tuple[int, ...] = (),
        dtype: DTypeLike,
        vector: Array | None = None,
    ) -> None:
        self.shapes = dict(shapes)
        self.copies = copies
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        self.vector: Array = np.zeros((*copies, size), dtype) if vector is None else vector
        self.gradient: Array = np.zeros_like(self.vector)
        self.values = self._views(self.vector)
        self.grads = self._views(self.gradient)

    def _views(self, vector: Array) -> dict[str, Array]:
        views, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + int(np.prod(shape))
            views[name] = vector[..., start:stop].reshape(*self.copies, *shape)
            start = stop
        return views

    def replica(self) -> "Parameters":
        """The same parameter vector with a gradient vector of its own."""
        return Parameters(self.shapes, copies=self.copies, dtype=self.vector.dtype, vector=self.vector)
