"""How far the units are from their linear range."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.components import Shown
from rnnexp.gradients.passes import QUIET, Passes
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
        Histogram of h from -1 to 1, or as often doubled as its largest value needs.
    """

    saturated_fraction: float
    mean_slope: float
    counts: NDArray[np.int64]
    edges: NDArray[np.float64]


@np.errstate(**QUIET)
def saturation(network: Network, batch: Batch) -> Saturation:
    """Saturation of the hidden units on whole sequences from a zero state (after Glorot & Bengio 2010, section 3)."""
    found, layer = SaturationCount(), network.recurrent
    for _ in Passes(network, batch).forward():
        found.add(layer.states[1:], layer.slopes())
    return found.result()


class SaturationCount:
    """The same of states and slopes of any shape, window by window; a value that is not finite counts as saturated."""

    def __init__(self) -> None:
        self._reach, self._counts = 1.0, np.zeros(len(BINS) - 1, np.int64)
        self._saturated = self._seen = self._slopes = 0
        self._slope = 0.0

    def add(self, states: NDArray[Any], slopes: NDArray[Any]) -> None:
        """Take in the states and slopes of a window."""
        finite = states[np.isfinite(states)]
        self._saturated += int(np.count_nonzero(~(np.abs(states) <= SATURATED)))
        self._seen += states.size
        largest = min(float(np.abs(finite).max(initial=0.0)), 2.0**1023)
        while self._reach < largest:
            self._widen()
        edges = BINS * self._reach
        self._counts += np.histogram(np.clip(finite, edges[0], edges[-1]), bins=edges)[0]
        self._slope += float(np.sum(slopes, dtype=np.float64))
        self._slopes += slopes.size

    def _widen(self) -> None:
        """Bins twice as wide: each pair of neighbours becomes one."""
        self._reach *= 2.0
        pairs = self._counts.reshape(-1, 2).sum(axis=1)
        self._counts = np.pad(pairs, len(pairs) // 2)

    def result(self) -> Saturation:
        """The counts so far."""
        slope = self._slope / self._slopes if self._slopes else float("nan")
        return Saturation(self._saturated / max(self._seen, 1), slope, self._counts, BINS * self._reach)
