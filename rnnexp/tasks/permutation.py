"""Random permutation: say at the end which of two symbols stood at the beginning."""

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer
from rnnexp.tasks.base import Baseline, Batch, EpisodeTask, with_answers


class RandomPermutation(EpisodeTask):
    """Remember the first symbol through a sequence of random distractors.

    One trial, for length 6 and 100 symbols::

        step     0   1   2   3   4   5
        input    1  57  12  99   3  57
        target                       1

    The first symbol, 0 or 1, is drawn with equal probability; the others are drawn uniformly from the rest of the
    alphabet. After the last of them the first symbol comes again, and has to be predicted: only the step before, the
    last one here, is scored, by cross-entropy over all symbols, as in the code of Pascanu, Mikolov & Bengio 2013. The
    other symbols are unpredictable. After task 2 of Hochreiter & Schmidhuber 1997.

    Parameters
    ----------
    length : int
        L, steps between the first symbol and its return, >= 1 (100 there).
    alphabet : int
        Symbols, >= 3: two that are to be remembered, and the distractors.
    eval_sequences : int
        Sequences in the evaluation set (10,000 there).
    """

    input_kind = "tokens"
    target_kind = "classes"
    scored = "the last step"
    paper = "Pascanu, Mikolov & Bengio 2013, section 4.1, after Hochreiter & Schmidhuber 1997, section 5.2"
    success = "fewer than 1% of the sequences wrong"
    # 10,000 fresh sequences in the paper
    solved_below = (("error", 0.01),)
    error_per = "sequence"
    floor = 0.0

    def __init__(self, *, length: int = 50, alphabet: int = 100, eval_sequences: int = 500) -> None:
        super().__init__(eval_sequences=eval_sequences)
        self.length = integer("length", length, at_least=1)
        self.asked = [(self.length - 1, self.length - 1)]
        hint = "two symbols are to be remembered, the others are distractors"
        self.alphabet = self.input_size = self.output_size = integer("alphabet", alphabet, at_least=3, hint=hint)

    @property
    def baseline(self) -> Baseline:
        """A guess between the two possible symbols: ln 2 nats, half of the answers correct."""
        return Baseline(float(np.log(2.0)), 0.5, "a guess between the two first symbols", error=0.5)

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Tokens (L, N), and the first of them as the target at the last step."""
        inputs = rng.integers(2, self.input_size, size=(self.length, batch_size))
        inputs[0] = rng.integers(2, size=batch_size)
        return with_answers(inputs, -1, inputs[0])
