"""Spectra of the recurrent weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def spectral_radius(recurrent_weights: NDArray[Any]) -> float:
    """Largest modulus of an eigenvalue of Wh (H, H); NaN if Wh is not finite.

    For a linear recurrence the gradient grows by this factor a step in the long run; rho > 1 is necessary for it to
    explode (Pascanu, Mikolov & Bengio 2013, section 2.1, for the linear case).
    """
    if not np.isfinite(recurrent_weights).all():
        return float("nan")
    return float(np.abs(np.linalg.eigvals(recurrent_weights)).max())
