"""The Mackey-Glass series: a chaotic signal driven by its own delayed value."""

from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.random import Generator

from rnnexp.checks import InvalidValue, boolean, integer
from rnnexp.tasks.base import Array, Baseline, Batch, Place, StreamTask

#: Powers over a whole delay must not underflow.
LONGEST_DELAY = 1000
#: Discarded before a stream begins: at least this many time units, and at least this many delays.
TRANSIENT, TRANSIENT_DELAYS = 1000, 20


class MackeyGlass(StreamTask):
    """Predict a chaotic series.

    A stream, for tau = 17 and horizon = 1::

        step     0    1   ...  17    18    19 ...
        input   x_0  x_1  ... x_17  x_18  x_19 ...
        target            ... x_18  x_19  x_20 ...

    The series solves dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t), by Euler's method in steps of 1 /
    `substeps`, and is read once per time unit. Each stream begins from its own history, drawn uniformly between 0.6 and
    1.8 for each time unit (around the usual x_0 = 1.2), and discards a transient of its own length, between 1000 and
    2000 time units for the usual delays, so that streams have different phases. Every step from step tau on is scored,
    by the squared error against the value `horizon` time units ahead. The equation is deterministic and looks back by
    tau, so that the best loss is 0: exactly for substeps = 1, where x_{t+1} = 0.9 x_t + 0.2 x_{t - tau} / (1 +
    x_{t - tau}^10), and as a limit otherwise, since the values between time units show only in what follows from them.

    Predicting the mean is far from optimal: relative to it (``nrmse``), repeating the last value gets 0.15 and linear
    extrapolation from the last two 0.033, for tau = 17 and horizon = 1. Mackey & Glass 1977, "Oscillation and chaos in
    physiological control systems"; as a benchmark of recurrent networks, above all Jaeger & Haas 2004, "Harnessing
    nonlinearity", at tau = 17 and 84 units ahead (both references from memory).

    Parameters
    ----------
    tau : int
        Delay, in time units, >= 6; 17 (mildly chaotic) and 30 are usual.
    substeps : int
        Euler steps per time unit, >= 1.
    horizon : int
        Time units between a step and what it predicts, >= 1.
    squash : bool
        Use tanh(x - 1) instead of x, as inputs and as targets.
    eval_streams, eval_steps : int
        Streams in the evaluation set and steps in each.
    """

    input_kind = "values"
    input_size = 1
    target_kind = "values"
    output_size = 1
    fed_back = MappingProxyType({0: 0})
    scored = "every step from step `tau` on: the value `horizon` steps ahead"
    paper = "Mackey & Glass 1977; Jaeger & Haas 2004"
    success = "root of the squared error below 2 % of the series' standard deviation (this project's own rule)"
    solved_below = (("nrmse", 0.02),)
    floor = 0.0

    def __init__(
        self,
        *,
        tau: int = 17,
        substeps: int = 10,
        horizon: int = 1,
        squash: bool = False,
        eval_streams: int = 20,
        eval_steps: int = 500,
    ) -> None:
        self.tau = integer("tau", tau, at_least=6, hint="with a shorter delay the series is nearly constant")
        if self.tau > LONGEST_DELAY:
            raise InvalidValue("tau", tau, f"<= {LONGEST_DELAY}", "17 and 30 are usual")
        self.substeps = integer("substeps", substeps, at_least=1)
        self.horizon = integer("horizon", horizon, at_least=1)
        self.squash = boolean("squash", squash)
        # As columns, with a = 1 - 0.1 / substeps and K = tau * substeps: a^0 to a^K; 0.2 / substeps * a^-1 to a^-K.
        powers = (1.0 - 0.1 / self.substeps) ** np.arange(self.tau * self.substeps + 1)
        self._powers: Array = powers[:, np.newaxis]
        self._weights: Array = 0.2 / self.substeps / self._powers[1:]
        hint = "fewer than tau + 1 steps leave nothing to score"
        self.check_evaluation(eval_streams, eval_steps, at_least=self.tau + 1, hint=hint)

    @cached_property
    def baseline(self) -> Baseline:
        """Always the mean: its error is the variance of the series, here of 100 streams of 2000 steps."""
        rng = np.random.default_rng(0)
        variance = float(self.read(self.begin(100, rng=rng), 2000, rng=rng).inputs.var())
        return Baseline(variance, None, "always the mean", exact=False)

    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """The Euler steps of `tau` time units and one more for each stream, after its transient."""
        units = rng.uniform(0.6, 1.8, size=(self.tau + 1, batch_size))
        history = np.repeat(units, self.substeps, axis=0)[: self.tau * self.substeps + 1]
        delays = max(-(-TRANSIENT // self.tau), TRANSIENT_DELAYS)
        # With the same transient, all streams would have nearly the same phase.
        discarded = rng.integers(delays, 2 * delays, size=batch_size)
        for delay in range(int(discarded.max(initial=0))):
            history = np.where(delay < discarded, self._next(history), history)
        return Place({"history": history, "position": np.zeros(1, np.int64)})

    def _next(self, history: Array) -> Array:
        """The Euler steps of the next `tau` time units, from those (tau * substeps + 1, N) of the last.

        The delayed values are all known, so that x_{k+1} = a x_k + g_k with a = 1 - 0.1 / substeps and known g; solved
        for x, x_{k+j} = a^j (x_k + sum over i < j of a^-(i+1) g_{k+i}). All terms are positive: nothing cancels.
        """
        delayed, last = history[:-1], history[-1:]
        square = delayed * delayed
        fourth = square * square
        drive = delayed / (1.0 + square * fourth * fourth)
        drive *= self._weights
        series = np.concatenate([last, drive])
        np.cumsum(series, axis=0, out=series)
        series *= self._powers
        return series

    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """Values (T, N, 1) and those `horizon` steps later."""
        history, position = place.arrays["history"], place.arrays["position"]
        # `history` starts at the block of tau steps that holds the next one; `position` counts steps from the beginning
        # of the stream.
        start = int(position[0]) % self.tau
        blocks = [history]
        while len(blocks) * self.tau < start + steps + self.horizon:
            blocks.append(self._next(blocks[-1]))
        series = np.concatenate([block[: -1 : self.substeps] for block in blocks])[start:, :, np.newaxis]
        if self.squash:
            series = np.tanh(series - 1.0)
        seen = position[0] + np.arange(steps)
        mask = np.broadcast_to((seen >= self.tau)[:, np.newaxis], (steps, history.shape[1]))
        history[...] = blocks[(start + steps) // self.tau]
        position += steps
        return Batch(series[:steps], series[self.horizon :][:steps], mask)

    def further_metrics(self, loss: float) -> dict[str, float]:
        """Root of the squared error over the standard deviation of the series."""
        return {"nrmse": float(np.sqrt(loss / self.baseline.loss))}
