"""Activations, with the derivative written in terms of the output, as backpropagation needs it.

Each is a pair of ufunc-like functions with an optional ``out``; complex input passes through unharmed, so that a
complex-step check of a whole network works.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..checks import one_of
from .base import Array


def relu(x: Array, out: Array | None = None) -> Array:
    """max(x, 0); for complex input, decided by the real part."""
    if np.iscomplexobj(x):
        return np.multiply(x, np.real(x) > 0, out=out)
    return np.maximum(x, 0.0, out=out)


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-x)), written as (1 + tanh(x / 2)) / 2, which cannot overflow."""
    out = np.asarray(np.multiply(x, 0.5, out=out))
    np.tanh(out, out=out)
    np.add(out, 1.0, out=out)
    return np.multiply(out, 0.5, out=out)


def identity(x: Array, out: Array | None = None) -> Array:
    """x itself."""
    return np.positive(x, out=out)


def diff_tanh(y: Array, out: Array | None = None) -> Array:
    """Derivative of tanh from its output y = tanh(x): 1 - y * y."""
    return np.subtract(1.0, np.multiply(y, y, out=out), out=out)


def diff_relu(y: Array, out: Array | None = None) -> Array:
    """Derivative of relu from its output: 1 where y > 0, else 0."""
    out = np.empty_like(y) if out is None else out
    out[...] = np.real(y) > 0
    return out


def diff_identity(y: Array, out: Array | None = None) -> Array:
    """Derivative of the identity: 1 everywhere."""
    out = np.empty_like(y) if out is None else out
    out[...] = 1.0
    return out


def diff_sigmoid(y: Array, out: Array | None = None) -> Array:
    """Derivative of the sigmoid from its output: y (1 - y)."""
    return np.subtract(y, np.multiply(y, y, out=out), out=out)


@dataclass(frozen=True)
class Activation:
    """An elementwise function, its derivative from the output, and the largest value of that derivative.

    Attributes
    ----------
    name : str
    forward : callable
        ``forward(x, out=None)``.
    derivative : callable
        ``derivative(y, out=None)`` with ``y = forward(x)``.
    max_slope : float
        sup |phi'|, the gamma of Pascanu et al. 2013, section 2.1: 1 for tanh, 1/4 for the sigmoid.
    """

    name: str
    forward: Callable[..., Array]
    derivative: Callable[..., Array]
    max_slope: float

    def __repr__(self) -> str:
        return repr(self.name)


ACTIVATIONS = {
    "tanh": Activation("tanh", np.tanh, diff_tanh, 1.0),
    "relu": Activation("relu", relu, diff_relu, 1.0),
    "identity": Activation("identity", identity, diff_identity, 1.0),
    "sigmoid": Activation("sigmoid", sigmoid, diff_sigmoid, 0.25),
}


def activation(name: str) -> Activation:
    """The activation called `name`; `InvalidValue` names those there are."""
    return ACTIVATIONS[one_of("activation", name, ACTIVATIONS)]
