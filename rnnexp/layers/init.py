"""Initialisers: each draws an array of a given shape from a passed generator.

Matrices are (fan_in, fan_out), applied as ``x @ W``.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..checks import InvalidValue, integer, number, show
from ..components import Component

Matrix = NDArray[np.float64]


class Initializer(Protocol):
    """Draws a weight matrix."""

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out) in float64."""
        ...


class Scaled(Component):
    """An initialiser with a common factor, of which `Identity` makes the diagonal, `Orthogonal` all singular values.

    Parameters
    ----------
    gain : float
        > 0.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("gain", gain, above=0)


class Normal(Component):
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


class Gaussian(Component):
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


class Uniform(Component):
    """Independent U(-limit, limit) entries, as in Hochreiter & Schmidhuber 1997 (limit 0.1).

    Parameters
    ----------
    limit : float
        Largest absolute value, >= 0.
    """

    def __init__(self, limit: float = 0.1) -> None:
        self.limit = number("limit", limit, at_least=0)

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        # Of a limit of -0.0 NumPy says that it is below 0.0.
        return rng.uniform(-abs(self.limit), abs(self.limit), shape)


class LeCun(Scaled):
    """gain * U(-a, a) with a = sqrt(3 / fan_in), variance gain^2 / fan_in. LeCun et al. 1998, section 4.6."""

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        limit = np.sqrt(3.0 / shape[0])
        return self.gain * rng.uniform(-limit, limit, shape)


class Glorot(Scaled):
    """gain * U(-a, a) with a = sqrt(6 / (fan_in + fan_out)). Glorot & Bengio 2010, equation 16."""

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        limit = np.sqrt(6.0 / sum(shape))
        return self.gain * rng.uniform(-limit, limit, shape)


class Orthogonal(Scaled):
    """gain * Q with orthonormal rows or columns, uniform over such matrices. Saxe et al. 2014, section 3.

    The QR factors of a Gaussian matrix are made unique by a positive diagonal of R (Mezzadri 2007, section 5);
    without it Q is not uniform.
    """

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        tall = rng.standard_normal((max(shape), min(shape)))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return self.gain * (q if shape[0] >= shape[1] else q.T)


class Identity(Scaled):
    """gain * I, for recurrent weights. Le, Jaitly & Hinton 2015 (IRNN, with relu)."""

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        _check_square("Identity", shape)
        return self.gain * np.eye(shape[0])


class Sparse(Component):
    """A few N(0, 1) entries out of each unit, all scaled to a given spectral radius, for recurrent weights.

    With the defaults, the smart_tanh of Pascanu, Mikolov & Bengio 2013: their code zeroes the rows of W_hh but for 15
    entries and multiplies h W_hh, as here, so that each unit drives 15 others. (The sparse initialisation of Martens
    2010 bounds the connections into a unit instead; from memory.) The scaling is that of echo state networks (Jaeger
    2001).

    Parameters
    ----------
    non_zeros : int
        Entries of each row, that is out of each unit, from 1 to H.
    spectral_radius : float
        Largest modulus of an eigenvalue, > 0.
    """

    def __init__(self, non_zeros: int = 15, spectral_radius: float = 0.95) -> None:
        self.non_zeros = integer("non_zeros", non_zeros, at_least=1)
        self.spectral_radius = number("spectral_radius", spectral_radius, above=0)

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        _check_square("Sparse", shape)
        if self.non_zeros > shape[0]:
            hint = f"there are no more units that a unit can drive: try {max(1, shape[0] // 2)}"
            raise InvalidValue("non_zeros", self.non_zeros, f"<= hidden_size, which is {shape[0]}", hint)
        matrix = np.zeros(shape)
        for unit in range(shape[0]):
            matrix[unit, rng.permutation(shape[1])[: self.non_zeros]] = rng.standard_normal(self.non_zeros)
        matrix *= self.spectral_radius / np.abs(np.linalg.eigvals(matrix)).max()
        return matrix


class Values(Component):
    """Given numbers: one for all entries, a row for all rows, or the whole matrix.

    Parameters
    ----------
    values : float, or (nested) sequence of floats
        Whatever NumPy broadcasts to the shape (fan_in, fan_out).
    """

    def __init__(self, values: Any) -> None:
        self.values = _numbers("values", values)

    def configuration(self) -> dict[str, Any]:
        """The numbers, unless they are many."""
        return {"values": self.values.tolist() if self.values.size <= 20 else self.values}

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        try:
            return np.broadcast_to(self.values, shape).copy()
        except ValueError:
            allowed = f"numbers for the shape {shape}, or one number, or one row of {shape[1]}"
            raise InvalidValue("values", self.values.tolist(), allowed) from None


class Bands(Component):
    """Constant diagonals, zero elsewhere.

    Parameters
    ----------
    bands : sequence of (int, float)
        Diagonal and value: 0 is the main diagonal; k > 0 the k-th above it, by which unit i drives unit i + k.
    """

    def __init__(self, bands: Sequence[tuple[int, float]]) -> None:
        pairs = _numbers("bands", bands)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or np.any(pairs[:, 0] % 1):
            raise InvalidValue("bands", bands, "pairs of a diagonal and its value, such as [[0, 0.5], [-1, 0.5]]")
        self.bands = [(int(offset), float(value)) for offset, value in pairs]

    def __call__(self, shape: tuple[int, int], *, rng: Generator) -> Matrix:
        """A matrix (fan_in, fan_out)."""
        matrix = np.zeros(shape)
        for offset, value in self.bands:
            matrix += value * np.eye(*shape, k=offset)
        return matrix


def _check_square(name: str, shape: tuple[int, int]) -> None:
    if shape[0] != shape[1]:
        raise InvalidValue("_target_", name, f"another initialiser for a matrix of shape {shape}: this one is square")


def _numbers(key: str, values: Any) -> Matrix:
    """Finite numbers, possibly nested, as an array."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iuf" or array.ndim > 2 or not array.size or not np.isfinite(array).all():
            raise ValueError
    except ValueError:
        raise InvalidValue(key, show(values), "a finite number, a row, or rows of equal length") from None
    return array.astype(np.float64)
