"""The adding problem, in the variant of Arjovsky, Shah & Bengio 2016."""

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer
from rnnexp.tasks.base import Baseline, Batch, EpisodeTask, one_step


class Adding(EpisodeTask):
    """Add the two marked numbers of a long sequence.

    One trial, for length 6::

        step     0    1    2    3    4    5
        value   .31  .72  .05  .90  .44  .18
        marker   0    1    0    0    1    0
        target                           1.16

    Values are uniform on [0, 1); one marker falls uniformly in each half. Only the last step is scored, by the
    squared error against the sum of the two marked values. Arjovsky et al. 2016, "Unitary evolution recurrent
    neural networks", section 4.2 (lengths 100, 200, 400 and 750 there).

    Parameters
    ----------
    length : int
        T, steps in a sequence, >= 2.
    eval_sequences : int
        Sequences in the evaluation set.
    """

    input_kind = "values"
    input_size = 2
    target_kind = "values"
    output_size = 1
    scored = "the last step"

    def __init__(self, *, length: int = 100, eval_sequences: int = 500) -> None:
        super().__init__(eval_sequences=integer("eval_sequences", eval_sequences, at_least=1))
        self.length = integer("length", length, at_least=2, hint="each half of the sequence holds one marked number")

    @property
    def baseline(self) -> Baseline:
        """Always 1, the mean of the sum: its error is the variance of the sum, 2 / 12."""
        return Baseline(1.0 / 6.0, None, "always the mean, 1")

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Inputs (T, N, 2): channel 0 the values, channel 1 the markers; targets (T, N, 1)."""
        inputs = np.zeros((self.length, batch_size, 2))
        inputs[..., 0] = rng.random((self.length, batch_size))
        half, each = self.length // 2, np.arange(batch_size)
        first = rng.integers(0, half, size=batch_size)
        second = rng.integers(half, self.length, size=batch_size)
        inputs[first, each, 1] = 1.0
        inputs[second, each, 1] = 1.0
        targets = np.zeros((self.length, batch_size, 1))
        targets[-1, :, 0] = inputs[first, each, 0] + inputs[second, each, 0]
        return Batch(inputs, targets, one_step(inputs.shape[:2], -1))
