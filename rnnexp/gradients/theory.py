"""Mean-field theory of a wide random recurrent network: its distance from the edge of chaos."""

from dataclasses import dataclass

import numpy as np

from rnnexp.checks import number, one_of
from rnnexp.components import Shown
from rnnexp.layers.activations import activation as activation_called

#: Activations that are bounded by 1, so that the variance has a fixed point at every gain.
BOUNDED = ("tanh", "sigmoid")

# For expectations over the standard normal. Equal steps integrate an analytic function times a Gaussian better than
# Gauss-Hermite nodes do.
_POINTS = np.linspace(-10.0, 10.0, 10001)
_WEIGHTS = np.exp(-0.5 * _POINTS**2)
_WEIGHTS /= _WEIGHTS.sum()


@dataclass(frozen=True, repr=False)
class MeanField(Shown):
    """The stationary state of a wide network.

    Attributes
    ----------
    variance : float
        q, of a unit's input before the activation.
    chi : float
        Factor by which the mean square of dL/dh grows with each step back; 1 at the edge of chaos.
    """

    also = ("rate",)

    variance: float
    chi: float

    @property
    def rate(self) -> float:
        """Of ||dL/dh||, nats per step back, and the leading Lyapunov exponent: ln(chi) / 2; -inf if chi is 0."""
        with np.errstate(divide="ignore"):
            return float(0.5 * np.log(self.chi))


def mean_field(gain: float, drive: float = 0.0, *, activation: str = "tanh") -> MeanField:
    """Mean-field theory of h_t = phi(x_t Wx + h_{t-1} Wh + b) with independent weights of mean zero, H to infinity.

    q = gain^2 E[phi(sqrt(q) z)^2] + drive and chi = gain^2 E[phi'(sqrt(q) z)^2] with a standard normal z (Poole et al.
    2016; Chen, Pennington & Schoenholz 2018 for recurrent networks).

    Parameters
    ----------
    gain : float
        sqrt(H) times the standard deviation of the entries of Wh, >= 0.
    drive : float
        Variance over the units of x_t Wx + b, >= 0: input weights of variance s and biases of variance r give
        s E[|x|^2] + r.
    activation : {"tanh", "sigmoid"}

    Returns
    -------
    MeanField
        With the largest q that solves the equation, which is the stable one.

    Raises
    ------
    InvalidValue
        If `gain` or `drive` is negative, or the activation has no bound.
    """
    gain = number("gain", gain, at_least=0)
    drive = number("drive", drive, at_least=0)
    phi = activation_called(one_of("activation", activation, BOUNDED))
    low, high = 0.0, gain**2 + drive
    for _ in range(100):  # each halves the interval
        middle = 0.5 * (low + high)
        grown = gain**2 * (phi.forward(np.sqrt(middle) * _POINTS) ** 2 @ _WEIGHTS) + drive
        low, high = (middle, high) if grown > middle else (low, middle)
    slopes = phi.derivative(phi.forward(np.sqrt(high) * _POINTS))
    return MeanField(variance=float(high), chi=float(gain**2 * (slopes**2 @ _WEIGHTS)))
