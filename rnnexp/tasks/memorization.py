"""Noiseless memorization: keep a short pattern over a long silence."""

import numpy as np
from numpy.random import Generator

from rnnexp.checks import InvalidValue, integer
from rnnexp.tasks.base import Array, Baseline, Batch, EpisodeTask

#: Values per place of the pattern, and places, by the pattern's bits as the papers count them.
PATTERNS = {5: (2, 5), 20: (5, 10)}


class NoiselessMemorization(EpisodeTask):
    """Keep a pattern over `length` blank steps, and give it back after a mark.

    One trial of the 5-bit variant, for length 3 (``-`` is the blank, ``!`` the mark)::

        step     0  1  2  3  4  5  6  7  8  9 10 11 12
        input    1  0  0  1  1  -  -  -  !  -  -  -  -
        target   -  -  -  -  -  -  -  -  1  0  0  1  1

    Every place of the pattern is drawn uniformly. The mark is at the first step of the recall. Every step is scored,
    by cross-entropy over the values and the blank; a sequence is wrong if any step of it is. A sequence has `length` +
    twice as many steps as the pattern has places. Pascanu, Mikolov & Bengio 2013, section 4.1, as in its authors' code
    (a network for each of the lengths 50, 100, 150 and 200); the 5-bit variant, as in the code of Sutskever, is
    evaluated on all of its 32 patterns, once each.

    Parameters
    ----------
    bits : {20, 5}
        20: ten places of 5 values (5^10 patterns, more than 20 bits); 5: five places of 2 values.
    length : int
        T, blank steps between the pattern and the mark, >= 1.
    eval_sequences : int
        Sequences in the evaluation set of the 20-bit variant (10,000 there).
    """

    input_kind = "tokens"
    target_kind = "classes"
    scored = "every step"
    paper = "Pascanu, Mikolov & Bengio 2013, section 4.1"
    success = "fewer than 1% of the sequences wrong (in any step)"
    # 10,000 fresh sequences in the paper
    solved_below = (("error", 0.01),)
    error_per = "sequence"
    floor = 0.0

    def __init__(self, *, bits: int = 20, length: int = 50, eval_sequences: int = 500) -> None:
        super().__init__(eval_sequences=eval_sequences)
        if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or bits not in PATTERNS:
            raise InvalidValue("bits", bits, "5 or 20", "5: five places of 2 values; 20: ten places of 5 values")
        self.values, self.places = PATTERNS[int(bits)]
        self.bits, self.length = int(bits), integer("length", length, at_least=1)
        self.asked = [(self.length + self.places, self.length + self.places)]
        self.input_size, self.output_size = self.values + 2, self.values + 1
        self.input_names = [*map(str, range(self.values)), "-", "!"]
        self.output_names = self.input_names[:-1]

    @property
    def baseline(self) -> Baseline:
        """Blanks, then a guess: ln V nats at P of T + 2P steps, one of V right there; all P at once with V^-P."""
        steps = self.length + 2 * self.places
        loss = self.places * float(np.log(self.values)) / steps
        accuracy = (self.length + self.places + self.places / self.values) / steps
        error = 1.0 - float(self.values) ** -self.places
        return Baseline(loss, accuracy, "blanks, and a guess at each place of the pattern", error)

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Tokens (T + 2P, N): the values, then the blank and the mark; classes: the values, then the blank."""
        return self._with(rng.integers(self.values, size=(self.places, batch_size)))

    def evaluation(self, *, rng: Generator) -> Batch:
        """`eval_sequences` fresh sequences; of the 5-bit variant every pattern once."""
        if self.bits == 20:
            return self.sample(self.eval_sequences, rng=rng)
        patterns = np.arange(self.values**self.places)
        return self._with(patterns // self.values ** np.arange(self.places)[:, np.newaxis] % self.values)

    def _with(self, pattern: Array) -> Batch:
        """The sequences of some patterns (P, N)."""
        inputs = np.full((self.length + 2 * self.places, pattern.shape[1]), self.values)
        targets = inputs.copy()
        inputs[: self.places] = targets[-self.places :] = pattern
        inputs[-self.places] = self.values + 1
        return Batch(inputs, targets, np.ones(inputs.shape, bool))
