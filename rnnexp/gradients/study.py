"""Which gradient statistics a run takes at every evaluation."""

from dataclasses import dataclass

import numpy as np

from rnnexp.checks import integer
from rnnexp.gradients.norms import NormsByLag, norms_by_lag
from rnnexp.gradients.spectra import spectral_radius
from rnnexp.layers import Network
from rnnexp.tasks import Batch, StreamTask, Task


@dataclass(frozen=True)
class Study:
    """What one look at the gradient found."""

    norms: NormsByLag
    spectral_radius: float

    def metrics(self) -> dict[str, float]:
        """Scalars by metric name; NaN where a number is not defined."""
        return {
            "gradient/log10_ratio": self.norms.log10_ratio,
            "gradient/decay_rate": self.norms.decay_rate,
            "recurrent/spectral_radius": self.spectral_radius,
        }


class GradientStudy:
    """Norms by lag and the spectral radius, on the first sequences of the evaluation set.

    Parameters
    ----------
    sequences : int
        Sequences to study, >= 1.
    max_length : int
        Steps of a stream to study, from its beginning, >= 1; as many more as there are before its first scored
        step. Episodes are always studied whole.
    """

    def __init__(self, sequences: int = 20, max_length: int = 200) -> None:
        self.sequences = integer("sequences", sequences, at_least=1)
        self.max_length = integer("max_length", max_length, at_least=1)

    def select(self, task: Task, evaluation: Batch) -> Batch:
        """The part of an evaluation set that is studied."""
        batch = evaluation.sequences(self.sequences)
        if isinstance(task, StreamTask):
            first_scored = int(np.argmax(batch.mask.any(axis=1)))
            batch = batch.steps(0, max(self.max_length, first_scored + 1))
        return batch

    def __call__(self, network: Network, batch: Batch, target_kind: str) -> Study:
        """Study `network` (its state is lost) on `batch`, all of it."""
        norms = norms_by_lag(network, batch.cast(network.dtype), target_kind)
        return Study(norms, spectral_radius(network.recurrent.params[1]))
