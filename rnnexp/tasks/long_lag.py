"""The long time lag problem: the first symbol of a sequence is also its last one."""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer, one_of
from rnnexp.tasks.base import NONE, Array, Baseline, Batch, EpisodeTask, largest_deviation

SUCCESS = {
    "2a": "no sequence wrong (an output that is off by 0.25 or more at any step)",
    "2b": "no sequence wrong (an output that is off by 0.25 or more at the last step)",
}


class LongLag(EpisodeTask):
    """Predict the next symbol of sequences that end with their first symbol.

    One trial of variant 2a, for lag p = 5::

        step     0   1   2   3   4
        input    y  a1  a2  a3  a4
        target  a1  a2  a3  a4   y

    There are p + 1 symbols: x, y, and a1 to a(p-1). A sequence begins with x or y, with equal probability; then come p
    - 1 of the others, in variant ``2a`` always a1 to a(p-1), in variant ``2b`` drawn uniformly; then the first symbol.
    Every step is scored, by cross-entropy over the p + 1 symbols, but only the last prediction needs a memory.
    Hochreiter & Schmidhuber 1997, "Long short-term memory", section 5.2, tasks 2a and 2b (p = 4, 10 and 100 there): the
    best documented failure of plain recurrent networks, with one self-recurrent unit: at p = 10 and 100, none of 18
    trials learned it in 5 million sequences.

    Parameters
    ----------
    variant : {"2a", "2b"}
    lag : int
        p, >= 2: steps between the first symbol and its return.
    eval_sequences : int
        Sequences in the evaluation set of variant 2b; that of 2a holds its only two sequences.
    """

    input_kind = "tokens"
    target_kind = "classes"
    scored = "every step"
    paper = "Hochreiter & Schmidhuber 1997, section 5.2"
    error_per = "sequence"
    # 10,000 successive sequences in the paper
    solved_below = (("error", NONE),)

    def __init__(self, *, variant: str = "2a", lag: int = 10, eval_sequences: int = 500) -> None:
        super().__init__(eval_sequences=eval_sequences)
        self.variant = one_of("variant", variant, SUCCESS)
        self.success = SUCCESS[self.variant]
        self.lag = integer("lag", lag, at_least=2, hint="at least one symbol separates the first from its return")
        self.asked = [(self.lag - 1, self.lag - 1)]
        self.input_names = self.output_names = [*(f"a{index}" for index in range(1, self.lag)), "x", "y"]
        self.input_size = self.output_size = self.lag + 1
        self._between = np.arange(self.lag - 1)[:, np.newaxis]
        # The a's of variant 2b can't be predicted: each costs ln(p - 1).
        unpredictable = 0.0 if self.variant == "2a" else float(np.log(self.lag - 1))
        self.lowest = self.floor = (self.lag - 1) * unpredictable / self.lag

    @property
    def baseline(self) -> Baseline:
        """All but the first symbol: `floor`, and ln 2 at one step of p; every sequence has an output off by a half."""
        known = self.lag - 1 if self.variant == "2a" else 1.0
        predictor = "knows all but the first symbol, guesses the last"
        return Baseline(self.lowest + float(np.log(2.0)) / self.lag, (known + 0.5) / self.lag, predictor, error=1.0)

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Tokens and classes (p, N): a1 to a(p-1) are 0 to p - 2, then x and y."""
        return self._sequences(*self._draw(batch_size, rng))

    def sample_copies(self, batch_size: int, *, rngs: Sequence[Generator]) -> Batch:
        """The same for many generators: tokens and classes (p, K, N)."""
        first, between = zip(*(self._draw(batch_size, rng) for rng in rngs), strict=True)
        return self._sequences(np.stack(first), np.stack(between, axis=1))

    def evaluation(self, *, rng: Generator) -> Batch:
        """`eval_sequences` fresh sequences; of variant 2a both, once each."""
        if self.variant == "2b":
            return self.sample(self.eval_sequences, rng=rng)
        return self._sequences(np.array([self.lag - 1, self.lag]), self._between)

    def wrong(self, outputs: Array, batch: Batch) -> Array:
        """Where a probability is off by 0.25 or more; in variant 2b at the last step only."""
        missed: Array = largest_deviation(outputs, batch.targets) >= 0.25
        if self.variant == "2b":
            missed &= batch.targets >= self.lag - 1
        return missed

    def _draw(self, batch_size: int, rng: Generator) -> tuple[Array, Array]:
        """First symbols (N,), and those between first and last: (p - 1, 1), in variant 2b (p - 1, N)."""
        first = self.lag - 1 + rng.integers(2, size=batch_size)
        if self.variant == "2a":
            return first, self._between
        return first, rng.integers(self.lag - 1, size=(self.lag - 1, batch_size))

    def _sequences(self, first: Array, between: Array) -> Batch:
        """The sequences with first symbols (..., N)."""
        symbols = np.empty((self.lag + 1, *first.shape), np.int64)
        symbols[0] = symbols[-1] = first
        symbols[1:-1] = between
        return Batch(symbols[:-1], symbols[1:], np.ones((self.lag, *first.shape), bool))
