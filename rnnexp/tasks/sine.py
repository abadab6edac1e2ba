"""Sine waves: the first series that a network is asked to predict."""

from types import MappingProxyType

import numpy as np
from numpy.random import Generator

from rnnexp.checks import number
from rnnexp.tasks.base import Baseline, Batch, Place, StreamTask


class Sine(StreamTask):
    """Predict the next value of a sine wave whose period has to be inferred from the wave.

    A stream, for period 8 and amplitude 1::

        step      0     1     2     3     4     5 ...
        input    .00   .71  1.00   .71   .00  -.71 ...
        target               .71   .00  -.71 -1.00 ...

    Each stream has its own period, uniform between `shortest` and `longest` steps, and its own phase, uniform over the
    circle; neither changes, so training sees one wave per stream of the batch. Every step from step 2 on is scored, by
    the squared error against the value one step ahead. Three values suffice to determine the next one, x_3 = x_2 (x_0 +
    x_2) / x_1 - x_1, so that the best loss is 0. The task is this project's own, in a form that tutorials use.

    Parameters
    ----------
    shortest, longest : float
        Bounds of the period, in steps; 2 < shortest <= longest.
    amplitude : float
        > 0.
    eval_streams, eval_steps : int
        Streams in the evaluation set and steps in each.
    """

    input_kind = "values"
    input_size = 1
    target_kind = "values"
    output_size = 1
    fed_back = MappingProxyType({0: 0})
    scored = "every step from step 2 on: the value one step ahead"
    paper = "this project's own"
    success = "root of the squared error below 5 % of the wave's standard deviation (this project's own rule)"
    # linear extrapolation gets 0.11 by default
    solved_below = (("nrmse", 0.05),)
    floor = 0.0

    def __init__(
        self,
        *,
        shortest: float = 10.0,
        longest: float = 50.0,
        amplitude: float = 1.0,
        eval_streams: int = 20,
        eval_steps: int = 500,
    ) -> None:
        self.shortest = number("shortest", shortest, above=2, hint="faster waves look like slower ones")
        self.longest = number("longest", longest, at_least=self.shortest, hint="periods are from shortest to longest")
        self.amplitude = number("amplitude", amplitude, above=0)
        self.check_evaluation(eval_streams, eval_steps, at_least=3, hint="step 2 is the first one scored")

    @property
    def baseline(self) -> Baseline:
        """Always 0, the mean: over a uniform phase, the mean of (A sin)^2 is A^2 / 2."""
        return Baseline(self.amplitude**2 / 2, None, "always the mean, 0")

    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """A phase (in turns) and a period (in steps) for each stream."""
        phase, period = rng.random(batch_size), rng.uniform(self.shortest, self.longest, size=batch_size)
        return Place({"phase": phase, "period": period, "seen": np.zeros(1, np.int64)})

    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """Values (T, N, 1) and those one step later."""
        seen = place.arrays["seen"]
        # From the step count, not from the last value: rounding errors do not accumulate.
        time = (seen[0] + np.arange(steps + 1))[:, np.newaxis]
        turns = (time / place.arrays["period"] + place.arrays["phase"]) % 1.0
        wave = self.amplitude * np.sin(2 * np.pi * turns)[..., np.newaxis]
        mask = np.broadcast_to(time[:-1] >= 2, turns[:-1].shape)
        seen += steps
        return Batch(wave[:-1], wave[1:], mask)

    def further_metrics(self, loss: float) -> dict[str, float]:
        """Root of the squared error over the standard deviation of the targets, A / sqrt 2."""
        return {"nrmse": float(np.sqrt(loss / self.baseline.loss))}
