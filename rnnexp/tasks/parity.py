"""Parity: one bit of memory that every input may flip."""

from typing import Any

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer
from rnnexp.tasks.base import Baseline, Batch, EpisodeTask


class Parity(EpisodeTask):
    """Say at every step whether the number of ones so far is odd.

    One trial, for length 6::

        step     0  1  2  3  4  5
        input    1  0  1  1  0  1
        target   1  1  0  1  1  0

    Bits are fair coin flips; the parity of every prefix is scored, by cross-entropy over even and odd. A sequence is
    wrong if any of its steps is. One bit has to be kept throughout the sequence, and each 1 flips it: a network
    that does so must hold its states against small perturbations, and its gradients may explode. The task
    is a classic; in this form (length 50, the parity of every prefix) it is an exercise of the course NPFL114, "Deep
    learning", of Charles University, Prague (the name of the course from memory).

    Parameters
    ----------
    length : int
        T, steps in a sequence, >= 2.
    eval_sequences : int
        Sequences in the evaluation set.
    """

    input_kind = "tokens"
    input_size = 2
    target_kind = "classes"
    output_size = 2
    scored = "every step"
    paper = "NPFL114 Deep learning (course), sequence classification"
    success = "no sequence has a wrong step (this project's own rule)"
    error_per = "sequence"
    floor = 0.0
    output_names = ("even", "odd")

    def __init__(self, *, length: int = 50, eval_sequences: int = 500) -> None:
        super().__init__(eval_sequences=integer("eval_sequences", eval_sequences, at_least=1))
        self.length = integer("length", length, at_least=2, hint="the parity of one bit is the bit")

    @property
    def baseline(self) -> Baseline:
        """A coin flip per step: ln 2 nats, half right; all T are right in one sequence out of 2^T."""
        return Baseline(float(np.log(2.0)), 0.5, "a coin flip", error=1.0 - 0.5**self.length)

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Tokens (T, N) and the parities of their prefixes."""
        bits = rng.integers(2, size=(self.length, batch_size))
        return Batch(bits, bits.cumsum(axis=0) % 2, np.ones(bits.shape, bool))

    def solved(self, report: Any) -> bool | None:
        """No sequence of the evaluation set with a wrong step."""
        return None if report.evaluation is None else bool(report.evaluation.error == 0)
