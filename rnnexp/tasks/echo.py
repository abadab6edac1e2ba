"""Delayed echo: the sharpest test of a truncation length."""

from typing import Any

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer
from rnnexp.tasks.base import Baseline, Batch, Place, StreamTask


class Echo(StreamTask):
    """Say at every step which bit came `lag` steps ago.

    A stream, for lag = 3::

        step     0  1  2  3  4  5  6 ...
        input    1  0  0  1  1  0  1 ...
        target            1  0  0  1 ...

    Bits are fair coin flips. Every step from step `lag` of the stream on is scored, by cross-entropy over the two
    values; the best loss is 0. A window of truncated BPTT holds both the bit and its echo only if it is at least
    lag + 1 steps long: in a shorter one no gradient connects them, and the network can only learn to read out traces
    of old bits that the recurrent weights happen to preserve. The task is the one of E. Hallstrom's tutorial "How
    to build a recurrent neural network in TensorFlow" (2016), with an endless stream instead of 50,000 bits.

    Parameters
    ----------
    lag : int
        Steps between a bit and its echo, >= 1.
    eval_streams, eval_steps : int
        Streams in the evaluation set and steps in each.
    """

    input_kind = "tokens"
    input_size = 2
    target_kind = "classes"
    output_size = 2
    scored = "every step from step `lag` on"
    paper = "E. Hallstrom 2016, a tutorial"
    success = "a loss below 0.05 (this project's own rule)"
    error_per = "step"
    floor = 0.0

    def __init__(self, *, lag: int = 3, eval_streams: int = 20, eval_steps: int = 500) -> None:
        self.lag = integer("lag", lag, at_least=1)
        self.eval_streams = integer("eval_streams", eval_streams, at_least=1)
        self.eval_steps = integer(
            "eval_steps", eval_steps, at_least=self.lag + 1, hint="fewer than lag + 1 steps leave nothing to score"
        )

    @property
    def baseline(self) -> Baseline:
        """A coin flip: ln 2 nats, half of the answers correct."""
        return Baseline(float(np.log(2.0)), 0.5, "a coin flip", error=0.5)

    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """No bit seen yet."""
        return Place({"bits": np.zeros((self.lag, batch_size), np.int64), "seen": np.zeros(1, np.int64)})

    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """Tokens (T, N) and, as targets, the tokens of `lag` steps before."""
        past, seen = place.arrays["bits"], place.arrays["seen"]
        bits = np.concatenate([past, rng.integers(2, size=(steps, past.shape[1]))])
        mask = np.broadcast_to((seen[0] + np.arange(steps) >= self.lag)[:, np.newaxis], (steps, past.shape[1]))
        past[...] = bits[steps:]
        seen += steps
        return Batch(bits[self.lag :], bits[:steps], mask)

    def solved(self, report: Any) -> bool | None:
        """By `success`, on the evaluation set."""
        evaluation = report.evaluation
        return None if evaluation is None else bool(evaluation.loss < 0.05)
