"""How far the units are from their linear range."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.components import Shown
from rnnexp.gradients.norms import QUIET
from rnnexp.gradients.spectra import run_forward
from rnnexp.layers import Network
from rnnexp.tasks import Batch

#: |h| above which a unit counts as saturated.
SATURATED = 0.95
BINS = np.linspace(-1.0, 1.0, 41)


@dataclass(frozen=True, repr=False)
class Saturation(Shown):
    """Saturation of the hidden units, over all steps and sequences.

    Attributes
    ----------
    saturated_fraction : float
        Share with |h| > 0.95.
    mean_slope : float
        Mean of phi', the factor by which the activation lets a gradient pass.
    counts, edges : arrays (B,), (B + 1,)
        Histogram of h; values beyond the outer edges are counted in the outer bins.
    """

    saturated_fraction: float
    mean_slope: float
    counts: NDArray[np.int64]
    edges: NDArray[np.float64]


@np.errstate(**QUIET)
def saturation(network: Network, batch: Batch) -> Saturation:
    """Saturation of the hidden units on whole sequences from a zero state (after Glorot & Bengio 2010, section 3)."""
    run_forward(network, batch)
    return saturation_of(network.recurrent.states[1:], network.recurrent.slopes())


@np.errstate(**QUIET)
def saturation_of(states: NDArray[Any], slopes: NDArray[Any]) -> Saturation:
    """The same from states and slopes of any shape; a value that is not finite counts as saturated."""
    finite = states[np.isfinite(states)]
    saturated = np.count_nonzero(~(np.abs(states) <= SATURATED)) / max(states.size, 1)
    reach = max(1.0, float(np.abs(finite).max(initial=0.0)))
    edges = BINS * reach
    counts, _ = np.histogram(np.clip(finite, edges[0], edges[-1]), bins=edges)
    slope = float(np.mean(slopes, dtype=np.float64)) if slopes.size else float("nan")
    return Saturation(float(saturated), slope, counts, edges)
