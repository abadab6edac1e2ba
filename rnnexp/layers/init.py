"""Initialisers: each draws an array of a given shape from a passed generator.

Matrices are (fan_in, fan_out), applied as ``x @ W``.
"""

from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.checks import InvalidValue, number

Matrix = NDArray[np.float64]


class Initializer(Protocol):
    """Draws a weight matrix."""

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out) in float64."""
        ...


class Normal:
    """Independent N(0, std^2) entries; std = 1 is the standard normal of the teaching notebook.

    Parameters
    ----------
    std : float
        Standard deviation, >= 0.
    """

    def __init__(self, std: float = 1.0) -> None:
        self.std = number("std", std, at_least=0)

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        return self.std * rng.standard_normal(shape)


class Gaussian:
    """Independent N(0, gain^2 / fan_in) entries: the spectral radius of a large square matrix is near `gain`.

    Girko 1985 (the circular law); the g of Sompolinsky, Crisanti & Sommers 1988: with tanh and without input, chaos
    begins at g = 1.

    Parameters
    ----------
    gain : float
        g, >= 0.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("gain", gain, at_least=0)

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        return float(self.gain / np.sqrt(shape[0])) * rng.standard_normal(shape)


class Glorot:
    """gain * U(-a, a) with a = sqrt(6 / (fan_in + fan_out)). Glorot & Bengio 2010, equation 16.

    Parameters
    ----------
    gain : float
        Scale, > 0.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("gain", gain, above=0)

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        limit = np.sqrt(6.0 / sum(shape))
        return self.gain * rng.uniform(-limit, limit, shape)


class Orthogonal:
    """gain * Q with orthonormal rows or columns, uniform over such matrices. Saxe et al. 2014, section 3.

    The QR factors of a Gaussian matrix are made unique by a positive diagonal of R (Mezzadri 2007, section 5);
    without it Q is not uniform.

    Parameters
    ----------
    gain : float
        Common value of all singular values, > 0.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("gain", gain, above=0)

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        tall = rng.standard_normal((max(shape), min(shape)))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return self.gain * (q if shape[0] >= shape[1] else q.T)


class Identity:
    """gain * I, for recurrent weights. Le, Jaitly & Hinton 2015 (IRNN, with relu).

    Parameters
    ----------
    gain : float
        Value on the diagonal, > 0.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("gain", gain, above=0)

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A square matrix (H, H)."""
        if shape[0] != shape[1]:
            raise InvalidValue("identity", shape, "used for a square matrix", "use it for init.recurrent")
        return self.gain * np.eye(shape[0])
