"""Optimizers: each turns the gradient vector into an update of the parameter vector, in place."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnnexp.checks import number

Array = NDArray[Any]


class Optimizer(Protocol):
    """What `train` asks of an optimizer.

    Attributes
    ----------
    slots : dict of arrays
        Everything that it remembers from one update to the next.
    """

    slots: dict[str, Array]

    def update(self, vector: Array, gradient: Array) -> None:
        """Change `vector` (..., P) in place, given dL/dvector of the same shape."""
        ...


class SGD:
    """Gradient descent: w <- w - learning_rate * g.

    Parameters
    ----------
    learning_rate : float
        Step size, > 0.
    """

    def __init__(self, learning_rate: float = 0.1) -> None:
        self.learning_rate = number("learning_rate", learning_rate, above=0)
        self.slots: dict[str, Array] = {}

    def update(self, vector: Array, gradient: Array) -> None:
        """One step."""
        vector -= self.learning_rate * gradient


class Adam:
    """Adam with bias correction. Kingma & Ba 2015, algorithm 1.

    Parameters
    ----------
    learning_rate : float
        alpha, > 0.
    beta1, beta2 : float
        Decay of the first and second moments, in [0, 1).
    epsilon : float
        Added to the root of the second moment, > 0.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        self.learning_rate = number("learning_rate", learning_rate, above=0)
        self.beta1 = number("beta1", beta1, at_least=0, below=1)
        self.beta2 = number("beta2", beta2, at_least=0, below=1)
        self.epsilon = number("epsilon", epsilon, above=0)
        self.slots: dict[str, Array] = {}

    def update(self, vector: Array, gradient: Array) -> None:
        """One step."""
        if not self.slots:
            self.slots = {name: np.zeros_like(vector) for name in ("mean", "square")}
            self.slots["updates"] = np.zeros(1, np.int64)
        mean, square, updates = (self.slots[name] for name in ("mean", "square", "updates"))
        work = np.empty_like(vector)
        updates += 1
        mean *= self.beta1
        np.multiply(gradient, 1.0 - self.beta1, out=work)
        mean += work
        square *= self.beta2
        np.multiply(gradient, gradient, out=work)
        work *= 1.0 - self.beta2
        square += work
        count = int(updates[0])
        np.divide(square, 1.0 - self.beta2**count, out=work)
        np.sqrt(work, out=work)
        work += self.epsilon
        np.divide(mean, work, out=work)
        work *= self.learning_rate / (1.0 - self.beta1**count)
        np.subtract(vector, work, out=vector)
