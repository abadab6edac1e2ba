"""Two lags: a coin biased by two past bits, with a known best loss for each dependency learned."""

from typing import Any

import numpy as np
from numpy.random import Generator

from rnnexp.checks import InvalidValue, integer, number
from rnnexp.tasks.base import Baseline, Batch, Place
from rnnexp.tasks.bit_stream import BitStream


class TwoLag(BitStream):
    """Predict a coin whose bias is set by two past bits.

    A stream, for lags 1 and 3 with weights 0.5 and -0.25::

        step     0    1    2    3    4    5 ...
        input    1    0    0    1    0    1 ...
        P(1)                   .25 1.00  .50     .5 + .5 * (input 1 ago) - .25 * (input 3 ago)
        target                  0    1    1 ...

    The inputs are fair coin flips X_t; the target Y_t is 1 with probability .5 + first_weight * X_{t - first_lag} +
    second_weight * X_{t - second_lag}. Every step from step `second_lag` of the stream on is scored, by cross-entropy
    over the two values; before that, one of the two bits does not exist (the published program takes it from the other
    end of its series). The loss shows which of the two dependencies a network has learned: see `floors`. For the
    published values they are .6616 with none, .6277 with the second alone, .5192 with the first alone and .4545 with
    both.

    R2RT 2016, "Recurrent neural networks in TensorFlow I": lags 3 and 8, weights .5 and -.25, one series of 1,000,000
    steps cut into 200 streams; here streams have no end.

    Parameters
    ----------
    first_lag, second_lag : int
        Steps between a bit and its effect; first_lag >= 1, second_lag > first_lag.
    first_weight, second_weight : float
        What a 1 adds to the probability; not 0, and such that all four probabilities are within 0 and 1.
    eval_streams, eval_steps : int
        Streams in the evaluation set and steps in each.
    """

    scored = "every step from step `second_lag` on"
    paper = 'R2RT 2016, "Recurrent neural networks in TensorFlow I"'
    success = "the loss is closer to that of both bits than to that of the first alone (this project's own rule)"

    def __init__(
        self,
        *,
        first_lag: int = 3,
        second_lag: int = 8,
        first_weight: float = 0.5,
        second_weight: float = -0.25,
        eval_streams: int = 20,
        eval_steps: int = 500,
    ) -> None:
        self.first_lag = integer("first_lag", first_lag, at_least=1)
        self.second_lag = integer(
            "second_lag", second_lag, at_least=self.first_lag + 1, hint="it is the longer one: above first_lag"
        )
        self.asked = [(lag, lag) for lag in (self.first_lag, self.second_lag)]
        self.first_weight = _weight("first_weight", first_weight, 0.0)
        self.second_weight = _weight("second_weight", second_weight, self.first_weight)
        hint = "fewer than second_lag + 1 steps leave nothing to score"
        super().__init__(self.second_lag, eval_streams, eval_steps, hint=hint)
        floors = self.floors()
        self.floor = floors["both"]
        self.solved_below = (("loss", (floors["first"] + floors["both"]) / 2),)

    def floors(self) -> dict[str, float]:
        """The best loss, in nats, given none of the bits, the first, the second, or both.

        An unknown bit is 0 or 1 with equal probability and is averaged over; the loss is the mean entropy over the
        known bits.
        """
        # Axis 0 is the first bit, axis 1 the second.
        ones = 0.5 + np.add.outer([0.0, self.first_weight], [0.0, self.second_weight])
        return {
            "none": _entropy(ones.mean(keepdims=True)),
            "first": _entropy(ones.mean(axis=1)),
            "second": _entropy(ones.mean(axis=0)),
            "both": _entropy(ones),
        }

    @property
    def baseline(self) -> Baseline:
        """The coin's mean bias, .5 + (first_weight + second_weight) / 2, regardless of the input: the floor "none"."""
        ones = 0.5 + (self.first_weight + self.second_weight) / 2
        return Baseline(self.floors()["none"], max(ones, 1.0 - ones), "the share of ones, regardless of the input")

    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """Tokens (T, N) and, as targets, the biased coins."""
        past = place.arrays["bits"]
        # Both draws of a step together: reading a stream in pieces then gives the same stream.
        drawn = rng.random((steps, 2, past.shape[1]))
        bits = np.concatenate([past, (drawn[:, 0] < 0.5).astype(np.int64)])
        first = bits[self.second_lag - self.first_lag :][:steps]
        ones = 0.5 + self.first_weight * first + self.second_weight * bits[:steps]
        return self.batch(place, bits, (drawn[:, 1] < ones).astype(np.int64))


def _weight(key: str, value: float, other: float) -> float:
    """A weight that, alone or added to `other`, keeps 0.5 + weight within [0, 1]."""
    given = number(key, value)
    lowest, highest = max(-0.5, -0.5 - other), min(0.5, 0.5 - other)
    if given == 0 or not lowest <= given <= highest:
        allowed = f"a number other than 0, >= {lowest:g} and <= {highest:g}"
        raise InvalidValue(key, value, allowed, "0.5 plus any of the two weights or both is a probability")
    return given


def _entropy(ones: Any) -> float:
    """Mean entropy of coins that show 1 with the given probabilities, in nats; 0 for a certain one."""
    chances = np.stack([ones, 1.0 - ones])
    return float(-(chances * np.log(chances, out=np.zeros_like(chances), where=chances > 0)).sum(axis=0).mean())
