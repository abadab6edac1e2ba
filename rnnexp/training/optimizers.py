"""Optimizers: each turns the gradient vector into an update of the parameter vector, in place."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnnexp.checks import InvalidValue, boolean, number
from rnnexp.components import Component
from rnnexp.layers import Parameters
from rnnexp.layers.base import row_norms

Array = NDArray[Any]


class Optimizer(Protocol):
    """The interface of an optimizer.

    Attributes
    ----------
    learning_rate : float
        Step size; a schedule scales it for the duration of an update.
    slots : dict of arrays
        Its state between updates.
    """

    learning_rate: float
    slots: dict[str, Array]

    def update(self, vector: Array, gradient: Array) -> None:
        """Change `vector` (..., P) in place, given dL/dvector of the same shape."""
        ...


class SGD(Component):
    """Gradient descent, optionally with momentum.

    v <- momentum * v + g; w <- w - learning_rate * v (Polyak 1964), or with Nesterov momentum
    w <- w - learning_rate * (g + momentum * v), in the form of Sutskever et al. 2013, section 2, that needs no second
    evaluation.

    Parameters
    ----------
    learning_rate : float
        Step size, > 0.
    momentum : float
        Decay of the velocity v, in [0, 1).
    nesterov : bool
        Nesterov momentum; needs momentum > 0.
    """

    def __init__(self, learning_rate: float = 0.1, momentum: float = 0.0, nesterov: bool = False) -> None:
        self.learning_rate = number("learning_rate", learning_rate, above=0)
        self.momentum = number("momentum", momentum, at_least=0, below=1)
        self.nesterov = boolean("nesterov", nesterov)
        if nesterov and not self.momentum:
            raise InvalidValue("momentum", momentum, "a number > 0 and < 1 with nesterov=true", "try 0.9")
        self.slots: dict[str, Array] = {}

    def update(self, vector: Array, gradient: Array) -> None:
        """One step."""
        if not self.momentum:
            vector -= self.learning_rate * gradient
            return
        velocity = _slot(self.slots, "velocity", vector)
        velocity *= self.momentum
        velocity += gradient
        if self.nesterov:
            vector -= self.learning_rate * (gradient + self.momentum * velocity)
        else:
            vector -= self.learning_rate * velocity


class Adagrad(Component):
    """s <- s + g^2; w <- w - learning_rate * g / (sqrt(s) + epsilon). Duchi, Hazan & Singer 2011, the diagonal form.

    Parameters
    ----------
    learning_rate : float
        Step size, > 0.
    epsilon : float
        Added to the root, > 0.
    initial : float
        Initial sum of squares, >= 0.
    """

    def __init__(self, learning_rate: float = 0.1, epsilon: float = 1e-10, initial: float = 0.0) -> None:
        self.learning_rate = number("learning_rate", learning_rate, above=0)
        self.epsilon = number("epsilon", epsilon, above=0)
        self.initial = number("initial", initial, at_least=0)
        self.slots: dict[str, Array] = {}

    def update(self, vector: Array, gradient: Array) -> None:
        """One step."""
        square = _slot(self.slots, "square", vector, self.initial)
        work = gradient * gradient
        square += work
        np.sqrt(square, out=work)
        work += self.epsilon
        np.divide(gradient, work, out=work)
        work *= self.learning_rate
        vector -= work


class RMSProp(Component):
    """s <- decay * s + (1 - decay) * g^2; w <- w - learning_rate * g / (sqrt(s) + epsilon). Tieleman & Hinton 2012.

    Parameters
    ----------
    learning_rate : float
        Step size, > 0.
    decay : float
        Of the mean of squares s, in [0, 1).
    epsilon : float
        Added to the root, >= 0.
    momentum : float
        In [0, 1): v <- momentum * v + g / (sqrt(s) + epsilon), and v replaces the latter.
    initial : float
        Initial s, >= 0; some papers start above zero and use no epsilon.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        decay: float = 0.9,
        epsilon: float = 1e-8,
        momentum: float = 0.0,
        initial: float = 0.0,
    ) -> None:
        self.learning_rate = number("learning_rate", learning_rate, above=0)
        self.decay = number("decay", decay, at_least=0, below=1)
        self.epsilon = number("epsilon", epsilon, at_least=0)
        self.momentum = number("momentum", momentum, at_least=0, below=1)
        self.initial = number("initial", initial, at_least=0)
        if not self.epsilon and not self.initial:
            raise InvalidValue("epsilon", epsilon, "a number > 0 where initial is 0", "try 1e-8")
        self.slots: dict[str, Array] = {}

    def update(self, vector: Array, gradient: Array) -> None:
        """One step."""
        square = _slot(self.slots, "square", vector, self.initial)
        work = gradient * gradient
        work *= 1.0 - self.decay
        square *= self.decay
        square += work
        np.sqrt(square, out=work)
        work += self.epsilon
        np.divide(gradient, work, out=work)
        if self.momentum:
            velocity = _slot(self.slots, "velocity", vector)
            velocity *= self.momentum
            velocity += work
            vector -= self.learning_rate * velocity
        else:
            work *= self.learning_rate
            vector -= work


class Adam(Component):
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
        mean, square = (_slot(self.slots, name, vector) for name in ("mean", "square"))
        updates = self.slots.setdefault("updates", np.zeros(1, np.int64))
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


class AdamW(Adam):
    """Adam with decoupled weight decay: first w <- (1 - learning_rate * weight_decay) * w. Loshchilov & Hutter 2019.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon : float
        See `Adam`.
    weight_decay : float
        lambda, of all parameters, >= 0.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon)
        self.weight_decay = number("weight_decay", weight_decay, at_least=0)

    def update(self, vector: Array, gradient: Array) -> None:
        """One step."""
        vector *= 1.0 - self.learning_rate * self.weight_decay
        super().update(vector, gradient)


def _slot(slots: dict[str, Array], name: str, vector: Array, initial: float = 0.0) -> Array:
    """An optimizer's state array of a given name, created on first use."""
    if name not in slots:
        slots[name] = np.full_like(vector, initial)
    return slots[name]


def update_ratios(parameters: Parameters, before: Array) -> dict[str, float]:
    """||w_after - w_before|| / ||w_before|| of every parameter by name; NaN for one that was all zero."""
    old = Parameters(parameters.shapes, dtype=before.dtype, vector=before).values
    ratios = {}
    for name, value in parameters.values.items():
        size = float(row_norms(old[name].ravel()))
        ratios[name] = float(row_norms((value - old[name]).ravel())) / size if size > 0 else float("nan")
    return ratios
