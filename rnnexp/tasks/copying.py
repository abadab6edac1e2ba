"""Copying memory: ten symbols over a long silence, in the variants of two papers."""

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer, one_of
from rnnexp.tasks.base import Baseline, Batch, EpisodeTask

SYMBOLS, PLACES = 8, 10
BLANK, DELIMITER = 0, 9

PAPERS = {
    "arjovsky": "Arjovsky, Shah & Bengio 2016, section 4.1",
    "tcn": "Bai, Kolter & Koltun 2018, section 4",
}


class CopyingMemory(EpisodeTask):
    """Keep ten symbols over a silence of about `length` steps, and give them back.

    One trial, with 3 symbols instead of 10, for length 4 (``-`` is the blank 0, ``9`` the delimiter)::

        step                0  1  2  3  4  5  6  7  8  9
        input (arjovsky)    5  2  8  -  -  -  9  -  -  -
        input (tcn)         5  2  8  -  -  -  9  9  9  9
        target              -  -  -  -  -  -  -  5  2  8

    The symbols are drawn uniformly from 1 to 8; T - 1 blanks follow. In the ``arjovsky`` variant one delimiter follows,
    then blanks; in the ``tcn`` variant the delimiter fills the rest of the input. Sequences have T + 20 steps.
    Every step is scored, by cross-entropy over the blank and the eight symbols; a sequence is wrong if any step is.
    Arjovsky, Shah & Bengio 2016, "Unitary evolution recurrent neural networks", section 4.1, and its authors' code (T =
    100, 200, 300 and 500); Bai, Kolter & Koltun 2018, and its authors' code (T up to 1000), where the input is a single
    number from 0 to 9 rather than one of ten symbols (`embedding_dim` = null gives one-hot symbols here).

    Parameters
    ----------
    variant : {"arjovsky", "tcn"}
    length : int
        T, >= 1; the (first) delimiter is at step T + 9.
    eval_sequences : int
        Sequences in the evaluation set.
    """

    input_kind = "tokens"
    input_size = SYMBOLS + 2
    target_kind = "classes"
    output_size = SYMBOLS + 1
    scored = "every step"
    success = "a loss below a tenth of the memoryless one (this project's own rule)"
    error_per = "sequence"
    floor = 0.0
    input_names = ("-", *map(str, range(1, 10)))
    output_names = input_names[:-1]

    def __init__(self, *, variant: str = "arjovsky", length: int = 50, eval_sequences: int = 500) -> None:
        super().__init__(eval_sequences=eval_sequences)
        self.variant = one_of("variant", variant, PAPERS)
        self.paper = PAPERS[self.variant]
        self.length = integer("length", length, at_least=1)
        self.asked = [(self.length + PLACES, self.length + PLACES)]
        self.solved_below = (("loss", 0.1 * self.baseline.loss),)

    @property
    def baseline(self) -> Baseline:
        """Blanks, then a guess at ten of T + 20 steps: 10 ln 8 / (T + 20) nats."""
        steps = self.length + 2 * PLACES
        loss = PLACES * float(np.log(SYMBOLS)) / steps
        accuracy = (self.length + PLACES + PLACES / SYMBOLS) / steps
        return Baseline(loss, accuracy, "blanks, and a guess at the last ten steps", 1.0 - float(SYMBOLS) ** -PLACES)

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Tokens and classes (T + 20, N)."""
        symbols = rng.integers(1, SYMBOLS + 1, size=(PLACES, batch_size))
        inputs = np.full((self.length + 2 * PLACES, batch_size), BLANK)
        targets = inputs.copy()
        inputs[:PLACES] = targets[-PLACES:] = symbols
        last = -PLACES if self.variant == "arjovsky" else None
        inputs[-PLACES - 1 : last] = DELIMITER
        return Batch(inputs, targets, np.ones(inputs.shape, bool))
