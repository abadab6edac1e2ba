"""Delayed XOR: two past bits have to be kept and compared."""

from typing import Any

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer
from rnnexp.tasks.base import Baseline, Batch, Place, StreamTask


class Xor(StreamTask):
    """Say at every step whether the bits of `lag` and of twice `lag` steps ago differ.

    A stream, for lag = 2::

        step     0  1  2  3  4  5  6 ...
        input    1  0  0  1  1  0  1 ...
        target               1  1  1 ...

    Bits are fair coin flips. Every step from step 2 * lag of the stream on is scored, by cross-entropy over the two
    values. Either bit alone says nothing about the target, so nothing can be learned before both are
    remembered. Engelken 2023, "Gradient flossing", where the target is |s_{t - d} - s_{t - 2 d}|, and the delay d is
    raised until learning fails; there sequences have an end, and steps without a second bit have the target 0.

    Parameters
    ----------
    lag : int
        d, steps back to the nearer of the two bits, >= 1.
    eval_streams, eval_steps : int
        Streams in the evaluation set and steps in each.
    """

    input_kind = "tokens"
    input_size = 2
    target_kind = "classes"
    output_size = 2
    scored = "every step from step 2 * `lag` on"
    paper = 'Engelken 2023, "Gradient flossing"'
    success = "fewer than 1 in 100 steps wrong (this project's own rule)"
    error_per = "step"
    floor = 0.0

    def __init__(self, *, lag: int = 3, eval_streams: int = 20, eval_steps: int = 500) -> None:
        self.lag = integer("lag", lag, at_least=1)
        self.eval_streams = integer("eval_streams", eval_streams, at_least=1)
        self.eval_steps = integer(
            "eval_steps",
            eval_steps,
            at_least=2 * self.lag + 1,
            hint="fewer than 2 * lag + 1 steps leave nothing to score",
        )

    @property
    def baseline(self) -> Baseline:
        """A coin flip: ln 2 nats, half of the answers right."""
        return Baseline(float(np.log(2.0)), 0.5, "a coin flip", error=0.5)

    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """No bit seen yet."""
        return Place({"bits": np.zeros((2 * self.lag, batch_size), np.int64), "seen": np.zeros(1, np.int64)})

    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """Tokens (T, N) and whether the tokens of `lag` and of 2 * `lag` steps before differ."""
        past, seen = place.arrays["bits"], place.arrays["seen"]
        bits = np.concatenate([past, rng.integers(2, size=(steps, past.shape[1]))])
        targets = bits[self.lag :][:steps] ^ bits[:steps]
        mask = np.broadcast_to((seen[0] + np.arange(steps) >= 2 * self.lag)[:, np.newaxis], targets.shape)
        past[...] = bits[steps:]
        seen += steps
        return Batch(bits[2 * self.lag :], targets, mask)

    def solved(self, report: Any) -> bool | None:
        """Fewer than 1 in 100 scored steps of the evaluation set wrong."""
        return None if report.evaluation is None else bool(report.evaluation.error < 0.01)
