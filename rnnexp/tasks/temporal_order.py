"""Temporal order: which of two symbols stood at each of two or three far apart places."""

from itertools import product

import numpy as np
from numpy.random import Generator

from rnnexp.checks import InvalidValue, integer, one_of
from rnnexp.tasks.base import NONE, Array, Baseline, Batch, EpisodeTask, largest_deviation, with_answers

#: Of each variant: its paper, its rule for a solved task, the shortest T, and why it can't be shorter.
VARIANTS = {
    "hochreiter": (
        "Hochreiter & Schmidhuber 1997, section 5.6",
        "no sequence wrong (an output that is off by 0.3 or more)",
        20,
        "the first relevant symbol stands at place T // 10, after the E at place 1",
    ),
    "pascanu": (
        "Pascanu, Mikolov & Bengio 2013, section 4.1",
        "fewer than 1% of the sequences wrong",
        10,
        "each relevant symbol needs a tenth of the sequence to fall in",
    ),
}

#: Bounds of the places of the relevant symbols, in hundredths of the length, by variant and number of symbols.
PLACES = {
    ("hochreiter", 2): ((10, 20), (50, 60)),
    ("hochreiter", 3): ((10, 20), (33, 43), (66, 76)),
    ("pascanu", 2): ((10, 20), (50, 60)),
    ("pascanu", 3): ((10, 20), (30, 40), (60, 70)),
}


class TemporalOrder(EpisodeTask):
    """Two or three relevant symbols among distractors: report them at the end, in order.

    One trial of the default variant, for length 10 and 2 symbols::

        step     0  1  2  3  4  5  6  7  8  9
        input    d  A  f  c  c  B  e  d  f  c
        target                              AB

    Relevant symbols and distractors are drawn uniformly, and so are the positions of the relevant symbols within their
    ranges. Only the last step is scored, by cross-entropy over the 4 or 8 possible orders. T is `length`.

    ``pascanu``: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", section 4.1,
        as in its authors' code (lengths 50 to 200 there). T steps, counted from 0; relevant symbols A and B,
        distractors c to f. With w = T // 10, the relevant symbols stand at steps w + r and 5T // 10 + r (2 symbols), or
        w + r, 3T // 10 + r and 6T // 10 + r (3 symbols), each with its own r from 0 to w - 1. The class is v0 + 2 v1 (+
        4 v2) with v = 0 for A and 1 for B. With `longest`, T is uniform from `length` to `longest`, inclusive (the
        authors' code excludes the latter): one length per training batch, one per sequence in the evaluation set.
    ``hochreiter``: Hochreiter & Schmidhuber 1997, "Long short-term memory", section 5.6, tasks 6a and 6b (T = 100
        there). T to T + T // 10 steps, drawn uniformly for each sequence; E first and B last; relevant symbols X and Y,
        distractors a to d. Positions are taken to count from 1 (that of E), bounds included: for T = 100, 10 to 20 and
        50 to 60 (2 symbols), or 10 to 20, 33 to 43 and 66 to 76 (3 symbols); for other T, the same percentages of T,
        rounded down (this project's own rule). Classes are in the order XX, XY, YX, YY, or XXX, XXY, XYX, ..., YYY. A
        sequence is wrong if any output is off by 0.3 or more; with the softmax here, if the probability of the right
        class is 0.7 or less.

    Parameters
    ----------
    symbols : {2, 3}
        Relevant symbols in a sequence.
    variant : {"pascanu", "hochreiter"}
    length : int
        T, steps in the shortest sequence: >= 10 (pascanu), >= 20 (hochreiter).
    longest : int, optional
        Steps in the longest sequence of ``pascanu``, >= `length`; all have `length` when not given.
    eval_sequences : int
        Sequences in the evaluation set.
    """

    input_kind = "tokens"
    target_kind = "classes"
    scored = "the last step"
    error_per = "sequence"
    floor = 0.0

    def __init__(
        self,
        *,
        symbols: int = 2,
        variant: str = "pascanu",
        length: int = 50,
        longest: int | None = None,
        eval_sequences: int = 500,
    ) -> None:
        super().__init__(eval_sequences=eval_sequences)
        self.variant = one_of("variant", variant, VARIANTS)
        self.paper, self.success, shortest, why = VARIANTS[self.variant]
        # Hochreiter & Schmidhuber: of the latest 2000 training sequences; their further condition, an average error
        # below 0.1, is omitted, since it concerns logistic outputs. Pascanu et al.: of 10,000 fresh sequences.
        self.solved_below = (("error", NONE if self.variant == "hochreiter" else 0.01),)
        self.length = integer("length", length, at_least=shortest, hint=why)
        if longest is not None and self.variant != "pascanu":
            hint = "its lengths are drawn from T to T + T // 10"
            raise InvalidValue("longest", longest, "null with this variant", hint)
        hint = "sequences have from task.length to task.longest steps"
        usual = self.length + (self.length // 10 if self.variant == "hochreiter" else 0)
        self.longest = None if longest is None else integer("longest", longest, at_least=self.length, hint=hint)
        self.most_steps = self.longest or usual
        if isinstance(symbols, bool) or not isinstance(symbols, (int, np.integer)) or symbols not in (2, 3):
            raise InvalidValue("symbols", symbols, "2 or 3", "2 relevant symbols make 4 classes, 3 make 8")
        self.symbols = int(symbols)
        self.output_size = 2**self.symbols
        self.input_names = list("ABcdef" if self.variant == "pascanu" else "EBabcdXY")
        self.input_size = len(self.input_names)
        pair = "AB" if self.variant == "pascanu" else "XY"
        orders = ["".join(order) for order in product(pair, repeat=self.symbols)]
        # The first symbol is the lowest digit for one, the highest for the other.
        self.output_names = [order[::-1] for order in orders] if self.variant == "pascanu" else orders

    @property
    def baseline(self) -> Baseline:
        """Guessing: ln K nats and one answer in K right; each of its probabilities of 1/K is off by more than 0.3."""
        share = 1.0 / self.output_size
        error = 1.0 if self.variant == "hochreiter" else 1.0 - share
        return Baseline(float(np.log(self.output_size)), share, "a uniform guess", error)

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Tokens (T, N), numbered as in `input_names`; a sequence shorter than the longest ends in zeros."""
        # In the variant pascanu the sequences of a training batch all have one length.
        count = batch_size if self.variant == "hochreiter" else 1
        return self._draw(np.broadcast_to(self._lengths(count, rng), batch_size), rng)

    def evaluation(self, *, rng: Generator) -> Batch:
        """`eval_sequences` fresh sequences, each with its own length where lengths vary."""
        return self._draw(self._lengths(self.eval_sequences, rng), rng)

    def wrong(self, outputs: Array, batch: Batch) -> Array:
        """Where the likeliest class isn't the target (pascanu), or a probability is off by 0.3 or more (hochreiter)."""
        if self.variant == "hochreiter":
            missed: Array = largest_deviation(outputs, batch.targets) >= 0.3
            return missed
        return super().wrong(outputs, batch)

    @property
    def asked(self) -> list[tuple[int, int]]:  # type: ignore[override]
        """Of each relevant symbol, over all lengths of a sequence."""
        lengths, found = np.arange(self.length, self.most_steps + 1), []
        for low, high in PLACES[self.variant, self.symbols]:
            first, last = low * lengths // 100, low * lengths // 100 + lengths // 10 - 1
            if self.variant == "hochreiter":
                first, last = (np.full(len(lengths), bound * self.length // 100 - 1) for bound in (low, high))
            found.append((int((lengths - 1 - last).min()), int((lengths - 1 - first).max())))
        return found

    def _lengths(self, count: int, rng: Generator) -> Array:
        """Steps of `count` sequences (N,)."""
        if self.most_steps == self.length:  # nothing is drawn
            return np.full(count, self.length)
        return rng.integers(self.length, self.most_steps + 1, size=count)

    def _draw(self, lengths: Array, rng: Generator) -> Batch:
        """Sequences of the given lengths (N,), padded with zeros to the longest."""
        count, each, hochreiter = len(lengths), np.arange(len(lengths)), self.variant == "hochreiter"
        inputs = rng.integers(2, 6, size=(int(lengths.max()), count))  # the distractors
        answers = np.zeros(count, np.int64)
        for index, (low, high) in enumerate(PLACES[self.variant, self.symbols]):
            which = rng.integers(2, size=count)
            if hochreiter:  # positions count from 1 in the paper
                places = rng.integers(low * self.length // 100 - 1, high * self.length // 100, size=count)
                answers += which << (self.symbols - 1 - index)
            else:
                start = low * lengths // 100
                places = rng.integers(start, start + lengths // 10)
                answers += which << index
            inputs[places, each] = which + 6 if hochreiter else which
        if hochreiter:
            inputs[0], inputs[lengths - 1, each] = 0, 1
        inputs[np.arange(len(inputs))[:, np.newaxis] >= lengths] = 0
        return with_answers(inputs, lengths - 1, answers)
