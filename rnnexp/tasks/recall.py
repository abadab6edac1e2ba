"""Recall a symbol after a delay: the smallest task in which a vanishing gradient shows."""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer
from rnnexp.tasks.base import Array, Baseline, Batch, EpisodeTask, one_step


class Recall(EpisodeTask):
    """One of K symbols, then distractors, then "which was it?".

    One trial, for K = 4, lag = 3 and two distractors ``-`` and ``+``::

        step     0  1  2  3
        input    c  -  +  ?
        target            c

    The symbol and every distractor are drawn uniformly. Only the last step is scored, by cross-entropy over the K
    symbols. To answer, the network must carry the symbol over `lag` steps; to learn to, its gradient must travel back
    as far. The task is this project's own, the simplest of the long-lag family that begins with Hochreiter &
    Schmidhuber 1997, section 5.

    Parameters
    ----------
    output_size : int
        K, the symbols that may have to be recalled, >= 2.
    lag : int
        Steps between the symbol and the question, >= 1; a sequence has lag + 1 steps.
    distractors : int
        Different symbols that may stand in between, >= 1.
    eval_sequences : int
        Sequences in the evaluation set.
    """

    input_kind = "tokens"
    target_kind = "classes"
    scored = "the last step"
    paper = "this project's own; compare Hochreiter & Schmidhuber 1997, section 5"
    success = "a loss below 0.05 (this project's own rule)"
    solved_below = (("loss", 0.05),)
    error_per = "sequence"
    floor = 0.0

    def __init__(
        self, output_size: int | None = None, *, lag: int = 8, distractors: int = 2, eval_sequences: int = 500
    ) -> None:
        super().__init__(eval_sequences=eval_sequences)
        self.output_size = integer("output_size", 4 if output_size is None else output_size, at_least=2)
        self.lag = integer("lag", lag, at_least=1)
        self.asked = [(self.lag, self.lag)]
        self.distractors = integer("distractors", distractors, at_least=1)
        self.input_size = self.output_size + self.distractors + 1
        # For each step: the number of symbols to choose from, and the first of them; at the question there is only one.
        between = [(self.distractors, self.output_size)] * (self.lag - 1)
        steps = [(self.output_size, 0), *between, (0, self.input_size - 1)]
        self._choices = np.array([[float(count)] for count, _ in steps])
        self._first = np.array([[first] for _, first in steps])

    @property
    def baseline(self) -> Baseline:
        """Guessing: ln K nats, one answer in K correct."""
        share = 1.0 / self.output_size
        return Baseline(float(np.log(self.output_size)), share, "a uniform guess", error=1.0 - share)

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Tokens (lag + 1, N): 0..K-1 are the symbols, then the distractors, and the last one is the question."""
        # One draw for all steps: at small batch sizes the cost is that of the call.
        return self._tokens(rng.random((self.lag + 1, batch_size)), self._choices, self._first)

    def sample_copies(self, batch_size: int, *, rngs: Sequence[Generator]) -> Batch:
        """The same for many generators: tokens (lag + 1, K, N)."""
        draws = np.empty((len(rngs), self.lag + 1, batch_size))
        for rng, own in zip(rngs, draws, strict=True):
            rng.random(out=own)
        moved = draws.swapaxes(0, 1).copy()
        return self._tokens(moved, self._choices[..., np.newaxis], self._first[..., np.newaxis])

    @staticmethod
    def _tokens(draws: Array, choices: Array, first: Array) -> Batch:
        """Uniform draws (T, ..., N) from [0, 1) as tokens of the steps' own ranges."""
        draws *= choices
        inputs = draws.astype(np.int64)
        inputs += first
        targets = np.zeros(inputs.shape, np.int64)
        targets[-1] = inputs[0]
        return Batch(inputs, targets, one_step(inputs.shape, -1))
