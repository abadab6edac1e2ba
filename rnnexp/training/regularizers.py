"""Regularizers: each adds the gradient of a penalty to the loss's, after the backward pass."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnnexp.algorithms import Algorithm
from rnnexp.checks import UserError, boolean, number
from rnnexp.components import Component
from rnnexp.layers import Network, TimeRNN
from rnnexp.layers.base import mean_over_scored, weight_gradient

Array = NDArray[Any]

#: Squared norm below which a gradient counts as vanished, as in the code of Pascanu et al.
GONE = 1e-20


class Regularizer(Protocol):
    """The interface of a regularizer."""

    def check(self, network: Network) -> None:
        """Raise a `UserError` if it does not apply to this network."""
        ...

    def __call__(self, network: Network) -> Array | float:
        """Add to ``network.parameters.gradient``, as `backward` left it; the penalty, one for each network (...)."""
        ...


class NoRegularizer(Component):
    """The loss alone."""

    def check(self, network: Network) -> None:
        """Any network will do."""

    def __call__(self, network: Network) -> Array | float:
        """Nothing to add."""
        return 0.0


class WeightDecay(Component):
    """strength / 2 * ||W||^2 over all trained weight matrices, biases and initial states left out.

    Krogh & Hertz 1992. Its gradient goes through the optimizer; for decoupled decay see `AdamW`.

    Parameters
    ----------
    strength : float
        lambda, > 0.
    """

    def __init__(self, strength: float = 1e-4) -> None:
        self.strength = number("strength", strength, above=0, hint="regularizer=none turns it off")

    def check(self, network: Network) -> None:
        """Any network will do."""

    def __call__(self, network: Network) -> Array | float:
        """Add strength * W to the gradient of each weight matrix."""
        parameters = network.parameters
        penalty: Array | float = 0.0
        for name, weight in parameters.values.items():
            if name.rpartition(".")[2].startswith("W") and name not in network.design.frozen:
                parameters.grads[name] += each_copy(self.strength, weight) * weight
                flat = weight.reshape(*parameters.copies, -1).astype(np.float64)
                penalty = penalty + self.strength / 2.0 * np.einsum("...i,...i->...", flat, flat)
        return penalty


class Omega(Component):
    """Preserve the gradient's norm on its way back: Pascanu, Mikolov & Bengio 2013, section 3.3.

    With dL/dh_t the gradient of the total loss and v_t = dL/dh_t dh_t/dh_{t-1} the gradient passed back by step t, the
    penalty is the mean of (||v_t||^2 / ||dL/dh_t||^2 - 1)^2 over all steps and sequences with a non-zero gradient. As
    in the paper (equation 10), only the immediate derivative with respect to Wh is taken: states and gradients are
    treated as constants.

    Parameters
    ----------
    strength : float
        Weight of the penalty, > 0; 4 in the paper's text, 2 in its code.
    squared : bool
        Ratio of squared norms, as in the authors' code; otherwise of norms, as in equation 9.
    """

    def __init__(self, strength: float = 2.0, *, squared: bool = True) -> None:
        self.strength = number("strength", strength, above=0, hint="regularizer=none turns it off")
        self.squared = boolean("squared", squared)

    def check(self, network: Network) -> None:
        """Only vanilla layers are supported."""
        for layer in network.recurrent.layers:
            if not isinstance(layer, TimeRNN):
                raise UserError(
                    f"regularizer=omega is defined for cell=rnn only, got {type(layer).__name__}",
                    "use regularizer=weight_decay or none with this cell, or cell=rnn",
                )

    def __call__(self, network: Network) -> Array | float:
        """Add strength * dOmega/dWh to the gradient of every layer's recurrent weights; the weighted penalty."""
        total: Array | float = 0.0
        for layer in network.recurrent.layers:
            assert isinstance(layer, TimeRNN)
            penalty, gradient = omega(*layer.flow(), layer.params[1], squared=self.squared)
            layer.grads[1] += each_copy(self.strength, gradient) * gradient
            total = total + self.strength * penalty
        network.hold()
        return total


def check_way_back(regularizer: Regularizer, algorithm: Algorithm) -> None:
    """Refuse a penalty on the gradient's way back where nothing goes back."""
    if isinstance(regularizer, Omega) and not algorithm.windowed:
        problem = (
            f"regularizer=omega needs a gradient that goes back through time, {type(algorithm).__name__}'s does not"
        )
        raise UserError(problem, "use regularizer=none, or algorithm=bptt")


def each_copy(strength: Any, like: Array) -> Any:
    """A scalar strength unchanged, or those of several networks (...) reshaped and rounded for an array (..., D, H)."""
    if not isinstance(strength, np.ndarray):
        return strength
    return strength.astype(like.dtype).reshape(*strength.shape, *(1,) * (like.ndim - strength.ndim))


def omega(dhs: Array, dpres: Array, Wh: Array, *, squared: bool = True) -> tuple[Any, Array]:
    """Pascanu's penalty and its immediate gradient.

    Parameters
    ----------
    dhs, dpres : arrays (T, ..., N, H)
        dL/dh_t, and the same before the activation, u_t = dL/dh_t * phi'.
    Wh : array (..., H, H)
    squared : bool

    Returns
    -------
    penalty : array (...)
    gradient : array (..., H, H)
        Of the penalty in Wh; dOmega/dWh_io = sum of c v_i u_o, with c = 4 (r - 1) / ||dh||^2 divided by the count, r
        the ratio of the squared norms, or c = 2 (1 - 1 / sqrt(r)) / ||dh||^2 without squaring.
    """
    handed = dpres @ Wh.swapaxes(-1, -2)
    before = np.einsum("...i,...i->...", dhs, dhs, dtype=np.result_type(dhs, np.float64))
    after = np.einsum("...i,...i->...", handed, handed, dtype=np.result_type(handed, np.float64))
    used = np.real(before) >= GONE
    size = np.where(used, before, 1.0)
    ratio = np.where(used, after / size, 1.0)
    share = used / np.maximum(used.sum(axis=(0, -1), keepdims=True), 1)
    if squared:
        penalty, slope = (ratio - 1.0) ** 2, 4.0 * (ratio - 1.0)
    else:
        root = np.sqrt(ratio)
        penalty, slope = (root - 1.0) ** 2, 2.0 * (1.0 - 1.0 / np.where(root == 0, 1.0, root))
    weights = (share * slope / size).astype(handed.dtype)[..., np.newaxis]
    return mean_over_scored(penalty, share), weight_gradient(weights * handed, dpres, out=np.empty_like(Wh))
