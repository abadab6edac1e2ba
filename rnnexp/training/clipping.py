"""Gradient clipping; each rule returns the norm before clipping."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnnexp.checks import number
from rnnexp.components import Component
from rnnexp.layers.base import row_norms

Array = NDArray[Any]


class Clipping(Protocol):
    """The interface of a clipping rule."""

    def __call__(self, gradient: Array) -> tuple[Array, Array]:
        """Change `gradient` (..., P) in place; its norm before (...) in float64, and whether it was clipped (...)."""
        ...


class NormClipping(Component):
    """If ||g|| > threshold, g <- g * threshold / ||g||. Pascanu, Mikolov & Bengio 2013, algorithm 1.

    Parameters
    ----------
    threshold : float
        Largest norm that passes unchanged, > 0.
    """

    def __init__(self, threshold: float = 1.0) -> None:
        self.threshold = number("threshold", threshold, above=0, hint="clipping=none turns clipping off")

    def __call__(self, gradient: Array) -> tuple[Array, Array]:
        """Clip in place; the norm before, and whether it was above the threshold."""
        norm = row_norms(gradient)
        clipped = norm > self.threshold
        if clipped.any():
            # Dividing by infinity would hide a non-finite gradient, which the loop has to detect.
            scale = np.where(clipped & np.isfinite(norm), self.threshold / np.maximum(norm, self.threshold), 1.0)
            gradient *= scale.astype(gradient.dtype)[..., np.newaxis]
        return norm, clipped


class ValueClipping(Component):
    """Clip every element to [-threshold, threshold], which may change the direction. Graves 2013, section 2.1.

    Parameters
    ----------
    threshold : float
        Largest absolute value that passes unchanged, > 0.
    """

    def __init__(self, threshold: float = 1.0) -> None:
        self.threshold = number("threshold", threshold, above=0, hint="clipping=none turns clipping off")

    def __call__(self, gradient: Array) -> tuple[Array, Array]:
        """Clip in place; the norm before, and whether any element was beyond the threshold."""
        norm = row_norms(gradient)
        # Non-finite elements are left for the loop to detect.
        clipped = np.isfinite(norm) & (np.abs(gradient).max(axis=-1, initial=0.0) > self.threshold)
        if np.any(clipped):
            limited = np.clip(gradient, -self.threshold, self.threshold)
            np.copyto(gradient, limited, where=clipped[..., np.newaxis])
        return norm, clipped


class NoClipping(Component):
    """Leave the gradient as it is."""

    def __call__(self, gradient: Array) -> tuple[Array, Array]:
        """The norm, and False."""
        norm = row_norms(gradient)
        return norm, np.False_ if norm.ndim == 0 else np.zeros(norm.shape, bool)  # type: ignore[return-value]
