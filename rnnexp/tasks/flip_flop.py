"""Flip-flop: several bits of memory, each set by pulses of its own."""

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer, number
from rnnexp.tasks.base import Array, Baseline, Batch, Place, StreamTask


class FlipFlop(StreamTask):
    """Say at every step, for each of several channels, which sign its last pulse had.

    A stream, for bits = 2::

        step        0  1  2  3  4  5  6 ...
        input 0     +  .  .  -  .  .  - ...
        input 1     -  .  +  .  .  +  . ...
        target 0       +  +  -  -  -  - ...
        target 1       -  +  +  +  +  + ...

    An input is 0 (``.``) but for pulses of +1 and -1, equally likely, each one step long. Every channel has one at step
    0, which is not scored, and after it at each step with the probability `pulse_probability`, whatever the others do.
    A target is the sign of its channel's last pulse, this step's included: a pulse may set the bit, or repeat what it
    holds already. Scored by the squared error, averaged over the channels; the best loss is 0.

    The 3-bit flip-flop of Sussillo & Barak 2013, "Opening the black box", section 4.1: inputs of transient pulses of
    +-1, outputs that hold the last sign. Their network runs in continuous time (1000 units, trained by FORCE; section
    and numbers from memory), here a step is a step: independent pulses of one step and one on every channel first, as
    in the example of Golub & Sussillo's FixedPointFinder (2018), which has pulse_probability = 0.5 and 64 steps.

    Parameters
    ----------
    bits : int
        Channels, >= 1.
    pulse_probability : float
        Of a pulse on a channel at a step; 0 < pulse_probability < 1. A bit is held for 1 / pulse_probability steps on
        average, from one pulse to the next.
    eval_streams, eval_steps : int
        Streams in the evaluation set and steps in each.
    """

    input_kind = "values"
    target_kind = "values"
    scored = "every step from step 1 on"
    paper = "Sussillo & Barak 2013"
    success = "fewer than 1 in 100 steps wrong (this project's own rule)"
    solved_below = (("error", 0.01),)
    error_per = "step"
    floor = 0.0

    def __init__(
        self, *, bits: int = 3, pulse_probability: float = 0.1, eval_streams: int = 20, eval_steps: int = 500
    ) -> None:
        self.bits = self.input_size = self.output_size = integer("bits", bits, at_least=1)
        hint = "with a pulse at every step there is nothing to remember, without any nothing to do"
        self.pulse_probability = number("pulse_probability", pulse_probability, above=0, below=1, hint=hint)
        self.check_evaluation(eval_streams, eval_steps, at_least=2, hint="step 1 is the first one scored")

    @property
    def baseline(self) -> Baseline:
        """Without memory: the pulse's sign, and 0 where there is none, which costs 1 on a share 1 - p of the steps."""
        p = self.pulse_probability
        return Baseline(1.0 - p, None, "the pulse, or 0 where there is none", error=1.0 - p**self.bits)

    def wrong(self, outputs: Array, batch: Batch) -> Array:
        """A step is wrong if any channel's output is not nearer to its target than to the other sign."""
        return np.asarray((outputs * batch.targets <= 0).any(axis=-1))

    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """No bit is set yet."""
        return Place({"held": np.zeros((batch_size, self.bits)), "seen": np.zeros(1, np.int64)})

    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """Pulses (T, N, bits) and the signs that are held after each step."""
        held, seen = place.arrays["held"], place.arrays["seen"]
        # One draw a step and channel: u < p / 2 is a negative pulse, p / 2 <= u < p a positive one.
        draws = rng.random((steps, *held.shape))
        p = np.where(seen[0] + np.arange(steps) == 0, 1.0, self.pulse_probability)[:, np.newaxis, np.newaxis]
        inputs = np.where(draws < p, np.where(draws < p / 2, -1.0, 1.0), 0.0)
        targets = np.concatenate([held[np.newaxis], inputs])
        last = np.where(targets != 0, np.arange(steps + 1)[:, np.newaxis, np.newaxis], 0)
        targets = np.take_along_axis(targets, np.maximum.accumulate(last, axis=0), axis=0)[1:]
        mask = np.broadcast_to((seen[0] + np.arange(steps) >= 1)[:, np.newaxis], targets.shape[:2])
        if steps:
            held[...] = targets[-1]
        seen += steps
        return Batch(inputs, targets, mask)
